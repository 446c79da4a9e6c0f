"""Parameters of runs: what they change, and what they refuse."""

import os
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException

from pipeline import parameters
from pipeline.runners import environment
from pipeline.settings import Settings


@pytest.fixture
def enter():
    """Function that enters a task of a run with parameters; the environment is restored afterwards."""
    before = os.environ.copy()

    def enter(**params):
        context = {"dag_run": SimpleNamespace(conf=None), "params": params}
        parameters.enter(context, application="tagifai")

    yield enter
    os.environ.clear()
    os.environ.update(before)


def test_without_parameters_settings_stay_as_they_are(enter):
    before = Settings()
    enter(trials=None, seed=None, config={}, source=None)
    assert Settings() == before


def test_trials_seed_and_settings_of_a_run_reach_its_commands_also_in_a_pod(enter):
    enter(trials=3, seed=7, config={"labels": {"min_freq": 5}, "threshold": 0.25, "slices": {"patterns": {"CNN": "x"}}})
    plain, _ = environment.variables()
    assert plain["MLOPS_SEARCH__TRIALS"] == "3"
    assert plain["MLOPS_SEARCH__SEED"] == "7"
    assert plain["MLOPS_THRESHOLD"] == "0.25"
    assert plain["MLOPS_SLICES__PATTERNS"] == '{"CNN": "x"}'
    # Beside the others of its section.
    assert (Settings().labels.min_freq, Settings().labels.rest) == (5, "other")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"warehouse": {"type": "postgres"}}, "a run cannot change 'warehouse', but checks, labels, "),
        ({"search": {"workers": 4}}, "search.workers is the number of tasks"),
        ({"labels": {"classes": None}}, "labels.classes: a run cannot set null"),
        ({"labels": {"min_freq": 0}}, "labels.min_freq: Input should be greater than or equal to 1"),
        ({"labels": "mlops"}, 'field "labels" from source "EnvSettingsSource": write settings as {name: value}'),
        ({"labels": {"min_frequency": 1}}, "labels.min_frequency: Extra inputs are not permitted"),
    ],
)
def test_a_setting_that_a_run_cannot_change_or_that_is_wrong_fails_the_task_at_once(enter, config, said):
    with pytest.raises(AirflowFailException) as refused:
        enter(config=config)
    assert said in str(refused.value)
