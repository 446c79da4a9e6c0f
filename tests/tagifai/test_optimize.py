import multiprocessing
import os
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Barrier

import optuna
import pytest
from sklearn.model_selection import StratifiedKFold, cross_val_score

from tagifai import dataset, findings, model
from tagifai.errors import TagifaiError
from tagifai.objective import Objective, suggest
from tagifai.optimize import optimize
from tagifai.study import name_of, open_study


@pytest.fixture
def studies(make_studies):
    """SQLAlchemy URL of an empty database for studies, and the database."""
    return make_studies()


@pytest.fixture
def make_search(make_settings, studies):
    """Function that makes settings with a database of studies, and with some of `search` changed."""

    def make(**changes):
        settings = make_settings(studies=studies[0])
        space = settings.search.space.model_copy(update=changes.pop("space", {}))
        search = settings.search.model_copy(update={"space": space, **changes})
        return settings.model_copy(update={"search": search})

    return make


@pytest.fixture
def states(postgres, studies):
    """Function that counts the trials by state."""

    def states():
        rows = postgres.psql(studies[1], "select state, count(*) from trials group by 1")
        return {state: int(count) for state, count in rows}

    return states


def test_two_workers_at_once_run_exactly_the_configured_number_of_trials(make_search, uri, start, states):
    settings = make_search(trials=7)
    processes = [start(settings, "optimize", "--snapshot", uri, "--worker", worker) for worker in (0, 1)]
    logs = [process.communicate(timeout=240)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], logs
    assert states() == {"COMPLETE": 7}
    found = findings.read(settings, name_of(settings, uri))
    assert [(trial["number"], trial["new"]) for trial in found["history"]] == [(number, True) for number in range(7)]
    assert [log.count("trial ") for log in logs] == [4, 3]


def test_a_second_call_of_the_same_worker_waits_and_finds_the_work_done(make_search, uri, states):
    settings = make_search(trials=6, workers=1)
    with ThreadPoolExecutor(2) as pool:
        facts = list(pool.map(lambda _: optimize(settings, uri=uri, worker=0), range(2)))
    assert sorted(each["run"] for each in facts) == [0, 6]
    assert states() == {"COMPLETE": 6}


def test_workers_that_start_at_once_on_an_empty_database_share_one_study(make_search, postgres, studies, uri):
    settings, ready = make_search(), Barrier(4)

    def start(_):
        ready.wait(timeout=30)
        return open_study(settings, name_of(settings, uri)).study_name

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(start, range(4))) == {name_of(settings, uri)}
    assert postgres.psql(studies[1], "select count(*) from studies") == [["1"]]


def optimize_and_die(settings, uri):
    """Optimize in a process that kills itself within the fourth trial."""
    score, calls = Objective.__call__, count()

    def score_or_die(self, trial):
        if next(calls) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return score(self, trial)

    Objective.__call__ = score_or_die
    optimize(settings, uri=uri, worker=0)


def test_a_killed_worker_continues_where_it_stopped(make_search, uri, states):
    settings = make_search(trials=8, workers=1)
    # A copy of this process has the libraries imported already, which takes a new one seconds.
    killed = multiprocessing.get_context("fork").Process(target=optimize_and_die, args=(settings, uri))
    killed.start()
    killed.join(timeout=240)
    assert killed.exitcode == -signal.SIGKILL
    assert states() == {"COMPLETE": 3, "RUNNING": 1}
    facts = optimize(settings, uri=uri, worker=0)
    assert states() == {"COMPLETE": 8, "FAIL": 1}
    assert (facts["trials"], facts["run"], facts["reused"]) == (8, 5, False)
    assert new_trials(settings, facts) == [False] * 3 + [True] * 5


def new_trials(settings, facts):
    """Of each trial whether the latest call of its worker ran it."""
    return [trial["new"] for trial in findings.read(settings, facts["study"])["history"]]


def test_a_complete_study_is_reused(make_search, uri, states):
    settings = make_search(trials=2, workers=1)
    first = optimize(settings, uri=uri, worker=0)
    again = optimize(settings, uri=uri, worker=0)
    assert again == first | {"run": 0, "reused": True}
    assert new_trials(settings, again) == [False, False]
    assert states() == {"COMPLETE": 2}


def test_a_worker_counts_only_its_own_trials(make_search, uri):
    settings = make_search(trials=3)
    assert optimize(settings, uri=uri, worker=1)["run"] == 1
    facts = optimize(settings, uri=uri, worker=0)
    assert (facts["run"], facts["trials"]) == (2, 3)
    assert new_trials(settings, facts) == [True, True, True]
    assert optimize(settings, uri=uri, worker=1)["run"] == 0
    assert new_trials(settings, facts) == [False, True, True]


def test_the_findings_have_the_trials_with_their_values_parameters_and_seconds(make_search, uri):
    settings = make_search(trials=2, workers=1)
    facts = optimize(settings, uri=uri, worker=0)
    found = findings.read(settings, facts["study"])
    assert found["train_rows"] == len(dataset.load(settings, uri).train)
    trials = optuna.load_study(study_name=facts["study"], storage=settings.studies.get_secret_value()).trials
    assert found["history"] == [
        {
            "number": trial.number,
            "value": trial.value,
            "seconds": trial.duration.total_seconds(),
            "params": trial.params,
            "new": True,
        }
        for trial in trials
    ]
    best = max(found["history"], key=lambda trial: trial["value"])
    assert (found["best_value"], found["best_params"]) == (best["value"], best["params"])


