from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from tagifai.labels import relabel

SHARED_TAGS = Path(__file__).resolve().parents[3] / "shared" / "data" / "tags.csv"
TAGS = pd.Series(["nlp"] * 5 + ["cv"] * 3 + ["rl"] * 2 + ["graph"])


@pytest.mark.parametrize(
    ("classes", "min_freq", "expected"),
    [
        (None, 1, {"nlp": 5, "cv": 3, "rl": 2, "graph": 1}),
        (None, 3, {"nlp": 5, "cv": 3, "other": 3}),
        (("cv", "graph"), 1, {"cv": 3, "graph": 1, "other": 7}),
        (("cv", "graph"), 3, {"cv": 3, "other": 8}),
        (None, 6, {"other": 11}),
    ],
)
def test_rare_tags_and_those_that_are_not_classes_become_other(classes, min_freq, expected):
    assert Counter(relabel(TAGS, classes=classes, min_freq=min_freq)) == expected


def test_each_row_keeps_its_place():
    relabeled = relabel(TAGS.iloc[::-1], classes=None, min_freq=2)
    assert list(relabeled.index) == list(range(10, -1, -1))
    assert relabeled[10] == "other"
    assert relabeled[0] == "nlp"


def test_other_stays_a_class_however_few_its_rows_are():
    assert Counter(relabel(pd.Series(["a"] * 4 + ["other"]), classes=("a",), min_freq=2)) == {"a": 4, "other": 1}


def test_the_shared_projects_have_four_classes():
    if not SHARED_TAGS.exists():
        pytest.skip("the shared data is not on this machine")
    assert Counter(relabel(pd.read_csv(SHARED_TAGS)["tag"], classes=None, min_freq=50)) == {
        "natural-language-processing": 310,
        "computer-vision": 285,
        "other": 106,
        "mlops": 63,
    }
