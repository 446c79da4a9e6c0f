import pytest
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import Pipeline

from tagifai import imports, model, persistence
from tagifai.errors import TagifaiError


@pytest.fixture(scope="module", params=[{}, {"word_ngram_max": 2, "max_df": 0.4, "title_repeats": 2}], ids=["a", "b"])
def fitted(request, params, projects):
    return model.fit(params | request.param, projects, threshold=0.1)


def test_a_loaded_model_equals_the_saved_one_and_saving_does_not_change_it(fitted, projects):
    before = fitted.predict_proba(projects)
    loaded = persistence.loads(persistence.dumps(fitted), origin="memory")
    assert isinstance(loaded, Pipeline)
    assert (loaded.predict_proba(projects) == before).all()
    assert (loaded.predict(projects) == fitted.predict(projects)).all()
    assert (fitted.predict_proba(projects) == before).all()


def test_exactly_the_types_that_a_model_consists_of_are_trusted(fitted):
    found = imports.skops_io().get_untrusted_types(data=persistence.dumps(fitted))
    assert sorted(found) == sorted(persistence.TRUSTED_TYPES)


def test_a_file_with_other_types_or_of_another_format_is_refused_by_name(fitted):
    foreign = DummyClassifier().fit([[0]], ["a"])
    with pytest.raises(
        TagifaiError, match=r"a/model\.skops is not a model of tagifai: .*DummyClassifier.*Train a new one"
    ):
        persistence.loads(persistence.dumps(foreign), origin="a/model.skops")
    with pytest.raises(TagifaiError, match=r"a/model\.skops is not a model of tagifai: .*zip"):
        persistence.loads(b"half", origin="a/model.skops")
