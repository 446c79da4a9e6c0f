import pandas as pd
import pytest

from tagifai.evaluate import measure, scores, slices

TEXTS = ["title", "description"]
TAGS = ["a", "a", "a", "a", "b", "b", "c", "c"]
PREDICTED = ["a", "a", "a", "b", "b", "c", "c", "other"]


def test_the_scores_are_those_computed_by_hand():
    found = scores(TAGS, PREDICTED)
    assert found["per_class"] == {
        "a": {"precision": 1.0, "recall": 0.75, "f1": pytest.approx(6 / 7), "rows": 4},
        "b": {"precision": 0.5, "recall": 0.5, "f1": 0.5, "rows": 2},
        "c": {"precision": 0.5, "recall": 0.5, "f1": 0.5, "rows": 2},
    }
    assert found["f1_weighted"] == pytest.approx((4 * 6 / 7 + 2 * 0.5 + 2 * 0.5) / 8)
    assert found["f1_macro"] == pytest.approx((6 / 7 + 0.5 + 0.5) / 3)
    assert found["precision"] == pytest.approx((4 * 1 + 2 * 0.5 + 2 * 0.5) / 8)
    assert found["recall"] == pytest.approx((4 * 0.75 + 2 * 0.5 + 2 * 0.5) / 8)


def test_a_class_that_is_never_predicted_scores_zero():
    assert scores(["a", "b"], ["a", "a"])["per_class"]["b"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "rows": 1}


def test_slices_are_short_texts_and_texts_about_cnns_or_transformers(settings):
    texts = [
        ("Fast CNN", "for images, with code and data"),
        ("seven words", "are a short text then"),
        ("eight words are", "not a short text then"),
        ("Graphs", "a Convolutional network and how to train it well"),
        ("GPT", "a large TRANSFORMER, explained in many words for all"),
        ("CNNBC", "news that are not about networks of any kind"),
    ]
    masks = slices(pd.DataFrame(texts, columns=TEXTS), TEXTS, settings.slices)
    assert {name: mask.tolist() for name, mask in masks.items()} == {
        "short_text": [False, True, False, False, False, False],
        "cnn_or_transformer": [True, False, False, True, True, False],
    }


class Parrot:
    """A model that predicts the first word of the description."""

    def predict(self, projects):
        return projects["description"].str.split().str[0].to_numpy()


def test_each_slice_is_measured_on_its_own_rows(settings):
    rows = [("short", "a", "a"), ("short", "b", "a"), ("a title of more than eight words or so, really", "b", "b")]
    test = pd.DataFrame(rows, columns=["title", "description", "tag"], index=[5, 3, 9])
    found = measure(Parrot(), test, settings)
    assert found["test_rows"] == 3
    assert found["slices"] == {
        "short_text": {"rows": 2, "f1_weighted": pytest.approx(2 / 3)},
        "cnn_or_transformer": {"rows": 0, "f1_weighted": None},
    }
    assert found["recall"] == pytest.approx(2 / 3)
