"""Kills of containers during a run, which must end by itself in the same tables and an equally good champion."""

import functools
import random
import time

from devtools.containers import RUN, ContainerInstance, wait_until
from devtools.torture.strikes import Outcome

SERVICES = (
    *("postgres", "airbyte", "mlflow", "docs"),
    *("airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"),
)
# What a run does, in order: graph, task, index.
TASKS = (
    *(("dataops", f"{task}/-1") for task in ("extract_and_load_projects", "validate_projects", "transform", "publish")),
    *(("mlops", f"{task}/-1") for task in ("extract_data", "validate", "train", "evaluate", "promote", "predict")),
)
# Seconds into a task until which a kill may come; the longest task takes longer.
LATEST = 3


class ContainerTorture:
    """A container stack whose runs are struck again and again."""

    def __init__(self, instance: ContainerInstance):
        """See what its runs have to end in.

        Args:
            instance: one that is up, and whose latest run succeeded without a strike.
        """
        self._instance = instance
        self._tables, self._score = instance.consumers_read(), instance.score()

    def strike(self, *services: str, seed: int) -> Outcome:
        """Kill each service's container once during one run, and see what comes of it.

        Args:
            services: names in docker-compose.yml.
            seed: chooses the moments.
        """
        choose = random.Random(f"{seed} {services}")  # noqa: S311
        moments = {service: (choose.randrange(len(TASKS)), choose.uniform(0, LATEST)) for service in services}
        began = time.monotonic()
        strikes, error = self._run(moments)
        faults = [error] if error else []
        if (tables := self._instance.consumers_read()) != self._tables:
            differ = [name for name in tables if tables[name] != self._tables[name]]
            faults.append(f"tables are not as before: {', '.join(differ)}")
        if (score := self._instance.score()) != self._score:
            faults.append(f"the champion's score is {score}, and was {self._score}")
        return Outcome(strikes, [], time.monotonic() - began, error, faults)

    def _run(self, moments: dict[str, tuple[int, float]]) -> tuple[list[str], str | None]:
        """Run both graphs and kill services at their moments; returns the kills and what failed."""
        instance, strikes = self._instance, []
        airflow = instance.airflow()
        run_id = instance.trigger(airflow)
        for service, (number, delay) in sorted(moments.items(), key=lambda each: each[1]):
            dag_id, task = TASKS[number]
            dag_run = run_id
            if dag_id == "mlops":
                dag_run = wait_until(functools.partial(instance.mlops_run, airflow, run_id), seconds=RUN)
            wait_until(functools.partial(instance.has_begun, airflow, dag_id, dag_run, task), seconds=RUN)
            time.sleep(delay)
            instance.kill(service)
            strikes.append(f"{service} {delay:.1f} s into {dag_id}.{task.partition('/')[0]}")
        states = instance.ended(airflow, run_id)
        failed = [f"{dag_id} {state}" for dag_id, state in states.items() if state != "success"]
        return strikes, ", ".join(failed) or None
