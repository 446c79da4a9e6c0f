import json
import random
from collections import Counter

import optuna
import pandas as pd
import pytest

from tagifai import dataset, model
from tagifai.errors import TagifaiError
from tagifai.evaluate import measure
from tagifai.objective import Objective
from tagifai.split import held_out


def frame(labels, *, seed=0):
    """Rows with these labels, whose texts have a word of the label among others."""
    chance, words = random.Random(seed), [f"word{number}" for number in range(500)]
    texts = [" ".join([f"about{label}", *chance.sample(words, 5)]) for label in labels]
    return pd.DataFrame({"id": range(len(texts)), "title": texts, "description": "", "tag": list(labels)})


@pytest.fixture
def quick(params):
    """Parameters of a fit that takes no time."""
    return params | {"word_max_features": 100, "char_max_features": 10, "c": 0.01}


@pytest.fixture
def load(make_settings, save_snapshot, tmp_path, quick):
    """Function that loads a frame with some settings of `labels` and `split`; returns these settings too."""

    def load(rows, split=None, **labels):
        space = {name: [each] for name, each in quick.items()} | {"c": [quick["c"]] * 2}
        settings = make_settings(labels=labels, split=split or {}, search={"folds": 3, "space": space})
        return settings, dataset.load(settings, save_snapshot(rows, tmp_path))

    return load


@pytest.fixture
def run(load, quick):
    """Function that takes a frame through load, a trial, a fit and the metrics; returns the facts and the metrics."""

    def run(rows, **changes):
        settings, data = load(rows, **changes)
        assert 0 <= Objective(data.train, settings)(optuna.trial.FixedTrial(quick)) <= 1
        columns, rest = settings.columns, settings.labels.rest
        fitted = model.fit(quick, data.train, columns=columns.texts, label=columns.label, threshold=0.0, rest=rest)
        assert set(fitted.classes_) == set(data.train["tag"])
        return data.facts, measure(fitted, data.test, settings)

    return run


def test_a_snapshot_is_labelled_and_split(settings, uri):
    train, test, facts = dataset.load(settings, uri)
    assert len(train) + len(test) == 150
    assert set(train["tag"]) == {"natural-language-processing", "computer-vision", "mlops", "other"} == set(test["tag"])
    assert facts["not_trained"] == facts["not_scored"] == facts["spellings"] == facts["several"] == {}


def test_fewer_than_two_classes_are_an_error_that_names_the_snapshot_and_the_remedy(make_settings, uri):
    with pytest.raises(
        TagifaiError, match=r"parquet: a model needs two .*: set labels\.min_freq \(1000\) to 60 or lower"
    ):
        dataset.load(make_settings(labels={"min_freq": 1000}), uri)


@pytest.mark.parametrize("seed", range(8))
def test_one_odd_label_among_300_rows_runs_on_whichever_side_it_is(run, seed):
    facts, metrics = run(frame(["a", "b", "c"] * 100 + ["odd"]), min_freq=10, split={"seed": seed})
    aside = facts["not_trained"] | facts["not_scored"]
    assert aside == {"other": 1}
    assert set(metrics["per_class"]) == {"a", "b", "c"}
    assert any("other 1" in note for note in facts["notes"])


def test_both_sides_of_one_odd_label_occur(load):
    rows = frame(["a", "b", "c"] * 100 + ["odd"])
    found = [load(rows, min_freq=10, split={"seed": seed})[1].facts for seed in range(8)]
    assert {bool(each["not_trained"]) for each in found} == {True, False}


def test_thirty_rows_run_with_a_note_on_what_they_can_show(run):
    facts, metrics = run(frame(["a", "b", "c"] * 10), min_freq=10)
    assert metrics["test_rows"] + sum(facts["not_trained"].values()) > 0
    assert any("of 30 rows are held out: a score of so few" in note for note in facts["notes"])


@pytest.mark.parametrize("seed", range(3))
def test_a_handful_of_rows_runs_whatever_the_seed_is(run, seed):
    facts, metrics = run(frame(["a", "b"] * 3), min_freq=1, split={"seed": seed, "test_size": 0.01})
    assert metrics["test_rows"] == 1
    assert "the split would have held out no row that can be scored, so the text with the smallest" in str(
        facts["notes"]
    )


@pytest.mark.parametrize(("rows", "min_freq", "seed"), [(2000, 1, 1), (3000, 10, 2)])
def test_samples_of_very_uneven_classes_run_and_each_row_is_accounted_for(run, rows, min_freq, seed):
    labels = random.Random(seed).choices(range(60), weights=[1 / rank**1.5 for rank in range(1, 61)], k=rows)
    facts, metrics = run(
        frame([f"section {each}" for each in labels], seed=seed), min_freq=min_freq, split={"seed": seed}
    )
    counts = Counter(f"section {each}" for each in labels)
    for name, count in facts["not_trained"].items() | facts["not_scored"].items():
        assert counts[name] == count or name == "other"
    assert not set(metrics["per_class"]) & (set(facts["not_trained"]) | set(facts["not_scored"]))
    assert json.loads(json.dumps(facts)) == facts


def test_a_single_trained_class_is_an_error_that_tells_what_is_held_out(load):
    rows = frame(["a"] * 10 + ["b"])
    options = {"texts": ["title", "description"], "test_size": 0.2}
    seed = next(seed for seed in range(100) if held_out(rows, seed=seed, **options)[-1])
    with pytest.raises(TagifaiError, match=r"every training row is of class a, and held out are .*b 1: load more rows"):
        load(rows, min_freq=1, split={"seed": seed})
