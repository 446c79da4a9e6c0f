"""train: fit a model with the best parameters of the study on the training rows; a fingerprint names its folder."""

import json
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tagifai import artifacts, dataset, findings, fingerprint, persistence, snapshot
from tagifai.dataset import Dataset
from tagifai.errors import TagifaiError
from tagifai.findings import Findings
from tagifai.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

    # From the training rows and the candidate's fingerprint to the fitted model and further facts about it.
    Fit = Callable[[pd.DataFrame, str], tuple[Pipeline, dict[str, Any]]]

logger = logging.getLogger(__name__)

MODEL_FILE, FACTS_FILE = "model.skops", "model.json"


def train(settings: Settings, *, uri: str, study: str) -> dict[str, Any]:
    """Fit the candidate and write it to models/FINGERPRINT under the artifact root, unless it exists there.

    With the setting `train.module`, that module fits it: see `run_module`.

    Returns:
        What `facts_of` returns; `model`, the URI of the folder; `mlflow`: the name of the registered `model`.

    Raises:
        TagifaiError: the snapshot or the study is missing, or the study belongs to another snapshot.
    """
    if settings.train.module:
        # It imports this module.
        from tagifai.run_module import run_module

        return run_module(settings, module=settings.train.module, uri=uri, study=study)
    found = findings_of(settings, uri, study)
    params = found["best_params"]

    def fit(rows: "pd.DataFrame", _: str) -> tuple["Pipeline", dict[str, Any]]:
        from tagifai import model

        columns, rest = settings.columns, settings.labels.rest
        options = {"columns": columns.texts, "label": columns.label, "threshold": settings.threshold, "rest": rest}
        return model.fit(params, rows, **options), {"cv_f1": found["best_value"]}

    return candidate(settings, uri, study, {"params": params}, fit)


def findings_of(settings: Settings, uri: str, study: str) -> Findings:
    """What the study of a snapshot has found.

    Raises:
        TagifaiError: there is no such study, or it belongs to another snapshot.
    """
    name = snapshot.hash_of(uri)
    if not study.startswith(f"{name}-"):
        raise TagifaiError(
            f"study {study} does not belong to snapshot {name}: pass on the study that optimize returned for it"
        )
    return findings.read(settings, study)


def candidate(settings: Settings, uri: str, study: str, ingredients: dict[str, Any], fit: "Fit") -> dict[str, Any]:
    """Fit a candidate and write it to models/FINGERPRINT, unless it exists there.

    Args:
        settings: `columns`, `labels`, `split` and `threshold` are part of the fingerprint, as are snapshot and code.
        uri: the snapshot.
        study: the study whose findings the model is made with.
        ingredients: what else determines the model; part of the fingerprint and of the facts.
        fit: makes the model.

    Returns:
        What `train` returns.
    """
    identity = {
        "snapshot": snapshot.hash_of(uri),
        **ingredients,
        "labels": settings.labels.model_dump(exclude={"known"}),
        "split": settings.split.model_dump(),
        "columns": settings.columns.model_dump(include={"texts", "label"}, mode="json"),
        "threshold": settings.threshold,
        "code": fingerprint.code(),
    }
    name = fingerprint.digest(identity)
    folder = f"{settings.artifacts}/models/{name}"
    if artifacts.exists(f"{folder}/{FACTS_FILE}"):
        logger.info("model %s exists already", folder)
    else:
        data = dataset.load(settings, uri)
        logger.info("fitting on %s rows", f"{len(data.train):,}")
        fitted, facts = fit(data.train, name)
        trials = findings.read(settings, study)["trials"]
        counts = _counts(data, settings.columns.label)
        _write(folder, fitted, identity | facts | counts | {"data": data.facts, "study": study, "trials": trials})
    return facts_of(folder) | {"model": folder, "mlflow": {"model": settings.model.name}}


def facts_of(folder: str) -> dict[str, Any]:
    """Facts about a candidate.

    Returns:
        `fingerprint`, `snapshot`, `study`, `params`, `columns` (`texts` and `label`), `labels`, `split`, `threshold`,
        `code`, `cv_f1`, `trials`, `classes` (rows by class), `train_rows`, `test_rows`; `data`: the facts of
        dataset.load. If a module made it, also `module`, `metrics` and
        `search`; then `params` is empty, and `cv_f1` None unless it is one of its metrics.

    Raises:
        TagifaiError: the folder has no complete model.
    """
    return json.loads(_read(folder, FACTS_FILE))


def load(folder: str) -> "Pipeline":
    """Read a candidate's fitted model.

    Raises:
        TagifaiError: the folder has no complete model, or not one of tagifai.
    """
    # The facts are written last: without them the model is incomplete.
    facts_of(folder)
    return persistence.loads(_read(folder, MODEL_FILE), origin=f"{folder}/{MODEL_FILE}")


def _read(folder: str, name: str) -> bytes:
    missing = f"there is no model in {folder}: run train and pass on the model that it returns"
    return artifacts.read(f"{folder}/{name}", missing=missing)


def _counts(data: Dataset, label: str) -> dict[str, Any]:
    import pandas as pd

    return {
        "classes": pd.concat([data.train, data.test])[label].value_counts().to_dict(),
        "train_rows": len(data.train),
        "test_rows": len(data.test),
    }


def _write(folder: str, fitted: "Pipeline", facts: dict[str, Any]) -> None:
    facts |= {"fingerprint": folder.rsplit("/", 1)[1]}
    artifacts.write(f"{folder}/{MODEL_FILE}", persistence.dumps(fitted))
    artifacts.write(f"{folder}/{FACTS_FILE}", json.dumps(facts, indent=2).encode())
    logger.info("model %s: %d training rows", folder, facts["train_rows"])
