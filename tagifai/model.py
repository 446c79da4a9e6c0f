"""The model: a scikit-learn Pipeline from title and description to a tag and its probability."""

from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC

from tagifai.labels import OTHER

COLUMNS = ("title", "description")


class NgramVectorizer(TfidfVectorizer):
    """TF-IDF that stores its n-grams as one array: skops takes seconds to write a dictionary."""

    def __getstate__(self) -> dict[str, Any]:
        """State with the n-grams in the order of their columns."""
        state = super().__getstate__()
        if "vocabulary_" not in state:
            return state
        vocabulary = state["vocabulary_"]
        return state | {"vocabulary_": np.array(sorted(vocabulary, key=vocabulary.get), dtype=str)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the columns of the n-grams."""
        if "vocabulary_" in state:
            ngrams = state["vocabulary_"].tolist()
            state = state | {"vocabulary_": {ngram: column for column, ngram in enumerate(ngrams)}}
        super().__setstate__(state)


class ThresholdClassifier(ClassifierMixin, BaseEstimator):
    """A classifier that answers `other` if its best class is less probable than a threshold.

    Args:
        classifier: one with predict_proba.
        threshold: 0 switches it off.
    """

    def __init__(self, classifier: Any, threshold: float = 0.0):
        self.classifier = classifier
        self.threshold = threshold

    def fit(self, features: Any, tags: Any) -> Self:
        """Fit the classifier on features (n, m) and tags (n)."""
        self.classifier_ = clone(self.classifier).fit(features, tags)
        self.classes_ = self.classifier_.classes_
        return self

    def predict_proba(self, features: Any) -> np.ndarray:
        """Probabilities (n, classes) in the order of `classes_`; the threshold does not change them."""
        return self.classifier_.predict_proba(features)

    def predict(self, features: Any) -> np.ndarray:
        """Tags (n)."""
        return self.decide(self.predict_proba(features))

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """Tags (n) for probabilities (n, classes)."""
        tags = self.classes_[probabilities.argmax(axis=1)]
        return np.where(probabilities.max(axis=1) < self.threshold, OTHER, tags)


def join_text(projects: pd.DataFrame, title_repeats: int) -> np.ndarray:
    """One text per project: the title, repeated, and the description."""
    title, description = (projects[name].fillna("") for name in COLUMNS)
    return ((title + " ") * title_repeats + description).to_numpy(dtype=object)


def filled(projects: pd.DataFrame) -> pd.DataFrame:
    """Columns `title` and `description` without nulls, which become empty texts."""
    return projects[list(COLUMNS)].fillna("")


def wrap(fitted: Any, *, threshold: float) -> Pipeline:
    """Make a model of a fitted classifier that another program made.

    Args:
        fitted: one with predict_proba, whose input is a frame with `title` and `description` without nulls.
        threshold: probability below which the answer is `other`.

    Returns:
        A fitted pipeline with the input and the answers of `build`.
    """
    classifier = ThresholdClassifier(fitted, threshold)
    classifier.classifier_, classifier.classes_ = fitted, np.asarray(fitted.classes_, dtype=str)
    return Pipeline([("text", FunctionTransformer(filled)), ("classifier", classifier)])


def build(params: dict[str, Any], *, threshold: float) -> Pipeline:
    """Make an unfitted model.

    Args:
        params: a value for each name of the search space.
        threshold: probability below which the answer is `other`.

    Returns:
        A pipeline whose input is a frame with `title` and `description`, whose `predict` gives tags, and whose
        `predict_proba` gives probabilities.
    """
    words = NgramVectorizer(
        ngram_range=(1, params["word_ngram_max"]),
        max_features=params["word_max_features"],
        max_df=params["max_df"],
        sublinear_tf=True,
    )
    characters = NgramVectorizer(
        analyzer="char_wb",
        ngram_range=(2, params["char_ngram_max"]),
        max_features=params["char_max_features"],
        max_df=params["max_df"],
        sublinear_tf=True,
    )
    vectorizers: list[tuple[str, Any]] = [("words", words), ("characters", characters)]
    # Logistic regression's weighted F1 is lower by 0.01 on some 600 short texts, and it fits no faster.
    svm = LinearSVC(C=params["c"], class_weight="balanced", random_state=0)
    calibrated = CalibratedClassifierCV(svm, cv=3, ensemble=False)
    return Pipeline(
        [
            ("text", FunctionTransformer(join_text, kw_args={"title_repeats": params["title_repeats"]})),
            ("features", FeatureUnion(vectorizers)),
            ("classifier", ThresholdClassifier(calibrated, threshold)),
        ]
    )


def fit(params: dict[str, Any], projects: pd.DataFrame, *, threshold: float) -> Pipeline:
    """Make a model and fit it.

    Args:
        params: a value for each name of the search space.
        projects: training rows; columns `title`, `description`, `tag`.
        threshold: probability below which the answer is `other`.

    Returns:
        The fitted pipeline.
    """
    return build(params, threshold=threshold).fit(projects, projects["tag"].to_numpy(dtype=str))
