"""The watch on a stack that stays up: each change of the source starts dataops once, even if services are killed."""

import time
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from devtools.torture.runs import PROCESSES
from stack.runs.airflow_api import AirflowApi

pytestmark = pytest.mark.xdist_group("watching")
# Seconds within which a change has started dataops, with the restart of what was killed.
LIMIT = 300
# The version of the source in each event.
EVENTS = "select asset_event.extra->>'version' from asset_event join asset on asset.id = asset_id where name = 'source'"
# Whether a change is on its way: an event that has not started its run yet, or a task of the watch that does not sleep.
CHANGES = """
    select (select count(*) from asset_dag_run_queue where target_dag_id = 'dataops')
         + (select count(*) from task_instance where dag_id = 'watch' and state in ('running', 'queued', 'scheduled'))
"""
SLEEPING = "select count(*) from task_instance where dag_id = 'watch' and state = 'deferred'"
RUNS = "select run_type from dag_run where dag_id = 'dataops'"
FAILED = "select task_id, state from task_instance where dag_id = 'watch' and state in ('failed', 'up_for_retry')"


def test_each_change_starts_dataops_once_even_if_triggerer_and_scheduler_are_killed(watching, up):
    api = AirflowApi.of(watching.settings)
    with psycopg.connect(**watching.settings.database("airflow"), autocommit=True) as connection:

        def rows(query):
            return connection.execute(query).fetchall()

        def settled(changes):
            """Whether all changes have started their runs, and the watch sleeps again."""
            return len(rows(RUNS)) >= changes and not rows(CHANGES)[0][0] and rows(SLEEPING) == [(1,)]

        for changes, name in ((1, None), (2, "airflow-triggerer"), (3, "airflow-scheduler")):
            if name:
                watching.renew_source()
                kill(watching, name)
            eventually(lambda changes=changes: settled(changes))
            # How the run goes on is not the point here.
            api.end_unfinished_runs("dataops")
        assert rows(RUNS) == [("asset_triggered",)] * 3
        assert len({version for (version,) in rows(EVENTS)}) == len(rows(EVENTS)) == 3
        assert rows(FAILED) == []
    explained = watching.make("explain")
    assert explained.returncode == 0, explained.stdout
    assert "asset triggered" in Path(explained.stdout.split()[-1]).read_text(encoding="utf-8")


def kill(instance, name):
    """Kill a service with all its processes."""
    killed = 0
    for process in instance.processes():
        # One may have ended by itself meanwhile.
        with suppress(psutil.NoSuchProcess):
            if PROCESSES[name] in " ".join(process.cmdline()):
                process.kill()
                killed += 1
    assert killed


def eventually(look):
    """Wait until a condition is true."""
    deadline = time.monotonic() + LIMIT
    while not look():
        assert time.monotonic() < deadline, f"still not true after {LIMIT} s"
        time.sleep(0.2)
