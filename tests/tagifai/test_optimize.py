import multiprocessing
import os
import re
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Barrier
from types import SimpleNamespace

import optuna
import pandas as pd
import pytest
from sklearn.model_selection import StratifiedKFold, cross_val_score

from tagifai import dataset, findings, model
from tagifai import objective as objective_module
from tagifai import study as study_module
from tagifai.errors import TagifaiError
from tagifai.objective import Objective, sample, suggest
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
        make_settings(columns={"texts": ["description", "title"]}),
    ]
    names = {name_of(each, uri) for each in [base, *other]} | {name_of(base, "/elsewhere/abc.parquet")}
    assert len(names) == 9
    assert name_of(make_settings(slices={"short_text_words": 3}), uri) == name_of(base, uri)
    assert name_of(make_search(minutes=5), uri) == name_of(base, uri)


@pytest.mark.parametrize("cached", [objective_module.MAX_CACHED, 100])
def test_the_objective_is_the_cross_validated_score_of_the_model_itself_also_without_room_for_features(
    make_search, params, uri, monkeypatch, cached
):
    monkeypatch.setattr(objective_module, "MAX_CACHED", cached)
    space = {"title_repeats": (1, 5), "char_ngram_max": (2, 3), "max_df": (0.1, 1.0), "char_max_features": (30, 1000)}
    settings = make_search(space=space)
    train = dataset.load(settings, uri).train
    train = train.assign(title=train["title"].sample(frac=1, random_state=3).to_numpy())
    objective, folds = Objective(train, settings), StratifiedKFold(3, shuffle=True, random_state=settings.search.seed)
    found = []
    changes = [{"title_repeats": 5}, {"char_ngram_max": 2}, {"max_df": 0.1}, {"char_max_features": 30}]
    for change in ({}, *changes, {"word_ngram_max": 2}, {"c": 0.1}):
        trial = optuna.trial.FixedTrial(params | change)
        options = {"columns": settings.columns.texts, "threshold": 0.0, "rest": "other"}
        pipeline = model.build(suggest(trial, settings.search.space), **options)
        scores = cross_val_score(pipeline, train, train["tag"].to_numpy(str), cv=folds, scoring="f1_weighted")
        found.append(objective(trial))
        assert found[-1] == pytest.approx(scores.mean())
    assert len(set(found)) == len(found)


def test_labels_of_held_out_rows_change_nothing(make_search, projects, save_snapshot, tmp_path):
    settings = make_search(trials=1, workers=1, space={"c": (1.0, 1.0), "word_ngram_max": (1,)})
    held_out = projects["id"].isin(dataset.load(settings, save_snapshot(projects, tmp_path)).test["id"])

    def shuffled(rows):
        tags = projects.loc[rows, "tag"].sample(frac=1, random_state=1).to_numpy()
        return projects.assign(tag=projects["tag"].mask(rows, pd.Series(tags, index=projects.index[rows])))

    scores = [
        optimize(settings, uri=save_snapshot(each, tmp_path), worker=0)["best_value"]
        for each in (projects, shuffled(held_out), shuffled(~held_out))
    ]
    assert scores[0] == scores[1] != scores[2]


def labeled(*counts):
    """Rows with so many of each class."""
    tags = [f"class {number}" for number, count in enumerate(counts) for _ in range(count)]
    return pd.DataFrame({"title": [f"text {row}" for row in range(len(tags))], "description": "", "tag": tags})


@pytest.mark.parametrize(
    ("counts", "folds"), [((20, 3, 2, 1, 1), 3), ((20, 5), 3), ((2, 2, 1), 2), ((2, 1), 2), ((40, 1), 3)]
)
def test_each_fold_trains_all_classes_and_each_row_of_classes_with_two_or_more_is_scored_once(settings, counts, folds):
    rows = labeled(*counts)
    objective = Objective(rows, settings)
    scored = Counter()
    for inside, outside in objective._folds:
        assert set(rows["tag"].iloc[inside]) == set(rows["tag"])
        assert not set(inside) & set(outside)
        scored.update(outside)
    assert len(objective._folds) == folds
    assert scored == dict.fromkeys(rows.index[rows["tag"].map(rows["tag"].value_counts()) > 1], 1)


def test_rows_of_which_each_is_of_another_class_are_an_error(settings):
    with pytest.raises(TagifaiError, match=r"each of the 3 training rows is of another class: raise labels\.min_freq"):
        Objective(labeled(1, 1, 1), settings)


def test_trials_use_a_sample_with_two_rows_of_each_class_that_does_not_depend_on_their_order(settings, monkeypatch):
    monkeypatch.setattr(objective_module, "MAX_ROWS", 50)
    rows = labeled(200, 30, 2, 1)
    found = sample(rows, settings)
    assert (len(found), Objective(rows, settings).rows) == (50, 50)
    assert found["tag"].value_counts()[["class 2", "class 3"]].tolist() == [2, 1]
    assert list(found.index) == sorted(found.index)
    again = sample(rows.sample(frac=1, random_state=1), settings)
    assert set(again["title"]) == set(found["title"])
    assert sample(found, settings) is found


