"""What the scheduler loads ahead: the processes of tasks are forked from it, and need not load it again.

Importing Great Expectations takes seconds, and every gate needs it. What stores a task's result is loaded in the middle
of it otherwise, where Python 3.11.2 may fail with a KeyError (python/cpython#106176). Airflow imports a module of this
name, if there is one, before anything else; only the scheduler is shown this folder.
"""

import airflow.sdk.serde  # noqa: F401

import great_expectations  # noqa: F401
