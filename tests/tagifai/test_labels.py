import re
import unicodedata
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import labels as gates
from tagifai.labels import WHITE_SPACE, classify, normal_form, notes
from tagifai.settings import Labels

ROOT = Path(__file__).resolve().parents[2]
CLEAN = ROOT / "dbt_transforms" / "macros" / "clean.sql"
SHARED_TAGS = ROOT.parent / "shared" / "data" / "tags.csv"
TAGS = ["nlp"] * 5 + ["cv"] * 3 + ["rl"] * 2 + ["graph"]


def classified(cells, **changes):
    defaults = {"known": None, "classes": None, "min_freq": 1, "rest": "other", "separator": None, "several": "stop"}
    return classify(pd.Series(list(cells)), Labels(**defaults | changes))


def classes(cells, **changes):
    return classified(cells, **changes).of_rows.tolist()


@settings(deadline=None, derandomize=True)
@given(st.text(max_size=300), st.sampled_from(WHITE_SPACE))
def test_the_normal_form_is_that_of_itself_and_of_all_canonical_forms_with_blanks_around_them(label, blank):
    form = normal_form(label)
    assert normal_form(form) == form
    assert {normal_form(unicodedata.normalize(name, label)) for name in ("NFC", "NFD")} == {form}
    assert normal_form(f"{blank}{label}{blank}") == form


@pytest.mark.parametrize(
    "spellings",
    [
        ["İSTANBUL", "i̇stanbul", " İstanbul\u3000"],
        ["ΟΔΟΣ", "οδος", "οδοσ"],
        ["Straße", "STRASSE", "straẞe"],
        ["Café", "CAFE\u0301", "\ufeffcafé\u200b"],
    ],
)
def test_spellings_that_differ_in_case_canonical_form_and_blanks_have_one_normal_form(spellings):
    assert len({normal_form(each) for each in spellings}) == 1


@given(st.text(max_size=300))
def test_the_gates_have_the_same_normal_form(label):
    assert gates.normal_form(label) == normal_form(label)


def test_labels_that_differ_otherwise_have_different_normal_forms():
    assert (
        len({normal_form(each) for each in ("c", "c+", "c++", "c ++", "resume", "résumé", "ISTANBUL", "İSTANBUL")}) == 8
    )


def test_white_space_is_that_of_the_dbt_models():
    (escaped,) = re.findall(r"'(\\t.*)'", CLEAN.read_text())
    assert escaped.encode().decode("unicode_escape") == WHITE_SPACE


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"nlp": 5, "cv": 3, "rl": 2, "graph": 1}),
        ({"min_freq": 3}, {"nlp": 5, "cv": 3, "other": 3}),
        ({"classes": ("cv", "graph")}, {"cv": 3, "graph": 1, "other": 7}),
        ({"classes": ("cv", "graph"), "min_freq": 3, "rest": "Übrige"}, {"cv": 3, "Übrige": 8}),
    ],
)
def test_rare_labels_and_those_that_are_not_classes_become_the_rest(changes, expected):
    assert Counter(classes(TAGS, **changes)) == expected


def test_each_row_keeps_its_place_and_index():
    cells = pd.Series(TAGS).iloc[::-1]
    labels = Labels(known=None, classes=None, min_freq=2, rest="other", separator=None, several="stop")
    of_rows = classify(cells, labels).of_rows
    assert list(of_rows.index) == list(range(10, -1, -1))
    assert (of_rows[10], of_rows[0]) == ("other", "nlp")


def test_a_class_is_shown_in_its_most_frequent_spelling_and_among_equals_in_the_first():
    found = classified(["Billing", "billing", "billing ", "MUSIC", "Music", "news"])
    assert found.of_rows.tolist() == ["billing"] * 3 + ["MUSIC"] * 2 + ["news"]
    assert found.facts["spellings"] == {"billing": {"billing": 2, "Billing": 1}, "MUSIC": {"MUSIC": 1, "Music": 1}}
    assert notes(found.facts) == [
        "labels with several spellings, by rows: billing (billing 2, Billing 1); MUSIC (MUSIC 1, Music 1)"
    ]


