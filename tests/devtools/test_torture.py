"""Torture tests without a stack: which process is killed when, the rounds, and their results."""

import io
import json
import os
import sys
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import httpx
import pytest
from rich.console import Console

from devtools.torture import rounds, strikes
from devtools.torture.moments import Outcome, choose
from devtools.torture.strikes import Torture
from stack.errors import StackError

# Runs longer than any test.
SLEEP = "import time; time.sleep(600)"


class Api:
    """Replaces Airflow's API: a run of dataops whose tasks begin one by one, a task a look; then it does not answer."""

    def __init__(self, run_after):
        self._looks, self._run_after = 0, run_after

    @classmethod
    def of(cls, settings):
        return cls(datetime.now(UTC) + settings.age)

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


class Struck:
    """Replaces what is struck: notes the strikes, one of which leaves a fault."""

    def __init__(self, *_, **options):
        self.prepared = False

    def strikes(self):
        return {"postgres": None, "sleep": None}

    def prepare(self):
        self.prepared = True

    def strike(self, name, *, seed):
        assert self.prepared
        faults = ["two champions"] if (name, seed) == ("sleep", 8) else []
        return Outcome([f"{name} by {seed}"], [], 1, None, faults)

    @contextmanager
    def serving(self):
        self.prepared = True
        yield


@pytest.fixture
def torture(tmp_path, monkeypatch):
    """Runs `make torture` without a stack; returns whether all is well, and the text on the screen."""
    for name in ("Instance", "Torture", "SyncTorture"):
        monkeypatch.setattr(rounds, name, Struck)
    monkeypatch.setattr(rounds, "disk", nullcontext)

    def call(only, seed):
        screen = io.StringIO()
        console = Console(file=screen, width=200)
        options = {"source": None, "config": None, "only": only, "rounds": 2, "seed": seed}
        return rounds.torture(tmp_path, console, **options), screen.getvalue()

    return call


def test_each_strike_gets_the_seeds_of_all_rounds_and_syncs_get_ten_times_as_many(torture):
    succeeded, screen = torture(None, 1)
    assert succeeded
    assert [line.split()[3] for line in screen.splitlines() if "✓ sleep" in line] == ["1:", "2:"]
    assert [line.split()[3] for line in screen.splitlines() if "✓ connector" in line] == [f"{n}:" for n in range(1, 21)]


def test_one_strike_alone_and_the_fault_that_it_leaves(torture):
    succeeded, screen = torture("sleep", 7)
    assert not succeeded
    assert screen.index("✓ sleep by 7") < screen.index("✗ sleep by 8") < screen.index("two champions")
    assert "postgres" not in screen


def test_the_error_for_an_unknown_fault_lists_the_possible_ones(torture):
    with pytest.raises(StackError, match="unknown fault flood; possible here: postgres, sleep, syncs, containers"):
        torture("flood", 1)
