"""The watch on a stack that stays up: each change of the source starts dataops once, whatever is killed meanwhile."""

import shutil
import time
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from devtools.instance import renewed
from devtools.torture.runs import PROCESSES
from stack.embedded.supervisor import processes_of
from stack.settings import ROOT
from tests.e2e.conftest import Instance

# Seconds within which a change has started dataops, with the restart of what was killed and the end of the run before,
# one of whose tasks may have been killed too: Airflow notices after a minute.
LIMIT = 300
# Of each event, the version that it tells of.
EVENTS = "select asset_event.extra->>'version' from asset_event join asset on asset.id = asset_id where name = 'source'"
# Whether a change is on its way: an event that has not started its run yet, or a task of the watch that does not sleep.
CHANGES = """
    select (select count(*) from asset_dag_run_queue where target_dag_id = 'dataops')
         + (select count(*) from task_instance where dag_id = 'watch' and state in ('running', 'queued', 'scheduled'))
"""
SLEEPING = "select count(*) from task_instance where dag_id = 'watch' and state = 'deferred'"
RUNS = "select run_type from dag_run where dag_id = 'dataops'"
# A task of dataops that was killed with the scheduler is tried again.
FAILED = """
    select dag_id, task_id, state from task_instance
    where state = 'failed' or dag_id = 'watch' and state = 'up_for_retry'
"""


@pytest.fixture
def watching(tmp_path):
    """An instance that watches a source of its own, and nothing else starts dataops."""
    shutil.copytree(ROOT / "data" / "sample", tmp_path / "source")
    instance = Instance(tmp_path, watch={"seconds": 1}, dataops_schedule=None)
    try:
        yield instance
    finally:
        instance.make("down")


@pytest.mark.timeout(1200)
def test_each_change_starts_dataops_once_even_if_triggerer_and_scheduler_are_killed(watching, tmp_path):
    up = watching.make("up", SOURCE=tmp_path / "source")
    assert up.returncode == 0, up.stdout
    with psycopg.connect(**watching.settings().database("airflow"), autocommit=True) as connection:
        # It would only take the machine from dataops.
        connection.execute("update dag set is_paused = true where dag_id = 'mlops'")

        def rows(query):
            return connection.execute(query).fetchall()

        def settled(changes):
            """Whether all changes have started their runs, and the watch sleeps again."""
            return len(rows(RUNS)) >= changes and not rows(CHANGES)[0][0] and rows(SLEEPING) == [(1,)]

        eventually(lambda: settled(1))
        for changes, name in ((2, "airflow-triggerer"), (3, "airflow-scheduler")):
            change(tmp_path / "source" / "projects.csv", changes)
            kill(watching, name)
            eventually(lambda changes=changes: settled(changes))
        assert rows(RUNS) == [("asset_triggered",)] * 3
        assert len({version for (version,) in rows(EVENTS)}) == len(rows(EVENTS)) == 3
        assert rows(FAILED) == []
    explained = watching.make("explain")
    assert explained.returncode == 0, explained.stdout
    assert "asset triggered" in Path(explained.stdout.split()[-1]).read_text(encoding="utf-8")


def change(file, number):
    """Put a file in the place of another."""
    new = file.with_suffix(".new")
    new.write_text(renewed(file.read_text(encoding="utf-8"), number), encoding="utf-8")
    new.replace(file)


def kill(instance, name):
    """Kill a service with all its processes."""
    killed = 0
    for process in processes_of(instance.var.resolve()):
        # One that has ended by itself meanwhile.
        with suppress(psutil.NoSuchProcess):
            if PROCESSES[name] in " ".join(process.cmdline()):
                process.kill()
                killed += 1
    assert killed


def eventually(look):
    """Wait until something is so."""
    deadline = time.monotonic() + LIMIT
    while not look():
        assert time.monotonic() < deadline, f"not so within {LIMIT} s"
        time.sleep(0.2)