def test_trials_on_a_sample_are_told(make_search, uri, monkeypatch):
    monkeypatch.setattr(objective_module, "MAX_ROWS", 90)
    settings = make_search(trials=1, workers=1)
    facts = optimize(settings, uri=uri, worker=0)
    rows = len(dataset.load(settings, uri).train)
    assert facts["notes"] == [f"a trial used 90 of {rows} training rows"]
    assert findings.read(settings, facts["study"])["train_rows"] == 90


@pytest.fixture
def a_minute_a_fold(monkeypatch):
    """Each of the three folds of a trial takes a minute of the clock that the search looks at."""
    clock, score = SimpleNamespace(now=0.0), Objective._score
    clock.monotonic = lambda: clock.now

    def score_slowly(self, params, fold):
        value = score(self, params, fold)
        clock.now += 60
        return value

    monkeypatch.setattr(Objective, "_score", score_slowly)
    for module in (objective_module, study_module):
        monkeypatch.setattr(module, "time", clock)


def test_the_search_stops_at_its_time_budget_which_counts_from_the_first_complete_trial(
    make_search, uri, states, a_minute_a_fold
):
    settings = make_search(trials=8, workers=1, minutes=4)
    facts = optimize(settings, uri=uri, worker=0)
    # The second trial takes three minutes, the third stops after two folds.
    assert states() == {"COMPLETE": 2, "PRUNED": 1}
    assert (facts["trials"], facts["run"]) == (2, 2)
    assert facts["notes"] == ["search.minutes (4) stopped worker 0 after 2 trials"]
    assert findings.read(settings, facts["study"])["notes"] == facts["notes"]


def test_however_short_the_budget_is_there_is_a_complete_trial(make_search, uri, a_minute_a_fold):
    assert optimize(make_search(trials=8, workers=1, minutes=0.1), uri=uri, worker=0)["trials"] == 1


def test_a_study_that_its_budget_stopped_is_reused_and_continues_only_with_more_minutes(
    make_search, uri, states, a_minute_a_fold
):
    def again(minutes):
        return optimize(make_search(trials=8, workers=1, minutes=minutes), uri=uri, worker=0)

    first = again(4)
    for minutes in (4, 3):
        assert again(minutes) == first | {"run": 0, "reused": True}
    # Four of the seven minutes are used up, and a complete trial is there.
    more = again(7)
    assert (more["study"], more["run"], more["trials"]) == (first["study"], 1, 3)
    assert more["notes"] == ["search.minutes (7) stopped worker 0 after 3 trials"]
    rest = again(None)
    assert (rest["run"], rest["trials"], rest["notes"]) == (5, 8, [])
    assert states() == {"COMPLETE": 8, "PRUNED": 2}
    assert again(1)["reused"]


def test_the_log_tells_what_is_run_and_how_long_it_takes(make_search, uri, a_minute_a_fold, caplog):
    caplog.set_level("INFO", "tagifai")
    settings = make_search(trials=3, workers=1, minutes=4)
    optimize(settings, uri=uri, worker=0)
    rows = len(dataset.load(settings, uri).train)
    start, first, second, end = [text for text in caplog.messages if text.startswith("worker 0")]
    assert start.startswith(f"worker 0: 3 trials on {rows} of {rows} training rows")
    assert re.match(r"worker 0, trial 1 of 3: F1 [01]\.\d+ in \d+ s, about \d+ s left, with {", first)
    assert re.match(r"worker 0, trial 2 of 3: ", second)
    assert end == "worker 0 stops: search.minutes (4) are over"


def test_trials_that_cannot_be_fitted_are_pruned_and_not_run_again(
    make_search, projects, save_snapshot, tmp_path, states
):
    # Each n-gram is in all texts, so those in at most 40 % are none.
    uri = save_snapshot(projects.assign(title=[*map("same ".__mul__, projects["id"])], description="text"), tmp_path)
    settings = make_search(trials=8, workers=1, space={"max_df": (0.4, 1.0)})
    facts = optimize(settings, uri=uri, worker=0)
    ended = states()
    assert set(ended) == {"COMPLETE", "PRUNED"}
    assert facts["trials"] == ended["COMPLETE"]
    assert facts["best_params"]["max_df"] == 1.0
    assert optimize(settings, uri=uri, worker=0)["run"] == 0
    assert states() == ended


@pytest.mark.parametrize(
    ("text", "reason"), [("same ", "all n-grams of words are in more than 40%"), ("!", "no words")]
)
def test_when_no_trial_can_be_fitted_one_sentence_says_why(
    make_search, projects, save_snapshot, tmp_path, text, reason
):
    uri = save_snapshot(projects.assign(title=[*map(text.__mul__, projects["id"])], description=text), tmp_path)
    settings = make_search(trials=2, workers=1, space={"max_df": (0.4,)})
    with pytest.raises(TagifaiError, match=rf"no trial could be fitted: .*{reason}.* change search\.space"):
        optimize(settings, uri=uri, worker=0)


def test_an_unknown_worker_is_an_error(make_search, uri):
    with pytest.raises(TagifaiError, match=r"there is no worker 2: search\.workers is 2"):
        optimize(make_search(), uri=uri, worker=2)


def test_a_database_that_does_not_answer_is_an_error(settings, uri):
    with pytest.raises(TagifaiError, match=r"database of the studies refused: .*Check MLOPS_STUDIES"):
        optimize(settings, uri=uri, worker=0)
