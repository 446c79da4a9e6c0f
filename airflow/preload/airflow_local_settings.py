"""Modules that the scheduler imports once, so that the task processes that it forks need not import them again.

Importing Great Expectations takes 5 s, and every checkpoint needs it. Airflow's serde is otherwise imported while a
task's result is stored, which may fail with a KeyError on Python 3.11.2 (python/cpython#106176). Airflow imports a
module of this name at its start if it finds one; only the scheduler has this folder on its path.
"""

import airflow.sdk.serde  # noqa: F401

import great_expectations  # noqa: F401
