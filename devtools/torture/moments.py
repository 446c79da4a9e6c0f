"""Strikes at chosen moments of a run of both graphs: a number of seconds after Airflow has started a task."""

import math
import random
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

from devtools.torture import example
from stack.runs import dag_runs
from stack.runs.airflow_api import AirflowApi

# Seconds: between two looks at a run; into a task until which a strike may come, the longest task takes longer.
LOOK = 0.1
LATEST = 3
# Stands for a task in moments at which no task has begun.
START = "the run"
DAGS = ("dataops", "mlops")

# By what is struck: a task as DAG.TASK, and seconds after its start.
Moments = dict[str, tuple[str, float]]


@dataclass(frozen=True)
class Outcome:
    """What the strikes on one run led to.

    Attributes:
        strikes: each with its seconds and task.
        missed: names of those whose moment did not come before the run ended.
        seconds: of the run.
        error: why the run failed; None: it succeeded.
        faults: what is wrong afterwards; none: all is well.
    """

    strikes: list[str]
    missed: list[str]
    seconds: float
    error: str | None
    faults: list[str]


def all_tasks(api: AirflowApi) -> list[str]:
    """START, and the tasks of both graphs as DAG.TASK."""
    return [START, *(f"{dag_id}.{task}" for dag_id in DAGS for task in api.upstream_tasks(dag_id))]


def choose(names: Collection[str], tasks: list[str], seed: int) -> Moments:
    """Choose a moment for each name by the seed."""
    chance = random.Random(f"{seed} {names}")  # noqa: S311
    possible = {name: [task for task in tasks if task.startswith(example.TASKS.get(name, ""))] for name in names}
    return {name: (chance.choice(possible[name]), chance.uniform(0, LATEST)) for name in names}


def strike_at(
    moments: Moments,
    api: AirflowApi,
    start: datetime,
    strike: Callable[[str], bool | None],
    has_ended: Callable[[], bool],
) -> tuple[list[str], list[str]]:
    """Strike a run at its moments until it has ended.

    Args:
        moments: of the strikes.
        api: of the run's Airflow.
        start: before the run began.
        strike: strikes by name; returns False if there is nothing to strike yet.
        has_ended: whether the run has ended.

    Returns:
        The strikes in words, and the names of those that did not come.
    """
    left, strikes, began = dict(moments), [], {START: time.monotonic()}
    while left and not has_ended():
        # Airflow does not answer before it has started, and after it was killed.
        with suppress(httpx.HTTPError):
            for task in _begun(api, start):
                began.setdefault(task, time.monotonic())
        for name, (task, delay) in moments.items():
            seconds = time.monotonic() - began.get(task, math.inf)
            if name in left and seconds >= delay and strike(name) is not False:
                strikes.append(f"{name} {seconds:.1f} s after the start of {task}")
                del left[name]
        time.sleep(LOOK)
    return strikes, list(left)


def _begun(api: AirflowApi, start: datetime) -> Iterator[str]:
    """Tasks that have begun since `start`, as DAG.TASK."""
    for dag_id in DAGS:
        for run in api.last_runs(dag_id, limit=10):
            # While the clock is set forward, runs get a time in the future.
            if start <= datetime.fromisoformat(run["run_after"]) <= datetime.now(UTC):
                instances = api.task_instances(dag_id, run["dag_run_id"])
                yield from (f"{dag_id}.{each['task_id']}" for each in instances if dag_runs.began(each))
