"""optimize: worker processes share the trials of an Optuna study; a trial cross-validates one set of parameters."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from tagifai import fingerprint, snapshot, studies
from tagifai.errors import ServiceError, TagifaiError
from tagifai.settings import Search, Settings, Space

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from scipy.sparse import csr_array
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import FunctionTransformer

logger = logging.getLogger(__name__)
optuna.logging.set_verbosity(optuna.logging.WARNING)

WORKER = "worker"


def optimize(settings: Settings, *, uri: str, worker: int) -> dict[str, object]:
    """Run a worker's share of a snapshot's study, as far as it is not done yet, and write down what was found.

    Processes with different `worker` may run at once; a second one with the same waits for the first. After a crash
    the next call goes on where the last one stopped.

    Args:
        settings: `search` says how many trials and workers there are.
        uri: the snapshot.
        worker: number of this worker, from 0.

    Returns:
        `study`, its name; `trials` that are complete, of all workers; `run` by this call; `reused`, whether none was
        left to run; `best_value`, the cross-validated weighted F1, and `best_params` so far.

    Raises:
        TagifaiError: there is no such worker or snapshot, a class has too few rows, the database does not answer.
    """
    if worker not in range(settings.search.workers):
        raise TagifaiError(f"there is no worker {worker}: search.workers is {settings.search.workers}, the first is 0")
    name = study_name(settings, uri)
    with _locked(settings, f"{name}/{worker}"):
        study = open_study(settings, name)
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.user_attrs.get(WORKER) == worker:
                study.tell(trial.number, state=TrialState.FAIL)  # its process is gone, since this one has its lock
        done, share = len(_complete(study, worker)), _share(settings.search, worker)
        if done < share:
            _run(study, settings, uri, worker=worker, done=done, share=share)
        # Of workers that end at once, the one that writes last has seen all their trials.
        with _locked(settings, name):
            best = study.best_trial
            findings = {"trials": len(_complete(study)), "best_value": best.value, "best_params": best.params}
            studies.write(settings, name, findings)
        return {"study": name, "run": max(share - done, 0), "reused": done >= share, **findings}


def study_name(settings: Settings, uri: str) -> str:
    """Name of the study for a snapshot and for all else that changes what its trials find."""
    circumstances = settings.model_dump(include={"labels", "split", "search", "threshold"})
    del circumstances["labels"]["known_tags"]
    return f"{snapshot.hash_of(uri)}-{fingerprint.digest([circumstances, fingerprint.code()])}"


def open_study(settings: Settings, name: str) -> optuna.Study:
    """Open a study, made here if it is new; any number of processes may do so at once.

    Raises:
        TagifaiError: the database does not answer.
    """
    # Optuna's tables and a study are made by one process at a time: https://github.com/optuna/optuna/issues/1092
    with _locked(settings, "optuna"):
        return optuna.create_study(
            study_name=name, storage=_storage(settings), direction="maximize", load_if_exists=True
        )


class Objective:
    """Cross-validated weighted F1 of a trial's parameters on the training rows.

    The folds are the same for all trials, and so are the features of a fold for trials that agree on a vectoriser. The
    n-grams of a text are the same in all folds, so they are counted once.
    """

    def __init__(self, train: "pd.DataFrame", settings: Settings):
        """Choose the folds.

        Args:
            train: training rows; columns `title`, `description`, `tag`.
            settings: `search`, `threshold`.

        Raises:
            TagifaiError: a class has too few rows for the folds.
        """
        from sklearn.model_selection import StratifiedKFold

        self._space, self._threshold = settings.search.space, settings.threshold
        self._projects, self._tags = train[["title", "description"]], train["tag"].to_numpy(dtype=str)
        rows, folds = train["tag"].value_counts(), settings.search.folds
        if rows.min() < 2 * folds:
            raise TagifaiError(
                f"class {rows.idxmin()} has {rows.min()} training rows, {folds} folds need {2 * folds}: "
                "raise labels.min_freq, lower search.folds or load more projects"
            )
        splitter = StratifiedKFold(folds, shuffle=True, random_state=settings.search.seed)
        self._folds = list(splitter.split(self._projects, self._tags))
        self._counts: dict[tuple, csr_array] = {}
        self._features: dict[tuple, tuple[csr_array, csr_array]] = {}

    def __call__(self, trial: optuna.Trial) -> float:
        """Mean over the folds, 0 to 1."""
        import numpy as np

        params = suggest(trial, self._space)
        return float(np.mean([self._score(params, fold) for fold in range(len(self._folds))]))

    def _score(self, params: dict[str, Any], fold: int) -> float:
        from scipy.sparse import hstack
        from sklearn.metrics import f1_score

        from tagifai import model

        pipeline = model.build(params, threshold=self._threshold)
        vectorizers = [vectorizer for _, vectorizer in pipeline["features"].transformer_list]
        blocks = [self._features_of(fold, pipeline["text"], vectorizer) for vectorizer in vectorizers]
        train, test = (hstack(matrices, format="csr") for matrices in zip(*blocks, strict=True))
        inside, outside = self._folds[fold]
        predicted = pipeline["classifier"].fit(train, self._tags[inside]).predict(test)
        return f1_score(self._tags[outside], predicted, average="weighted", zero_division=0)

    def _features_of(
        self, fold: int, joiner: "FunctionTransformer", vectorizer: "TfidfVectorizer"
    ) -> "tuple[csr_array, csr_array]":
        """What a vectoriser makes of a fold's training and test rows, fitted on the former."""
        from sklearn.feature_extraction.text import TfidfTransformer

        key = (fold, str(joiner.get_params()), str(vectorizer.get_params()))
        if key not in self._features:
            counts = self._counts_of(joiner, vectorizer)
            train, test = (counts[rows] for rows in self._folds[fold])
            kept, tfidf = _kept(train, vectorizer), TfidfTransformer(sublinear_tf=vectorizer.sublinear_tf)
            self._features[key] = tfidf.fit_transform(train[:, kept]), tfidf.transform(test[:, kept])
        return self._features[key]

    def _counts_of(self, joiner: "FunctionTransformer", vectorizer: "TfidfVectorizer") -> "csr_array":
        """How often each n-gram, in alphabetical order, is in each row of all folds."""
        from sklearn.feature_extraction.text import CountVectorizer

        how = {name: getattr(vectorizer, name) for name in ("analyzer", "ngram_range", "dtype")}
        key = (str(joiner.get_params()), str(how))
        if key not in self._counts:
            self._counts[key] = CountVectorizer(**how).fit_transform(joiner.transform(self._projects))
        return self._counts[key]


