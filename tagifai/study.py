"""The Optuna study of a snapshot: its name, its database, and the trials that each worker runs."""

import logging
import time
from collections.abc import Generator
from contextlib import contextmanager

import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from tagifai import dataset, fingerprint, snapshot
from tagifai.errors import ServiceError, TagifaiError
from tagifai.findings import Findings, Trial
from tagifai.settings import Settings

logger = logging.getLogger(__name__)
optuna.logging.set_verbosity(optuna.logging.WARNING)

# Attribute of a trial: the worker that runs it.
WORKER = "worker"
# Attribute of a trial that could not be fitted: why.
REASON = "reason"
# Attribute of a trial that the time budget ended: true.
OUT_OF_TIME = "out_of_time"
# Attributes of a study: the rows of its trials, all training rows, the numbers of the trials that a worker's latest
# call has run, and the minutes after which it has stopped, None if it has not.
TRAIN_ROWS, ALL_ROWS = "train_rows", "all_rows"
LATEST, STOPPED = "latest_of_worker_", "minutes_of_worker_"


def name_of(settings: Settings, uri: str) -> str:
    """Name of the study for a snapshot and for all else that changes the result of its trials."""
    circumstances = settings.model_dump(include={"labels", "split", "search", "threshold"})
    circumstances["columns"] = settings.columns.model_dump(include={"texts", "label"})
    del circumstances["labels"]["known"]
    # With more of them, a study continues.
    del circumstances["search"]["minutes"]
    return f"{snapshot.hash_of(uri)}-{fingerprint.digest([circumstances, fingerprint.code()])}"


def open_study(settings: Settings, name: str) -> optuna.Study:
    """Open a study, or create it; any number of processes may do so at once.

    Raises:
        ServiceError: the database does not answer.
    """
    # One process at a time creates Optuna's tables and a study: https://github.com/optuna/optuna/issues/1092
    with locked(settings, "optuna"):
        storage = optuna.storages.RDBStorage(settings.studies.get_secret_value())
        return optuna.create_study(study_name=name, storage=storage, direction="maximize", load_if_exists=True)


def run_share(study: optuna.Study, settings: Settings, uri: str, *, worker: int) -> int:
    """Run the trials that a worker still has to run, and return their number; call it with the worker's lock.

    Raises:
        TagifaiError: the snapshot is missing, or has too few classes or rows.
    """
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if trial.user_attrs.get(WORKER) == worker:
            # Its process has ended, since this one has its lock.
            study.tell(trial.number, state=TrialState.FAIL)
    done = {trial.number for trial in _ended(study, worker)}
    share, minutes = _share(settings, worker), settings.search.minutes
    stopped = study.user_attrs.get(f"{STOPPED}{worker}")
    if len(done) < share and (stopped is None or minutes is None or minutes > stopped):
        _run(study, settings, uri, worker=worker, done=len(done), share=share)
    latest = [trial.number for trial in _ended(study, worker) if trial.number not in done]
    study.set_user_attr(f"{LATEST}{worker}", latest)
    return len(latest)


def _share(settings: Settings, worker: int) -> int:
    """How many trials a worker runs."""
    share, remainder = divmod(settings.search.trials, settings.search.workers)
    return share + remainder * (worker == 0)


def findings_of(study: optuna.Study) -> Findings:
    """What the complete trials of all workers have found so far.

    Raises:
        TagifaiError: none of the trials that have ended could be fitted.
    """
    attributes = study.user_attrs
    new = {number for name, latest in attributes.items() if name.startswith(LATEST) for number in latest}
    history: list[Trial] = [
        {
            "number": trial.number,
            # The types do not tell that a complete trial has one.
            "value": trial.value or 0.0,
            "seconds": _seconds(trial),
            "params": trial.params,
            "new": trial.number in new,
        }
        for trial in _ended(study)
        if trial.state == TrialState.COMPLETE
    ]
    if not history:
        reason = _ended(study)[-1].user_attrs.get(REASON, "")
        raise TagifaiError(
            f"no trial could be fitted: {reason}. Load longer or more different texts, or change search.space"
        )
    best = max(history, key=lambda trial: trial["value"])
    return {
        "trials": len(history),
        "best_value": best["value"],
        "best_params": best["params"],
        "train_rows": attributes[TRAIN_ROWS],
        "notes": _notes(study),
        "history": history,
    }


