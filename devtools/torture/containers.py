"""Kills of containers during a run, which must still end with the same tables and an equally good champion."""

import time
from datetime import UTC, datetime

from devtools.containers import RUN, ContainerInstance
from devtools.torture.example import CHANGE_BY_RUN, SCORE
from devtools.torture.moments import Outcome, all_tasks, choose, strike_at
from pipeline.settings import Application

SERVICES = (
    *("postgres", "airbyte", "mlflow", "docs"),
    *("airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"),
)
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
        """Note how tables and champion have to be; `instance` is up, and its latest run succeeded."""
        self._instance = instance
        self._tasks = all_tasks(instance.api)
        self._tables, self._score = self._digests(), instance.metrics()[SCORE]

    def strike(self, *services: str, seed: int) -> Outcome:
        """Kill each service's container once during one run, at moments that the seed chooses; check the result."""
        began, start, instance = time.monotonic(), datetime.now(UTC), self._instance
        run_id = instance.api.trigger("dataops", "torture")
        moments = choose(services, self._tasks, seed)
        strikes, missed = strike_at(
            moments, instance.api, start, instance.kill, lambda: time.monotonic() - began > 2 * RUN
        )
        states = instance.ended(run_id)
        error = ", ".join(f"{dag_id} {state}" for dag_id, state in states.items() if state != "success") or None
        faults = [error] if error else []
        if (tables := self._digests()) != self._tables:
            differ = [name for name in tables if tables[name] != self._tables[name]]
            faults.append(f"tables are not as before: {', '.join(differ)}")
        if (score := instance.metrics()[SCORE]) != self._score:
            faults.append(f"the champion's {SCORE} is {score}, and was {self._score}")
        return Outcome(strikes, missed, time.monotonic() - began, error, faults)

    def _digests(self) -> dict[str, str]:
        """Rows and digest of each table of the application."""
        groups = Application(**self._instance.config).tables.values()
        columns = ", ".join(f"'{name}'" for name in CHANGE_BY_RUN)
        tables = [table for group in groups for table in group.values()]
        return {table: self._instance.psql(DIGEST.format(table=table, columns=columns)) for table in tables}
