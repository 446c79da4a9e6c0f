import numpy as np
import pytest
import scipy.sparse
import scipy.special
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators

from tagifai import imports, persistence
from tagifai.errors import TagifaiError


@pytest.fixture(scope="module", params=[{}, {"word_ngram_max": 2, "max_df": 0.4, "title_repeats": 2}], ids=["a", "b"])
def fitted(request, fit, params, projects):
    return fit(params | request.param, projects, threshold=0.1)


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
    foreign = [DummyClassifier(), DecisionTreeClassifier(), Pipeline([("classifier", DummyClassifier())])]
    for each, told in zip(foreign, ("DummyClassifier", "Tree", "Pipeline"), strict=True):
        content = persistence.dumps(each.fit([[0]], ["a"]))
        with pytest.raises(
            TagifaiError, match=rf"(?s)a/model\.skops is not a model of tagifai: .*{told}.*Train a new one"
        ):
            persistence.loads(content, origin="a/model.skops")
    with pytest.raises(TagifaiError, match=r"a/model\.skops is not a model of tagifai: .*zip"):
        persistence.loads(b"half", origin="a/model.skops")


def test_data_of_scikit_learn_numpy_and_scipy_is_trusted_and_what_could_run_code_is_not():
    harmless = [
        make_pipeline(FunctionTransformer(np.log1p), KNeighborsClassifier(algorithm="brute")),
        FunctionTransformer(scipy.special.expit),
        CountVectorizer(dtype=np.float32).fit(["a word"]),
        {"counts": scipy.sparse.csr_matrix([[1]]), "array": scipy.sparse.csr_array([[1]]), 3: np.str_("text")},
    ]
    for each in harmless:
        assert type(persistence.read(persistence.dumps(each))) is type(each)
    names = [
        "builtins.eval",
        "functools.partial",
        "joblib.memory.Memory",
        "numpy.load",
        "numpy.f2py.__main__.main",
        "numpy.testing._private.utils.runstring",
        "os.system",
        "scipy.sparse._matrix_io.load_npz",
        "sklearn.base._pprint._EstimatorPrettyPrinter",
        "sklearn.datasets._base.load_files",
        "sklearn.datasets.os.system",
        "sklearn.pipeline.Memory",
        "sklearn.tests.test_pipeline.Transf",
        "sklearn.tree._tree.Tree",
        "sklearn.no_such_module.Classifier",
        # Only where it is defined.
        "sklearn.pipeline.clone",
        "sklearn.svm.LinearSVC",
        "tagifai.registry.load",
    ]
    assert not [name for name in names if persistence._is_harmless(name)]


def test_all_public_estimators_that_skops_trusts_by_itself_are_trusted():
    names = [f"{kind.__module__}.{kind.__name__}" for _, kind in all_estimators()]
    assert len(names) > 150
    assert not [name for name in names if not persistence._is_harmless(name)]