@contextmanager
def locked(settings: Settings, key: str) -> Generator[None]:
    """Hold a lock of the database; it is released when this process ends, however it ends.

    Raises:
        ServiceError: the database does not answer, then or within the block.
    """
    engine = create_engine(settings.studies.get_secret_value(), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text("select pg_advisory_lock(hashtextextended(:key, 0))"), {"key": key})
            yield
    except (SQLAlchemyError, StorageInternalError) as error:
        reason = " ".join(str(getattr(error, "orig", None) or error.__cause__ or error).split())
        raise ServiceError(
            f"the database of the studies refused: {reason}. Check MLOPS_STUDIES and that the database runs"
        ) from error


def _notes(study: optuna.Study) -> list[str]:
    attributes, told = study.user_attrs, []
    rows, all_rows = attributes[TRAIN_ROWS], attributes[ALL_ROWS]
    if rows < all_rows:
        told.append(f"a trial used {rows:,} of {all_rows:,} training rows")
    for name, minutes in sorted(attributes.items()):
        if name.startswith(STOPPED) and minutes is not None:
            worker = int(name.removeprefix(STOPPED))
            done = len(_ended(study, worker))
            told.append(f"search.minutes ({minutes:g}) stopped worker {worker} after {done} trials")
    return told


def _run(study: optuna.Study, settings: Settings, uri: str, *, worker: int, done: int, share: int) -> None:
    # Imports scikit-learn, which takes a second and which a complete study does not need.
    from tagifai.objective import Objective, OutOfTime

    train, minutes = dataset.load(settings, uri).train, settings.search.minutes
    objective, stopped = Objective(train, settings), f"{STOPPED}{worker}"
    study.set_user_attr(TRAIN_ROWS, objective.rows)
    study.set_user_attr(ALL_ROWS, len(train))
    # What a call with fewer minutes has used up.
    used = study.user_attrs.get(stopped) or 0
    logger.info(
        "worker %d: %d trials on %s of %s training rows; how long they take is known after the first",
        *(worker, share - done, f"{objective.rows:,}", f"{len(train):,}"),
    )
    timed: list[float] = []

    def start_clock() -> None:
        if minutes is not None and objective.deadline is None:
            objective.deadline = time.monotonic() + 60 * (minutes - used)

    def own_objective(trial: optuna.Trial) -> float:
        trial.set_user_attr(WORKER, worker)
        try:
            return objective(trial)
        except OutOfTime:
            trial.set_user_attr(OUT_OF_TIME, True)
            study.stop()
            raise
        except optuna.TrialPruned as error:
            trial.set_user_attr(REASON, str(error))
            raise

    def log(study: optuna.Study, trial: FrozenTrial) -> None:
        if trial.user_attrs.get(OUT_OF_TIME):
            logger.info("worker %d stops: search.minutes (%g) are over", worker, minutes)
            return
        own = len(_ended(study, worker))
        told = "cannot be fitted"
        if trial.state == TrialState.COMPLETE:
            start_clock()
            timed.append(_seconds(trial))
            told = f"F1 {trial.value:.4f}"
        if timed:
            left = (share - own) * sum(timed) / len(timed)
            if objective.deadline is not None:
                left = min(left, objective.deadline - time.monotonic())
            told += f" in {_seconds(trial):.0f} s, about {_duration(left)} left,"
        logger.info("worker %d, trial %d of %d: %s with %s", worker, own, share, told, trial.params)

    if any(trial.state == TrialState.COMPLETE for trial in _ended(study, worker)):
        start_clock()
    # A worker that continues must not draw its first trials again.
    study.sampler = optuna.samplers.TPESampler(seed=settings.search.seed + 1000 * worker + done)
    study.optimize(own_objective, n_trials=share - done, callbacks=[log])
    study.set_user_attr(stopped, minutes if len(_ended(study, worker)) < share else None)


def _seconds(trial: FrozenTrial) -> float:
    # The types do not tell that a trial that has ended has a duration.
    return trial.duration.total_seconds() if trial.duration else 0.0


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{max(seconds, 0):.0f} s"


def _ended(study: optuna.Study, worker: int | None = None) -> list[FrozenTrial]:
    """The trials that were run to their end, also those that could not be fitted."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return [
        trial
        for trial in trials
        if not trial.user_attrs.get(OUT_OF_TIME) and (worker is None or trial.user_attrs.get(WORKER) == worker)
    ]
