"""Strikes during a task: which process is killed when, without a stack."""

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import httpx
import pytest

from devtools.torture import strikes
from devtools.torture.moments import choose
from devtools.torture.strikes import Torture

# Runs longer than any test.
SLEEP = "import time; time.sleep(600)"


class Api:
    """Replaces Airflow's API: a run of dataops whose tasks begin one by one, a task a look; then it does not answer."""

    def __init__(self, settings):
        self._looks, self._run_after = 0, datetime.now(UTC) + settings.age

    def last_runs(self, dag_id, limit):
        if dag_id == "mlops":
            raise httpx.ConnectError("restarting")
        return [{"dag_run_id": "r", "run_after": self._run_after.isoformat()}]

    def task_instances(self, dag_id, run_id):
        self._looks += 1
        found = [
            {"task_id": f"task_{number}", "start_date": "now", "state": "running"} for number in range(self._looks)
        ]
        return [*found, {"task_id": "later", "start_date": None, "state": None}]


@pytest.fixture
def tortured(tmp_path, monkeypatch):
    """Tortures a program in place of `make run`, in an Airflow whose latest run is of some age."""
    (tmp_path / "summary.json").write_text(json.dumps({"error": "killed"}))

    def torture(program, *options, age=timedelta()):
        monkeypatch.setattr(strikes, "AirflowApi", Api)
        instance = SimpleNamespace(
            folder=tmp_path,
            settings=SimpleNamespace(var=tmp_path, age=age),
            environment=dict(os.environ),
            processes=list,
            command=lambda target: [sys.executable, "-c", program, *options],
        )
        return Torture(instance)

    return torture


def test_a_process_is_killed_once_its_task_has_begun(tortured):
    outcome = tortured(SLEEP, "--result").strike_in({"command": "dataops.task_2"})
    assert [text.split()[0] for text in outcome.strikes] == ["command"]
    assert (outcome.missed, outcome.error) == ([], "killed")


@pytest.mark.parametrize(
    ("name", "task", "age"),
    [
        ("command", "dataops.later", timedelta()),
        # A process that is not there.
        ("postgres", "dataops.task_0", timedelta()),
        # The task of an earlier run, and of one that began while the clock was set forward.
        ("command", "dataops.task_0", timedelta(hours=-1)),
        ("command", "dataops.task_0", timedelta(hours=1)),
    ],
)
def test_a_kill_whose_task_or_process_never_comes_is_missed(tortured, name, task, age):
    outcome = tortured("import time; time.sleep(1)", "--result", age=age).strike_in({name: task})
    assert (outcome.strikes, outcome.missed, outcome.error) == ([], [name], None)


def test_a_seed_chooses_the_same_moments_each_time_and_kills_connectors_while_files_are_loaded():
    tasks = ["the run", "dataops.extract_and_load_projects", "dataops.transform", "mlops.train"]
    chosen = [choose(("connector", "postgres"), tasks, seed) for seed in range(50)]
    assert chosen == [choose(("connector", "postgres"), tasks, seed) for seed in range(50)]
    assert {each["connector"][0] for each in chosen} == {"dataops.extract_and_load_projects"}
    assert {each["postgres"][0] for each in chosen} == set(tasks)
    assert all(0 <= delay <= 3 for each in chosen for _, delay in each.values())
