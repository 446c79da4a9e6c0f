import unicodedata

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagifai.split import hashes, held_out, split


def labeled(numbers):
    numbers = list(numbers)
    tags = ["even" if each % 2 == 0 else "odd" for each in numbers]
    return pd.DataFrame({"id": numbers, "title": [f"Title {each}" for each in numbers], "description": "", "tag": tags})


def sides(rows, **changes):
    return split(rows, **{"texts": ("title", "description"), "label": "tag", "test_size": 0.2, "seed": 42} | changes)


def ids_held_out(numbers, **changes):
    return set(sides(labeled(numbers), **changes).test["id"])


def is_held_out(*texts):
    columns = [str(number) for number in range(len(texts))]
    return bool(held_out(pd.DataFrame([texts], columns=columns), texts=columns, test_size=0.5, seed=1)[0])


def hash_of(text):
    return hashes(pd.DataFrame({"text": [text]}), texts=["text"], seed=1)[0]


def test_every_row_is_on_exactly_one_side():
    found = sides(labeled(range(500)))
    assert sorted([*found.train["id"], *found.test["id"]]) == list(range(500))
    assert (len(found.not_trained), found.exact) == (0, True)


def test_the_test_side_has_the_expected_share_of_rows():
    assert 1850 < len(ids_held_out(range(10_000))) < 2150
    assert 4850 < len(ids_held_out(range(10_000), test_size=0.5)) < 5150


def test_a_row_stays_on_its_side_as_the_data_grows_or_is_reordered_and_whatever_its_id_and_label_are():
    assert ids_held_out(range(1000)) & set(range(500)) == ids_held_out(range(500)) == ids_held_out(range(499, -1, -1))
    other = labeled(range(500)).assign(tag="even").assign(tag=lambda rows: rows["tag"].mask(rows["id"] < 250, "odd"))
    other["id"] = other["id"] + 0.5
    assert {each - 0.5 for each in sides(other).test["id"]} == ids_held_out(range(500))


def test_another_seed_holds_out_other_rows():
    assert ids_held_out(range(500), seed=1) != ids_held_out(range(500), seed=2)


def test_a_larger_test_side_contains_the_smaller_one():
    assert ids_held_out(range(500), test_size=0.1) < ids_held_out(range(500), test_size=0.2)


def test_the_assignment_never_changes_between_versions():
    assert sorted(ids_held_out(range(1, 41))) == [4, 17, 19, 25, 30, 36, 39]


def test_each_text_of_a_row_decides_and_null_is_an_empty_one():
    assert len({is_held_out("same", str(number)) for number in range(20)}) == 2
    assert [is_held_out(str(n), None) for n in range(20)] == [is_held_out(str(n), "") for n in range(20)]


@settings(deadline=None, derandomize=True)
@given(
    st.text(),
    st.sampled_from(" \n\t.,;:!?-_()\"'#*\u3000\u2026\u00a0"),
    st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]),
)
def test_copies_that_differ_in_punctuation_blanks_and_normal_form_are_on_one_side(text, mark, form):
    copies = [f"{mark}a{mark}{text}{mark}", unicodedata.normalize(form, f"a{text}")]
    assert {hash_of(each) for each in copies} == {hash_of(f"a{text}")}


@settings(deadline=None, derandomize=True)
@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_copies_that_differ_in_case_are_on_one_side(text):
    assert hash_of(text.upper()) == hash_of(text.lower()) == hash_of(text.title())


def test_texts_without_letters_and_digits_are_told_apart_as_they_are():
    assert len({is_held_out("🎉" * number) for number in range(1, 20)}) == 2
    assert len({is_held_out("!" * number) for number in range(1, 20)}) == 2


def test_a_class_without_a_training_row_is_set_apart():
    rows = labeled(range(100))
    outside = min(ids_held_out(range(100)))
    found = sides(rows.assign(tag=rows["tag"].mask(rows["id"] == outside, "rare")))
    assert found.not_trained["tag"].tolist() == ["rare"]
    assert outside not in set(found.test["id"]) | set(found.train["id"])


def test_a_class_without_a_test_row_is_trained():
    rows = labeled(range(100))
    inside = min(set(range(100)) - ids_held_out(range(100)))
    found = sides(rows.assign(tag=rows["tag"].mask(rows["id"] == inside, "rare")))
    assert "rare" in set(found.train["tag"]) - set(found.test["tag"])


def test_where_no_row_would_be_held_out_the_text_with_the_smallest_hash_is_with_its_copies():
    rows = labeled(range(20))
    found = sides(pd.concat([rows, rows]), test_size=1e-6)
    (number,) = set(found.test["id"])
    assert (len(found.test), len(found.train), found.exact) == (2, 38, False)
    hashed = hashes(rows, texts=("title", "description"), seed=42)
    assert number == hashed.argmin()


def test_the_last_text_of_a_class_is_not_held_out_in_place_of_others():
    rows = labeled(range(20)).assign(tag=["single", *["common"] * 19])
    for seed in range(40):
        assert set(sides(rows, test_size=1e-9, seed=seed).test["tag"]) == {"common"}


def test_where_each_class_has_one_text_nothing_can_be_held_out():
    with pytest.raises(ValueError, match="no class has two different texts"):
        sides(labeled([1, 2]), test_size=1e-9)
