import pytest
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import Pipeline

from tagifai import imports, model, persistence
from tagifai.errors import TagifaiError


@pytest.fixture(scope="module", params=[{}, {"word_ngram_max": 2, "max_df": 0.4, "title_repeats": 2}], ids=["a", "b"])
def fitted(request, params, projects):
    return model.fit(params | request.param, projects, threshold=0.1)


def test_a_model_is_the_same_after_saving_and_saving_leaves_it_as_it_was(fitted, projects):
    before = fitted.predict_proba(projects)
    loaded = persistence.loads(persistence.dumps(fitted), origin="memory")
    assert isinstance(loaded, Pipeline)
    assert (loaded.predict_proba(projects) == before).all()
    assert (loaded.predict(projects) == fitted.predict(projects)).all()
    assert (fitted.predict_proba(projects) == before).all()


def test_no_more_types_are_trusted_than_a_model_is_made_of(fitted):
    found = imports.skops_io().get_untrusted_types(data=persistence.dumps(fitted))
    assert sorted(found) == sorted(persistence.TRUSTED_TYPES)


def test_a_file_of_other_types_or_no_file_of_skops_is_refused_by_name(fitted):
    foreign = DummyClassifier().fit([[0]], ["a"])
    with pytest.raises(TagifaiError, match=r"a/model\.skops is no model of tagifai: .*DummyClassifier.*Train another"):
        persistence.loads(persistence.dumps(foreign), origin="a/model.skops")
    with pytest.raises(TagifaiError, match=r"a/model\.skops is no model of tagifai: .*zip"):
        persistence.loads(b"half", origin="a/model.skops")
