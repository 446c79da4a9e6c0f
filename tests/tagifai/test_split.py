import pandas as pd
import pytest

from tagifai.split import is_held_out, split


def labeled(ids):
    return pd.DataFrame({"id": list(ids), "tag": ["even" if each % 2 == 0 else "odd" for each in ids]})


def held_out(ids, **kwargs):
    return set(split(labeled(ids), **{"test_size": 0.2, "seed": 42} | kwargs).test["id"])


def test_every_row_is_on_exactly_one_side():
    train, test = split(labeled(range(500)), test_size=0.2, seed=42)
    assert sorted([*train["id"], *test["id"]]) == list(range(500))


def test_the_test_side_has_the_expected_share_of_rows():
    assert 1850 < len(held_out(range(10_000))) < 2150
    assert 4850 < len(held_out(range(10_000), test_size=0.5)) < 5150


def test_a_row_stays_on_its_side_as_the_data_grows_or_is_reordered():
    assert held_out(range(1000)) & set(range(500)) == held_out(range(500)) == held_out(range(499, -1, -1))


def test_another_seed_holds_out_other_rows():
    assert held_out(range(500), seed=1) != held_out(range(500), seed=2)


def test_a_larger_test_side_contains_the_smaller_one():
    assert held_out(range(500), test_size=0.1) < held_out(range(500), test_size=0.2)


def test_the_assignment_never_changes_between_versions():
    chosen = [each for each in range(1, 41) if is_held_out(each, test_size=0.2, seed=42)]
    assert chosen == [2, 18, 19, 24, 27, 28]


def test_a_side_without_a_tag_is_an_error_that_names_both():
    rows = labeled(range(100)).assign(tag="common")
    inside = next(each for each in range(100) if not is_held_out(each, test_size=0.2, seed=42))
    outside = next(each for each in range(100) if is_held_out(each, test_size=0.2, seed=42))
    with pytest.raises(ValueError, match="tag rare is on the test side"):
        split(rows.assign(tag=rows["tag"].mask(rows["id"] == inside, "rare")), test_size=0.2, seed=42)
    with pytest.raises(ValueError, match="tag rare is on the training side"):
        split(rows.assign(tag=rows["tag"].mask(rows["id"] == outside, "rare")), test_size=0.2, seed=42)
