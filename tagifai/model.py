"""The model: a scikit-learn Pipeline from texts to a label and its probability."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC

# Folds of the calibration; each class needs a row in each.
FOLDS = 3


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
    """A classifier that answers `rest` if its best class is less probable than a threshold.

    Args:
        classifier: one with predict_proba.
        threshold: 0 switches it off.
        rest: the class of all other labels.
    """

    def __init__(self, classifier: Any, threshold: float = 0.0, rest: str = "other"):
        self.classifier = classifier
        self.threshold = threshold
        self.rest = rest

    def fit(self, features: Any, labels: Any) -> Self:
        """Fit the classifier on features (n, m) and labels (n)."""
        rows = _enough(labels)
        self.classifier_ = clone(self.classifier).fit(features[rows], labels[rows])
        self.classes_ = self.classifier_.classes_
        return self

    def predict_proba(self, features: Any) -> np.ndarray:
        """Probabilities (n, classes) in the order of `classes_`; the threshold does not change them."""
        return self.classifier_.predict_proba(features)

    def predict(self, features: Any) -> np.ndarray:
        """Labels (n)."""
        return self.decide(self.predict_proba(features))

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """Labels (n) for probabilities (n, classes)."""
        labels = self.classes_[probabilities.argmax(axis=1)]
        return np.where(probabilities.max(axis=1) < self.threshold, self.rest, labels)


def _enough(labels: np.ndarray) -> np.ndarray:
    """All rows, those of classes with too few for the calibration several times."""
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return np.repeat(np.arange(len(labels)), np.ceil(FOLDS / counts).astype(int)[classes])


def join_text(rows: pd.DataFrame, title_repeats: int, columns: Sequence[str]) -> np.ndarray:
    """One text per row: that of the first column, repeated, and those of the others; a null is an empty text."""
    first, *others = filled(rows, columns).to_numpy().T
    joined = first
    for text in [first] * (title_repeats - 1) + others:
        joined = joined + " " + text
    return joined


def filled(rows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """These columns without nulls, which become empty texts."""
    return rows[list(columns)].astype(object).fillna("")


def columns_of(model: Pipeline) -> list[str]:
    """Columns of texts that a model reads; none if an earlier version of tagifai made it."""
    return list((model.named_steps["text"].kw_args or {}).get("columns", ()))


def wrap(fitted: Any, *, columns: Sequence[str], threshold: float, rest: str) -> Pipeline:
    """Make a model of a fitted classifier that another program made.

    Args:
        fitted: one with predict_proba, whose input is a frame with these columns without nulls.
        columns: those of the texts.
        threshold: probability below which the answer is `rest`.
        rest: the class of all other labels.

    Returns:
        A fitted pipeline with the input and the answers of `build`.
    """
    classifier = ThresholdClassifier(fitted, threshold, rest)
    classifier.classifier_, classifier.classes_ = fitted, np.asarray(fitted.classes_, dtype=str)
    text = FunctionTransformer(filled, kw_args={"columns": list(columns)})
    return Pipeline([("text", text), ("classifier", classifier)])


def build(params: dict[str, Any], *, columns: Sequence[str], threshold: float, rest: str) -> Pipeline:
    """Make an unfitted model.

    Args:
        params: a value for each name of the search space.
        columns: those of the texts.
        threshold: probability below which the answer is `rest`.
        rest: the class of all other labels.

    Returns:
        A pipeline whose input is a frame with these columns, whose `predict` gives labels, and whose `predict_proba`
        gives probabilities.
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
    calibrated = CalibratedClassifierCV(svm, cv=FOLDS, ensemble=False)
    joined = {"title_repeats": params["title_repeats"], "columns": list(columns)}
    return Pipeline(
        [
            ("text", FunctionTransformer(join_text, kw_args=joined)),
            ("features", FeatureUnion(vectorizers)),
            ("classifier", ThresholdClassifier(calibrated, threshold, rest)),
        ]
    )


def fit(
    params: dict[str, Any], rows: pd.DataFrame, *, columns: Sequence[str], label: str, threshold: float, rest: str
) -> Pipeline:
    """Make a model and fit it.

    Args:
        params: a value for each name of the search space.
        rows: training rows.
        columns: those of the texts.
        label: the column of the label.
        threshold: probability below which the answer is `rest`.
        rest: the class of all other labels.

    Returns:
        The fitted pipeline.
    """
    return build(params, columns=columns, threshold=threshold, rest=rest).fit(rows, rows[label].to_numpy(dtype=str))
