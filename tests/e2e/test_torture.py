"""Processes that are killed: the run, or the next one, ends with the right tables and one champion."""

import pytest

from devtools.instance import Instance
from devtools.torture import disk
from devtools.torture.runs import PROCESSES
from devtools.torture.strikes import Torture
from devtools.torture.syncs import NAMES, SyncTorture

# Seconds: a run that Airflow mends takes a minute longer for each task whose process was killed.
SEED = 2026
# Until all of a group were struck.
RUNS = 5
# Every process once; those of a group in the same run.
GROUPS = (
    ("connector", "airbyte", "airflow-scheduler", "airflow-triggerer", "command", "mlflow-worker"),
    ("postgres", "airflow-api-server", "airflow-dag-processor", "task", "mlflow"),
    ("supervisor",),
    ("launcher",),
)


def test_every_process_is_killed_once():
    assert sorted(name for group in GROUPS for name in group) == sorted(PROCESSES)


@pytest.fixture(scope="module")
def tortured(tmp_path_factory):
    """An instance on a disk of its own, where we may make one."""
    with disk(tmp_path_factory.mktemp("torture")) as folder:
        yield Torture(Instance(folder / "instance", source=None, config=None))


@pytest.mark.parametrize("names", GROUPS, ids="+".join)
def test_a_kill_leaves_the_right_tables_and_one_champion(tortured, names):
    # A run that is ended by one of them, or quicker than the one before, leaves others to the next.
    for seed in range(SEED, SEED + RUNS):
        outcome = tortured.strike(*names, seed=seed)
        print(outcome)
        assert outcome.faults == []
        names = outcome.missed
        if not names:
            break
    assert not names


def test_a_full_disk_stops_a_run_and_the_next_one_ends_well_once_there_is_room(tortured):
    if "full-disk" not in tortured.strikes():
        pytest.skip("only root can make a disk that may be filled")
    outcome = tortured.strike("full-disk", seed=SEED)
    print(outcome)
    assert outcome.strikes
    assert outcome.faults == []


@pytest.fixture(scope="module")
def syncs(tmp_path_factory):
    """A service whose syncs are struck."""
    syncs = SyncTorture(Instance(tmp_path_factory.mktemp("syncs") / "instance", source=None, config=None))
    with syncs.serving():
        yield syncs


@pytest.mark.parametrize("name", NAMES)
def test_after_a_kill_in_a_sync_every_record_is_there_once(syncs, name):
    for seed in range(SEED, SEED + RUNS):
        outcome = syncs.strike(name, seed=seed)
        print(outcome)
        assert outcome.faults == []
        if not outcome.missed:
            break
    assert not outcome.missed
