"""The objective of the study: a trial cross-validates one set of parameters."""

from typing import Any

import numpy as np
import optuna
import pandas as pd
from scipy.sparse import hstack
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import FunctionTransformer

from tagifai import model
from tagifai.errors import TagifaiError
from tagifai.settings import Settings, Space

# A csr_array; SciPy has no type stubs.
Matrix = Any


class Objective:
    """Cross-validated weighted F1 of a trial's parameters on the training rows.

    All trials share the same folds, and trials with the same vectoriser share its features of a fold. The n-grams of a
    text are the same in all folds, so they are counted once.
    """

    def __init__(self, train: pd.DataFrame, settings: Settings):
        """Choose the folds.

        Args:
            train: training rows; columns `title`, `description`, `tag`.
            settings: `search`, `threshold`.

        Raises:
            TagifaiError: a class has too few rows for the folds.
        """
        self._space, columns = settings.search.space, list(settings.columns.texts)
        self._options = {"columns": columns, "threshold": settings.threshold, "rest": settings.labels.rest}
        self._projects, self._tags = train[columns], train[settings.columns.label].to_numpy(dtype=str)
        rows, folds = train[settings.columns.label].value_counts(), settings.search.folds
        if rows.min() < 2 * folds:
            raise TagifaiError(
                f"class {rows.idxmin()} has {rows.min()} training rows, {folds} folds need {2 * folds}: "
                "raise labels.min_freq, lower search.folds or load more projects"
            )
        splitter = StratifiedKFold(folds, shuffle=True, random_state=settings.search.seed)
        self._folds = list(splitter.split(self._projects, self._tags))
        self._counts: dict[tuple[str, str], Matrix] = {}
        self._features: dict[tuple[int, str, str], tuple[Matrix, Matrix]] = {}

    def __call__(self, trial: optuna.trial.BaseTrial) -> float:
        """Mean over the folds, 0 to 1.

        Raises:
            TrialPruned: a vectoriser keeps no n-gram of a fold; the message says which.
        """
        params = suggest(trial, self._space)
        return float(np.mean([self._score(params, fold) for fold in range(len(self._folds))]))

    def _score(self, params: dict[str, Any], fold: int) -> float:
        steps = model.build(params, **self._options).named_steps
        vectorizers = [vectorizer for _, vectorizer in steps["features"].transformer_list]
        blocks = [self._features_of(fold, steps["text"], vectorizer) for vectorizer in vectorizers]
        train, test = (hstack(matrices, format="csr") for matrices in zip(*blocks, strict=True))
        inside, outside = self._folds[fold]
        predicted = steps["classifier"].fit(train, self._tags[inside]).predict(test)
        return float(f1_score(self._tags[outside], predicted, average="weighted", zero_division=0))

    def _features_of(
        self, fold: int, joiner: FunctionTransformer, vectorizer: model.NgramVectorizer
    ) -> tuple[Matrix, Matrix]:
        """Features of a fold's training and test rows, by a vectoriser fitted on the training rows."""
        params = vectorizer.get_params()
        key = (fold, str(joiner.get_params()), str(params))
        if key not in self._features:
            counts = self._counts_of(joiner, params)
            train, test = (counts[rows] for rows in self._folds[fold])
            kept, tfidf = _kept(train, params), TfidfTransformer(sublinear_tf=params["sublinear_tf"])
            if not len(kept):
                share = f"{params['max_df']:.0%} of the texts"
                raise optuna.TrialPruned(f"all n-grams of {_named(params)} are in more than {share}")
            self._features[key] = tfidf.fit_transform(train[:, kept]), tfidf.transform(test[:, kept])
        return self._features[key]

    def _counts_of(self, joiner: FunctionTransformer, params: dict[str, Any]) -> Matrix:
        """How often each n-gram, in alphabetical order, is in each row of all folds."""
        counted = {name: params[name] for name in ("analyzer", "ngram_range", "dtype")}
        key = (str(joiner.get_params()), str(counted))
        if key not in self._counts:
            try:
                self._counts[key] = CountVectorizer(**counted).fit_transform(joiner.transform(self._projects))
            except ValueError as error:
                # An empty vocabulary.
                raise optuna.TrialPruned(f"the texts have no {_named(params)}: {error}") from None
        return self._counts[key]


def suggest(trial: optuna.trial.BaseTrial, space: Space) -> dict[str, Any]:
    """Let a trial choose its parameters: one of the values each, and `c` log-uniformly from its range."""
    choices = {name: values for name, values in space.model_dump().items() if name != "c"}
    params = {name: trial.suggest_categorical(name, values) for name, values in choices.items()}
    return params | {"c": trial.suggest_float("c", *space.c, log=True)}


def _named(params: dict[str, Any]) -> str:
    """What a vectoriser's n-grams consist of."""
    return "words" if params["analyzer"] == "word" else "characters"


def _kept(counts: Matrix, params: dict[str, Any]) -> np.ndarray:
    """Columns of the n-grams that a vectoriser with `max_df` and `max_features` keeps when fitted on these rows."""
    rows = counts.getnnz(axis=0)
    kept = np.flatnonzero((rows > 0) & (rows <= params["max_df"] * counts.shape[0]))
    if len(kept) > params["max_features"]:
        frequent = (-np.asarray(counts.sum(axis=0)).ravel()[kept]).argsort()[: params["max_features"]]
        kept = np.sort(kept[frequent])
    return kept
