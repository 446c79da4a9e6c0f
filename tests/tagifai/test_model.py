import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier

from tagifai import model
from tagifai.model import ThresholdClassifier

TEXTS = ("title", "description")


@pytest.fixture(scope="module")
def fitted(fit, params, projects):
    return fit(params, projects, threshold=0.0)


def classifier(threshold):
    """Always 70 % a, 30 % b."""
    prior = DummyClassifier(strategy="prior")
    return ThresholdClassifier(prior, threshold, "the rest").fit(np.zeros((10, 1)), np.array(["a"] * 7 + ["b"] * 3))


@pytest.mark.parametrize(("threshold", "answer"), [(0.0, "a"), (0.7, "a"), (0.71, "the rest")])
def test_below_the_threshold_the_answer_is_the_rest(threshold, answer):
    fitted = classifier(threshold)
    assert fitted.predict(np.zeros((2, 1))).tolist() == [answer, answer]
    assert fitted.predict_proba(np.zeros((1, 1)))[0] == pytest.approx([0.7, 0.3])


def test_the_model_learns_the_tags(fitted, projects):
    assert (fitted.predict(projects) == projects["tag"]).mean() > 0.95
    assert fitted.predict_proba(projects).sum(axis=1) == pytest.approx(1)
    assert fitted.classes_.tolist() == sorted(projects["tag"].unique())


def test_the_first_text_counts_as_often_as_it_is_repeated_and_the_others_once():
    frame = pd.DataFrame({"title": ["T"], "description": ["D"]})
    assert model.join_text(frame, 1, TEXTS).tolist() == ["T D"]
    assert model.join_text(frame, 3, TEXTS).tolist() == ["T T T D"]
    frame = pd.DataFrame({"a b": ["x", "y"], "Ö": [None, "2"], 'c"': ["u", "v"], "other": [1, 2]})
    assert model.join_text(frame, 2, ["Ö", 'c"', "a b"]).tolist() == ["  u x", "2 2 v y"]
    assert model.join_text(frame, 2, ["a b"]).tolist() == ["x x", "y y"]


def test_a_missing_text_is_an_empty_one(fitted):
    frame = pd.DataFrame({"title": ["T", None], "description": [None, "D"]})
    assert model.join_text(frame, 1, TEXTS).tolist() == ["T ", " D"]
    assert len(fitted.predict(frame)) == 2


def test_an_unfitted_vectoriser_is_unfitted_after_saving(params):
    unfitted = model.build(params, columns=TEXTS, threshold=0.0, rest="other")["features"].transformer_list[0][1]
    assert not hasattr(pickle.loads(pickle.dumps(unfitted)), "vocabulary_")


@pytest.mark.parametrize("counts", [(20, 1), (20, 2, 1), (1, 1), (3, 2)])
def test_a_class_of_one_row_can_be_trained_and_its_row_is_recognised(params, counts):
    labels = [f"class{number}" for number, count in enumerate(counts) for _ in range(count)]
    rows = pd.DataFrame({"subject": [f"about {label} text{row}" for row, label in enumerate(labels)], "label": labels})
    fitted = model.fit(params, rows, columns=["subject"], label="label", threshold=0.0, rest="rest")
    assert fitted.predict(rows).tolist() == labels
    assert fitted.predict_proba(rows).sum(axis=1) == pytest.approx(1)


def test_only_rows_of_classes_with_too_few_are_repeated_for_the_calibration():
    labels = np.array(["a", "b", "c", "a", "a", "b"])
    assert model._enough(labels).tolist() == [0, 1, 1, 2, 2, 2, 3, 4, 5, 5]