def test_spellings_count_together_for_min_freq():
    assert classes(["A", "a", "b"], min_freq=2) == ["A", "A", "other"]


def test_entries_of_classes_are_compared_by_normal_form_and_those_that_no_row_has_are_named():
    found = classified(["Café", "tea", "tea"], classes=("CAFE\u0301", "Soup"))
    assert found.of_rows.tolist() == ["Café", "other", "other"]
    assert found.facts["absent_classes"] == ["Soup"]
    assert notes(found.facts) == ["entries of labels.classes that no row has: Soup"]


def test_labels_that_are_too_rare_for_a_class_are_named_and_those_that_are_no_classes_are_not():
    found = classified(TAGS, min_freq=3, classes=("nlp", "cv", "graph"))
    assert found.facts["rare"] == {"graph": 1}
    assert notes(found.facts) == ["labels with fewer rows than labels.min_freq, which are in labels.rest: graph 1"]


CELLS = ["billing;music", "music", "music", "billing; Billing ;", "news;;billing", ";"]


@pytest.mark.parametrize(
    ("several", "expected"),
    [
        ("first", ["billing", "music", "music", "billing", "news", ";"]),
        ("most_frequent", ["billing", "music", "music", "billing", "billing", ";"]),
    ],
)
def test_of_several_labels_in_a_cell_the_first_or_the_most_frequent_counts(several, expected):
    # Both music and billing are in three cells; of equals the first in the cell counts.
    found = classified(CELLS, separator=";", several=several)
    assert found.of_rows.tolist() == expected
    assert found.facts["several"] == {"billing;music": 1, "news;;billing": 1}
    assert notes(found.facts)[-1].endswith("of which one counts, by rows: billing;music 1, news;;billing 1")


def test_several_labels_in_a_cell_stop_with_their_counts_and_without_a_separator_are_one():
    with pytest.raises(ValueError, match=r"several labels: billing;music 1, news;;billing 1: set labels\.several to"):
        classified(CELLS, separator=";", several="stop")
    assert classes(CELLS) == CELLS


def test_a_label_with_the_name_of_the_rest_is_an_error_that_says_what_to_rename():
    with pytest.raises(ValueError, match=r"the label 'OTHER', which is the name .*: rename it .*labels\.rest"):
        classified([*TAGS, "OTHER"])
    assert "OTHER" in classes([*TAGS, "OTHER"], rest="rest")


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"min_freq": 6}, r"nlp 5, cv 3, rl 2, graph 1: set labels\.min_freq \(6\) to 5 or lower"),
        ({"classes": ("x",)}, r"none of them is in labels\.classes \(x\)"),
    ],
)
def test_fewer_than_two_classes_are_an_error_with_the_counts_and_the_remedy(changes, remedy):
    with pytest.raises(ValueError, match=remedy):
        classified(TAGS, **changes)


def test_a_single_label_is_an_error_that_asks_for_another():
    with pytest.raises(ValueError, match=r"labels by rows: a 1,000: load rows of another label"):
        classified(["a"] * 1000)


@settings(deadline=None, derandomize=True)
@given(st.lists(st.text(min_size=1, max_size=300), min_size=2, unique_by=normal_form))
def test_any_text_is_a_label_and_shown_without_the_blanks_around_it(cells):
    if any(normal_form(each) == "other" for each in cells):
        return
    assert classes(cells) == [each.strip(WHITE_SPACE) or each for each in cells]


def test_the_shared_projects_have_four_classes():
    if not SHARED_TAGS.exists():
        pytest.skip("the shared data is not on this machine")
    assert Counter(classes(pd.read_csv(SHARED_TAGS)["tag"], min_freq=50)) == {
        "natural-language-processing": 310,
        "computer-vision": 285,
        "other": 106,
        "mlops": 63,
    }
