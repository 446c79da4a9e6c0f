import pytest

from tagifai import dataset
from tagifai.errors import TagifaiError


def test_a_snapshot_is_labelled_and_split(settings, uri):
    train, test = dataset.load(settings, uri)
    assert len(train) + len(test) == 150
    assert set(train["tag"]) == {"natural-language-processing", "computer-vision", "mlops", "other"} == set(test["tag"])


def test_a_single_class_is_an_error_that_names_it(make_settings, uri):
    settings = make_settings(labels={"min_freq": 1000})
    with pytest.raises(TagifaiError, match=r"every project is of class other.*lower labels\.min_freq \(1000\)"):
        dataset.load(settings, uri)


def test_a_side_without_a_class_is_an_error_that_says_how_to_fix_it(settings, projects, save_snapshot, tmp_path):
    few = projects[(projects["id"] <= 60) & (projects["tag"] != "time-series")]
    rare = few.assign(tag=few["tag"].mask(few["id"] == few["id"].min(), "rare"))
    uri = save_snapshot(rare, tmp_path)
    with pytest.raises(TagifaiError, match=r"of tag other is on the (test|training) side: raise labels\.min_freq"):
        dataset.load(settings.model_copy(update={"labels": settings.labels.model_copy(update={"min_freq": 2})}), uri)
