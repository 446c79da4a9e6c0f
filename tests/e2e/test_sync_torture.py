"""Processes that are killed during incremental syncs."""

import pytest

from devtools.instance import Instance
from devtools.torture.syncs import NAMES, SyncTorture

SEED = 2026
# Syncs until a kill has come in time.
RUNS = 5


@pytest.fixture(scope="module")
def syncs(tmp_path_factory):
    """A service whose syncs are struck."""
    syncs = SyncTorture(Instance(tmp_path_factory.mktemp("syncs") / "instance", source=None, config=None))
    with syncs.serving():
        yield syncs


@pytest.mark.parametrize("name", NAMES)
def test_after_a_kill_during_a_sync_every_record_is_there_once(syncs, name):
    for seed in range(SEED, SEED + RUNS):
        outcome = syncs.strike(name, seed=seed)
        print(outcome)
        assert outcome.faults == []
        if not outcome.missed:
            break
    assert not outcome.missed
