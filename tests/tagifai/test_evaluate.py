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


def test_texts_are_short_by_words_or_by_the_characters_of_scripts_without_spaces(settings):
    texts = {
        "seven words are a short text then": True,
        "eight words are not a short text then, you see": False,
        "": True,
        "图像分割的一个简单的库": True,
        "这是一个用于图像分割和目标检测的简单而又快速的深度学习库": False,
        "การแบ่งส่วนภาพ": True,
        "ไลบรารีอย่างง่ายสำหรับการแบ่งส่วนภาพ": False,
        "PyTorch の簡単な使い方 and six more words, so not short": False,
        "PyTorch の簡単な使い方": True,
        "일곱 단어는 짧은 글 하나 입니다": True,
    }
    frame = pd.DataFrame({"subject": list(texts), "body": ""})
    assert dict(zip(texts, slices(frame, ["subject", "body"], settings.slices)["short_text"], strict=True)) == texts


def test_other_slices_are_the_texts_in_which_a_pattern_is_found(settings):
    texts = [
        ("Fast CNN", "for images"),
        ("Graphs", "a Convolutional network"),
        ("GPT", "a large TRANSFORMER"),
        ("CNNBC", "news that are not about networks of any kind"),
        ("ends with", None),
    ]
    bounds = settings.slices.model_copy(update={"patterns": settings.slices.patterns | {"(fast) & rest": "^(F)(?!x)"}})
    masks = slices(pd.DataFrame(texts, columns=["title", "description"]), ["title", "description"], bounds)
    assert list(masks) == ["short_text", "cnn_or_transformer", "(fast) & rest"]
    assert masks["cnn_or_transformer"].tolist() == [True, True, True, False, False]
    assert masks["(fast) & rest"].tolist() == [True, False, False, False, False]


class Parrot:
    """A model that predicts the first word of the description."""

    def predict(self, rows):
        return rows["description"].str.split().str[0].to_numpy()


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


def test_an_answer_in_another_spelling_of_the_label_is_right(settings):
    test = pd.DataFrame(
        {"title": "t", "description": ["billing", "BILLING", "music"], "tag": ["Billing", "Billing", "x"]}
    )
    found = measure(Parrot(), test, settings)
    assert found["per_class"]["Billing"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "rows": 2}
    assert found["recall"] == pytest.approx(2 / 3)
