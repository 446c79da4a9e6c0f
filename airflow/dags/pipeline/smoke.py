"""What a task's settings are about: its application, and its own names in a smoke run.

A smoke run has the configuration `{"smoke": true}`, and datasets, a model and a folder of its own. All its tasks run,
so everything is tried out; but nothing that others read is published, no champion of theirs is promoted, and no asset
event starts another DAG.
"""

import os
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException

from pipeline.settings import APPLICATION, BigQuery, Settings

# In front of names.
PREFIX = "smoke_"
# In front of the names of its Airbyte connections, in a template; a deploy declares them.
LABEL = "('smoke ' if (dag_run.conf or {}).get('smoke') else '')"


def enter(context: Any, *, application: str) -> None:
    """Before a task: let its settings be those of its application and, in a smoke run, name what is the run's own.

    Airflow calls this in the task's own process, also when a task continues after it has slept.

    Raises:
        AirflowFailException: the warehouse is not BigQuery, whose datasets have a prefix.
    """
    os.environ[APPLICATION] = application
    if not is_smoke(context):
        return
    settings = Settings()
    if not isinstance(settings.warehouse, BigQuery):
        raise AirflowFailException("a smoke run needs datasets of its own: set warehouse.type: bigquery")
    os.environ["MLOPS_WAREHOUSE__PREFIX"] = f"{settings.warehouse.prefix.removesuffix(PREFIX)}{PREFIX}"
    os.environ["MLOPS_MODEL__NAME"] = f"{PREFIX}{settings.model.name.removeprefix(PREFIX)}"
    # Each worker needs one.
    os.environ["MLOPS_SEARCH__TRIALS"] = str(settings.search.workers)
    if settings.artifacts:
        os.environ["MLOPS_ARTIFACTS"] = f"{settings.artifacts.rstrip('/').removesuffix('/smoke')}/smoke"
    context["task"].outlets = []


def is_smoke(context: Any) -> bool:
    """Whether a task belongs to a smoke run."""
    return bool((context["dag_run"].conf or {}).get("smoke"))