def _kept(counts: "csr_array", vectorizer: "TfidfVectorizer") -> "np.ndarray":
    """Columns of the n-grams that a vectoriser fitted on these rows keeps: `max_df`, then `max_features`."""
    import numpy as np

    rows = counts.getnnz(axis=0)
    kept = np.flatnonzero((rows > 0) & (rows <= vectorizer.max_df * counts.shape[0]))
    if len(kept) > vectorizer.max_features:
        frequent = (-np.asarray(counts.sum(axis=0)).ravel()[kept]).argsort()[: vectorizer.max_features]
        kept = np.sort(kept[frequent])
    return kept


def suggest(trial: optuna.Trial, space: Space) -> dict[str, Any]:
    """Let a trial choose its parameters: one of the values each, and `c` log-uniformly from its range."""
    choices = {name: values for name, values in space.model_dump().items() if name != "c"}
    params = {name: trial.suggest_categorical(name, values) for name, values in choices.items()}
    return params | {"c": trial.suggest_float("c", *space.c, log=True)}


def _run(study: optuna.Study, settings: Settings, uri: str, *, worker: int, done: int, share: int) -> None:
    from tagifai import dataset

    objective = Objective(dataset.load(settings, uri).train, settings)

    def own_objective(trial: optuna.Trial) -> float:
        trial.set_user_attr(WORKER, worker)
        return objective(trial)

    def report(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        own = len(_complete(study, worker))
        logger.info("worker %d, trial %d of %d: F1 %.4f with %s", worker, own, share, trial.value, trial.params)

    # A worker that goes on must not draw its first trials again.
    study.sampler = optuna.samplers.TPESampler(seed=settings.search.seed + 1000 * worker + done)
    study.optimize(own_objective, n_trials=share - done, callbacks=[report])


def _share(search: Search, worker: int) -> int:
    """Trials of a worker; the first takes the remainder."""
    share, remainder = divmod(search.trials, search.workers)
    return share + (remainder if worker == 0 else 0)


def _complete(study: optuna.Study, worker: int | None = None) -> list[optuna.trial.FrozenTrial]:
    """Complete trials, of one worker or of all."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [trial for trial in trials if worker is None or trial.user_attrs.get(WORKER) == worker]


def _storage(settings: Settings) -> optuna.storages.RDBStorage:
    return optuna.storages.RDBStorage(settings.studies.get_secret_value())


@contextmanager
def _locked(settings: Settings, key: str) -> Iterator[None]:
    """Hold a lock of the database that ends with this process, however it ends."""
    engine = create_engine(settings.studies.get_secret_value(), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with _explained(), engine.connect() as connection:
        connection.execute(text("select pg_advisory_lock(hashtextextended(:key, 0))"), {"key": key})
        yield


@contextmanager
def _explained() -> Iterator[None]:
    """Turn errors of the database into one that says what to do."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        reason = " ".join(str(getattr(error, "orig", None) or error.__cause__ or error).split())
        raise ServiceError(
            f"the database of the studies refused: {reason}. Check MLOPS_STUDIES and that it runs"
        ) from error
