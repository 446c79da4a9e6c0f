"""Kills of containers during a run, which must still end with the same tables and an equally good champion."""

import functools
import random
import time

from devtools.containers import RUN, ContainerInstance, wait_until
from devtools.torture.example import CHANGE_BY_RUN, SCORE
from devtools.torture.strikes import Outcome
from stack.runs import dag_runs

SERVICES = (
    *("postgres", "airbyte", "mlflow", "docs"),
    *("airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"),
)
# Seconds into a task until which a kill may come; the longest task takes longer.
LATEST = 3
# Rows of a table, and a digest of them in any order without the columns that a sync or a run makes anew.
DIGEST = """
    select count(*), md5(string_agg(line, '' order by line)) from (
        select (to_jsonb(whole) - array(
            select key from jsonb_object_keys(to_jsonb(whole)) as key
            where starts_with(key, '_airbyte_') or key in ({columns})
        ))::text as line from {table} as whole
    ) as lines
"""


class ContainerTorture:
    """A container stack whose runs are struck again and again."""

    def __init__(self, instance: ContainerInstance):
        """Note how tables and champion have to be after each run.

        Args:
            instance: one that is up, and whose latest run succeeded without a strike.
        """
        self._instance = instance
        self._tasks = [
            (dag_id, task) for dag_id in ("dataops", "mlops") for task in instance.api.upstream_tasks(dag_id)
        ]
        self._tables, self._score = self._digests(), instance.metrics()[SCORE]

    def strike(self, *services: str, seed: int) -> Outcome:
        """Kill each service's container once during one run, and check the result.

        Args:
            services: names in docker-compose.yml.
            seed: chooses the moments.
        """
        choose = random.Random(f"{seed} {services}")  # noqa: S311
        moments = {service: (choose.randrange(len(self._tasks)), choose.uniform(0, LATEST)) for service in services}
        began = time.monotonic()
        strikes, error = self._run(moments)
        faults = [error] if error else []
        if (tables := self._digests()) != self._tables:
            differ = [name for name in tables if tables[name] != self._tables[name]]
            faults.append(f"tables are not as before: {', '.join(differ)}")
        if (score := self._instance.metrics()[SCORE]) != self._score:
            faults.append(f"the champion's {SCORE} is {score}, and was {self._score}")
        return Outcome(strikes, [], time.monotonic() - began, error, faults)

    def _run(self, moments: dict[str, tuple[int, float]]) -> tuple[list[str], str | None]:
        """Run both graphs and kill services at their moments; returns the kills and what failed."""
        instance, strikes = self._instance, []
        run_id = instance.api.trigger("dataops", "torture")
        for service, (number, delay) in sorted(moments.items(), key=lambda each: each[1]):
            dag_id, task = self._tasks[number]
            dag_run = run_id
            if dag_id == "mlops":
                dag_run = wait_until(functools.partial(instance.mlops_run, run_id), seconds=RUN)
            wait_until(functools.partial(self._has_begun, dag_id, dag_run, task), seconds=RUN)
            time.sleep(delay)
            instance.kill(service)
            strikes.append(f"{service} {delay:.1f} s into {dag_id}.{task}")
        states = instance.ended(run_id)
        failed = [f"{dag_id} {state}" for dag_id, state in states.items() if state != "success"]
        return strikes, ", ".join(failed) or None

    def _has_begun(self, dag_id: str, run_id: str, task: str) -> bool:
        instances = self._instance.api.task_instances(dag_id, run_id)
        return any(each["task_id"] == task and dag_runs.began(each) for each in instances)

    def _digests(self) -> dict[str, str]:
        """Rows and digest of each table of the setting `tables`."""
        groups = self._instance.config["tables"].values()
        columns = ", ".join(f"'{name}'" for name in CHANGE_BY_RUN)
        tables = [table for group in groups for table in group.values()]
        return {table: self._instance.psql(DIGEST.format(table=table, columns=columns)) for table in tables}
