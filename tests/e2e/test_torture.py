"""Processes that are killed, and a full disk: the run, or the next one, ends with the right tables and one champion."""

import pytest

from devtools.instance import Instance
from devtools.torture.faults import faults
from devtools.torture.rounds import disk
from devtools.torture.runs import PROCESSES, Run
from devtools.torture.strikes import Torture

pytestmark = pytest.mark.xdist_group("watching")
# The task during which each process is killed.
KILLS = {
    "connector": "dataops.extract_and_load_projects",
    "airbyte": "dataops.extract_and_load_tags",
    "airflow-dag-processor": "dataops.validate_projects",
    "airflow-triggerer": "dataops.validate_tags",
    "task": "dataops.transform",
    "postgres": "dataops.validate_transforms",
    "airflow-api-server": "dataops.publish",
    "airflow-scheduler": "mlops.extract_data",
    "command": "mlops.optimize",
    "mlflow-worker": "mlops.promote",
    "mlflow": "mlops.predict",
}
# These end a run for good.
FATAL = {"supervisor": "dataops.extract_and_load_projects", "launcher": "dataops.extract_and_load_projects"}
# Runs until all kills have come in time.
RUNS = 5
# Seeds the moments of the slow variant.
SEED = 2026


@pytest.fixture(scope="module")
def tortured(watching, up):
    """The instance that is up."""
    return Torture(watching)


def test_every_kind_of_process_is_killed():
    assert {*KILLS, *FATAL} == {*PROCESSES}


def test_after_kills_of_services_and_tasks_a_run_leaves_the_right_tables_and_one_champion(tortured, watching):
    kills, outcome = KILLS, None
    for _ in range(RUNS):
        outcome = tortured.strike_in(kills)
        print(outcome)
        kills = {name: KILLS[name] for name in outcome.missed}
        if not kills and not outcome.error:
            break
    assert kills == {}
    assert outcome.error is None
    assert faults(watching) == []


def test_a_full_disk_does_not_end_the_services(tortured, watching):
    if "full-disk" not in tortured.strikes():
        pytest.skip("only root can make a disk that may be filled")
    outcome = tortured.strike_in({"full-disk": "dataops.transform"})
    print(outcome)
    assert outcome.strikes


def test_down_stops_every_process(watching, up):
    assert watching.make("down").returncode == 0
    assert watching.processes() == []
    assert "Nothing is running" in watching.make("status").stdout


def test_the_run_after_a_full_disk_a_killed_supervisor_and_a_killed_launcher_succeeds(tortured, watching):
    for name, task in FATAL.items():
        outcome = tortured.strike_in({name: task})
        print(outcome)
        assert outcome.strikes
        assert outcome.error
    watching.renew_source()
    assert Run(watching).wait(), (watching.folder / "make-run.log").read_text()
    assert faults(watching) == []


@pytest.mark.slow
@pytest.mark.parametrize("names", [tuple(KILLS)[::2], tuple(KILLS)[1::2], *((name,) for name in FATAL), ("full-disk",)])
def test_kills_at_random_moments_leave_the_right_tables_and_one_champion(random_torture, names):
    names = [name for name in names if name in random_torture.strikes()]
    # A run that is ended by one of them leaves the others to the next.
    for seed in range(SEED, SEED + RUNS):
        outcome = random_torture.strike(*names, seed=seed)
        print(outcome)
        assert outcome.faults == []
        names = outcome.missed
        if not names:
            break
    assert not names


@pytest.fixture(scope="module")
def random_torture(tmp_path_factory):
    """An instance for kills at random moments; on a small disk if possible."""
    with disk(tmp_path_factory.mktemp("torture")) as folder:
        yield Torture(Instance(folder / "instance", source=None, config=None))
