"""What the embedded scheduler loads ahead: the processes of tasks are forked from it, and need not load it again.

Importing Great Expectations takes seconds, and every gate needs it. Airflow imports a module of this name, if there is
one, before anything else; only the scheduler of `make run` and `make up` is shown this folder.
"""

import great_expectations  # noqa: F401
