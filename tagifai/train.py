"""train: fit a model with the best parameters of the study on the training rows; a fingerprint names its folder."""

import json
import logging
from typing import TYPE_CHECKING, Any

from tagifai import artifacts, dataset, findings, fingerprint, persistence, snapshot
from tagifai.errors import TagifaiError
from tagifai.settings import Settings

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

logger = logging.getLogger(__name__)

MODEL_FILE, FACTS_FILE = "model.skops", "model.json"


def train(settings: Settings, *, uri: str, study: str) -> dict[str, Any]:
    """Fit the candidate and write it to models/FINGERPRINT under the artifact root, unless it exists there.

    Returns:
        What `facts_of` returns; `model`, the URI of the folder; `mlflow`: the name of the registered `model`.

    Raises:
        TagifaiError: the snapshot or the study is missing, or the study belongs to another snapshot.
    """
    name = snapshot.hash_of(uri)
    if not study.startswith(f"{name}-"):
        raise TagifaiError(
            f"study {study} does not belong to snapshot {name}: pass on the study that optimize returned for it"
        )
    found = findings.read(settings, study)
    identity = {
        "snapshot": name,
        "params": found["best_params"],
        "labels": settings.labels.model_dump(exclude={"known_tags"}),
        "split": settings.split.model_dump(),
        "threshold": settings.threshold,
        "code": fingerprint.code(),
    }
    folder = f"{settings.artifacts}/models/{fingerprint.digest(identity)}"
    if artifacts.exists(f"{folder}/{FACTS_FILE}"):
        logger.info("model %s exists already", folder)
    else:
        outcome = {"cv_f1": found["best_value"], "trials": found["trials"], "study": study}
        _fit(settings, uri, folder, identity | outcome)
    return facts_of(folder) | {"model": folder, "mlflow": {"model": settings.model.name}}


def facts_of(folder: str) -> dict[str, Any]:
    """Facts about a candidate.

    Returns:
        `fingerprint`, `snapshot`, `study`, `params`, `labels`, `split`, `threshold`, `code`, `cv_f1`, `trials`,
        `classes` (rows by class), `train_rows`, `test_rows`.

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


def _fit(settings: Settings, uri: str, folder: str, facts: dict[str, Any]) -> None:
    import pandas as pd

    from tagifai import model

    sides = dataset.load(settings, uri)
    fitted = model.fit(facts["params"], sides.train, threshold=settings.threshold)
    facts |= {
        "fingerprint": folder.rsplit("/", 1)[1],
        "classes": pd.concat(sides)["tag"].value_counts().to_dict(),
        "train_rows": len(sides.train),
        "test_rows": len(sides.test),
    }
    artifacts.write(f"{folder}/{MODEL_FILE}", persistence.dumps(fitted))
    artifacts.write(f"{folder}/{FACTS_FILE}", json.dumps(facts, indent=2).encode())
    logger.info("model %s: %d training rows", folder, len(sides.train))
