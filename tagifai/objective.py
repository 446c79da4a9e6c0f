"""The objective of the study: a trial cross-validates one set of parameters."""

import time
import warnings
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
from tagifai.split import hashes

# A csr_array; SciPy has no type stubs.
Matrix = Any


# Training rows of a trial at most: more take minutes a trial and hardly change which parameters are best.
MAX_ROWS = 20_000
# Numbers that are kept for later trials, of 12 bytes each: counts of n-grams, and features as far as there is room.
MAX_CACHED = 40_000_000


class OutOfTime(optuna.TrialPruned):
    """The time budget ended within a trial."""


class Objective:
    """Cross-validated weighted F1 of a trial's parameters on the training rows.

    All trials share the same folds, and trials with the same vectoriser share its features of a fold, as far as there
    is room. The n-grams of a text are the same in all folds, so they are counted once. A class with one row is trained
    in each fold, not scored.

    Attributes:
        rows: how many rows a trial uses.
        deadline: when to stop, in seconds of time.monotonic; None: never.
    """

    def __init__(self, train: pd.DataFrame, settings: Settings):
        """Choose the rows and the folds.

        Args:
            train: training rows; columns of the texts and the label; two classes or more.
            settings: `columns`, `labels`, `search`, `threshold`.

        Raises:
            TagifaiError: no class has two rows.
        """
        self._space, columns = settings.search.space, settings.columns
        self._options: dict[str, Any] = {
            "columns": columns.texts,
            "threshold": settings.threshold,
            "rest": settings.labels.rest,
        }
        train = sample(train, settings)
        self.rows = len(train)
        self.deadline: float | None = None
        self._texts, self._labels = train[list(columns.texts)], train[columns.label].to_numpy(dtype=str)
        self._folds = _folds(self._labels, settings)
        self._counts: dict[tuple[str, str], Matrix] = {}
        self._features: dict[tuple[int, str, str], tuple[Matrix, Matrix]] = {}

    def __call__(self, trial: optuna.trial.BaseTrial) -> float:
        """Mean over the folds, 0 to 1.

        Raises:
            TrialPruned: a vectoriser keeps no n-gram of a fold; the message says which.
            OutOfTime: the deadline is over.
        """
        params = suggest(trial, self._space)
        return float(np.mean([self._score(params, fold) for fold in range(len(self._folds))]))

    def _score(self, params: dict[str, Any], fold: int) -> float:
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise OutOfTime("the time budget is over")
        steps = model.build(params, **self._options).named_steps
        vectorizers = [vectorizer for _, vectorizer in steps["features"].transformer_list]
        blocks = [self._features_of(fold, steps["text"], vectorizer) for vectorizer in vectorizers]
        train, test = (hstack(matrices, format="csr") for matrices in zip(*blocks, strict=True))
        inside, outside = self._folds[fold]
        predicted = steps["classifier"].fit(train, self._labels[inside]).predict(test)
        return float(f1_score(self._labels[outside], predicted, average="weighted", zero_division=0))

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
            features: tuple[Matrix, Matrix] = tfidf.fit_transform(train[:, kept]), tfidf.transform(test[:, kept])
            self._keep(key, features)
        return self._features[key]

    def _keep(self, key: tuple[int, str, str], features: tuple[Matrix, Matrix]) -> None:
        """Keep features for later trials; without room for them, in place of all others."""
        kept = [*self._counts.values(), *(matrix for pair in self._features.values() for matrix in pair), *features]
        if sum(matrix.nnz for matrix in kept) > MAX_CACHED:
            self._features.clear()
        self._features[key] = features

    def _counts_of(self, joiner: FunctionTransformer, params: dict[str, Any]) -> Matrix:
        """How often each n-gram, in alphabetical order, is in each row of all folds."""
        counted = {name: params[name] for name in ("analyzer", "ngram_range", "dtype")}
        key = (str(joiner.get_params()), str(counted))
        if key not in self._counts:
            try:
                self._counts[key] = CountVectorizer(**counted).fit_transform(joiner.transform(self._texts))
            except ValueError as error:
                # An empty vocabulary.
                raise optuna.TrialPruned(f"the texts have no {_named(params)}: {error}") from None
        return self._counts[key]


def sample(train: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """The rows that trials use: all, or those with the smallest hashes, but first of all two of each class."""
    if len(train) <= MAX_ROWS:
        return train
    hashed = hashes(train, texts=settings.columns.texts, seed=settings.split.seed)
    order = pd.DataFrame({"label": train[settings.columns.label].to_numpy(), "hash": hashed}).sort_values("hash")
    order["spare"] = order.groupby("label").cumcount() >= 2
    return train.iloc[np.sort(order.sort_values(["spare", "hash"]).index[:MAX_ROWS])]


def _folds(labels: np.ndarray, settings: Settings) -> list[tuple[np.ndarray, np.ndarray]]:
    """Positions of the rows inside and outside of each fold."""
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if counts.max() < 2:
        raise TagifaiError(
            f"each of the {len(labels)} training rows is of another class: raise labels.min_freq or load more rows"
        )
    scored, single = np.flatnonzero(counts[classes] > 1), np.flatnonzero(counts[classes] == 1)
    # More folds than the largest class has rows are refused.
    folds = min(settings.search.folds, int(counts.max()))
    splitter = StratifiedKFold(folds, shuffle=True, random_state=settings.search.seed)
    with warnings.catch_warnings():
        # Classes with fewer rows than folds are in some folds only.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        split = list(splitter.split(scored, labels[scored]))
    return [(np.sort(np.append(scored[inside], single)), scored[outside]) for inside, outside in split]


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