def test_a_worker_fails_the_unfinished_trial_of_its_last_process_and_no_other(make_search, uri, states):
    settings = make_search(trials=2)
    name = optimize(settings, uri=uri, worker=0)["study"]
    study = optuna.load_study(study_name=name, storage=settings.studies.get_secret_value())
    for worker in (0, 1):
        study.ask().set_user_attr("worker", worker)
    optimize(settings, uri=uri, worker=0)
    assert states() == {"COMPLETE": 1, "FAIL": 1, "RUNNING": 1}
    assert Counter(trial.state.name for trial in study.trials if trial.user_attrs["worker"] == 0) == {
        "COMPLETE": 1,
        "FAIL": 1,
    }


def test_settings_that_change_the_objective_start_another_study(make_search, make_settings, uri):
    base = make_search()
    other = [
        make_search(folds=4),
        make_search(space={"c": (0.1, 5.0)}),
        make_search(trials=5),
        make_settings(labels={"min_freq": 30}),
        make_settings(split={"seed": 1}),
        make_settings(threshold=0.2),
    ]
    names = {name_of(each, uri) for each in [base, *other]} | {name_of(base, "/elsewhere/abc.parquet")}
    assert len(names) == 8
    assert name_of(make_settings(slices={"short_text_words": 3}), uri) == name_of(base, uri)


def test_the_objective_is_the_cross_validated_score_of_the_model_itself(make_search, params, uri):
    space = {"title_repeats": (1, 5), "char_ngram_max": (2, 3), "max_df": (0.1, 1.0), "char_max_features": (30, 1000)}
    settings = make_search(space=space)
    train = dataset.load(settings, uri).train
    train = train.assign(title=train["title"].sample(frac=1, random_state=3).to_numpy())
    objective, folds = Objective(train, settings), StratifiedKFold(3, shuffle=True, random_state=settings.search.seed)
    found = []
    changes = [{"title_repeats": 5}, {"char_ngram_max": 2}, {"max_df": 0.1}, {"char_max_features": 30}]
    for change in ({}, *changes, {"word_ngram_max": 2}, {"c": 0.1}):
        trial = optuna.trial.FixedTrial(params | change)
        pipeline = model.build(
            suggest(trial, settings.search.space), columns=["title", "description"], threshold=0.0, rest="other"
        )
        scores = cross_val_score(pipeline, train, train["tag"].to_numpy(str), cv=folds, scoring="f1_weighted")
        found.append(objective(trial))
        assert found[-1] == pytest.approx(scores.mean())
    assert len(set(found)) == len(found)


def blanked(projects, rows):
    return projects.assign(**{name: projects[name].mask(rows, "nothing") for name in ("title", "description")})


def test_held_out_rows_change_nothing(make_search, projects, save_snapshot, tmp_path):
    settings = make_search(trials=1, workers=1, space={"c": (1.0, 1.0), "word_ngram_max": (1,)})
    held_out = projects["id"].isin(dataset.load(settings, save_snapshot(projects, tmp_path)).test["id"])
    scores = [
        optimize(settings, uri=save_snapshot(each, tmp_path), worker=0)["best_value"]
        for each in (projects, blanked(projects, held_out), blanked(projects, ~held_out))
    ]
    assert scores[0] == scores[1] != scores[2]


def test_a_class_with_too_few_rows_for_the_folds_is_named(make_search, uri):
    with pytest.raises(
        TagifaiError, match=r"class other has \d+ training rows, 8 folds need 16: raise labels\.min_freq"
    ):
        optimize(make_search(folds=8), uri=uri, worker=0)


def test_trials_that_cannot_be_fitted_are_pruned_and_not_run_again(
    make_search, projects, save_snapshot, tmp_path, states
):
    # Each n-gram is in all texts, so those in at most 40 % are none.
    uri = save_snapshot(projects.assign(title="same", description="text"), tmp_path)
    settings = make_search(trials=8, workers=1, space={"max_df": (0.4, 1.0)})
    facts = optimize(settings, uri=uri, worker=0)
    ended = states()
    assert set(ended) == {"COMPLETE", "PRUNED"}
    assert facts["trials"] == ended["COMPLETE"]
    assert facts["best_params"]["max_df"] == 1.0
    assert optimize(settings, uri=uri, worker=0)["run"] == 0
    assert states() == ended


@pytest.mark.parametrize(("text", "reason"), [("same", "all n-grams of words are in more than 40%"), ("!", "no words")])
def test_when_no_trial_can_be_fitted_one_sentence_says_why(
    make_search, projects, save_snapshot, tmp_path, text, reason
):
    uri = save_snapshot(projects.assign(title=text, description=text), tmp_path)
    settings = make_search(trials=2, workers=1, space={"max_df": (0.4,)})
    with pytest.raises(TagifaiError, match=rf"no trial could be fitted: .*{reason}.* change search\.space"):
        optimize(settings, uri=uri, worker=0)


def test_an_unknown_worker_is_an_error(make_search, uri):
    with pytest.raises(TagifaiError, match=r"there is no worker 2: search\.workers is 2"):
        optimize(make_search(), uri=uri, worker=2)


def test_a_database_that_does_not_answer_is_an_error(settings, uri):
    with pytest.raises(TagifaiError, match=r"database of the studies refused: .*Check MLOPS_STUDIES"):
        optimize(settings, uri=uri, worker=0)
