"""Commands in the locked environments as tasks."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pipeline import runners

if TYPE_CHECKING:
    from airflow.sdk.definitions.mappedoperator import MappedOperator

    from pipeline.runners.operator import CommandOperator


def dbt(verb: str, *, task_id: str, **kwargs: Any) -> "CommandOperator":
    """Task that runs a verb of dbt_transforms/transform.py."""
    return runners.task("dbt", ["python", "dbt_transforms/transform.py", verb], task_id, **kwargs)


def tagifai(*command: str, task_id: str | None = None) -> "CommandOperator":
    """Task that runs a command of tagifai; `task_id` is the command's name by default."""
    return runners.task("tagifai", ["tagifai", *command], task_id or command[0])


def tagifai_mapped(*command: str, over: Iterable[int]) -> "MappedOperator":
    """Parallel tasks that run the same command of tagifai, each with one of `over` as its last argument."""
    return runners.mapped("tagifai", [["tagifai", *command, str(each)] for each in over], command[0])
