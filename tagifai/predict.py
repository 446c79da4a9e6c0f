"""predict: tag the projects of the warehouse, or those of a file, with the champion."""

import hashlib
import io
import logging
import os
import sys
from collections.abc import Generator
from itertools import chain
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from tagifai import artifacts, project_files, registry, warehouse
from tagifai.errors import TagifaiError
from tagifai.labels import OTHER
from tagifai.settings import Settings

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from sklearn.pipeline import Pipeline

logger = logging.getLogger(__name__)

# Rows between two lines of progress where there is no terminal.
PROGRESS = 100_000


def predict(settings: Settings, *, source: str | None = None, target: str | None = None) -> dict[str, Any]:
    """Tag the projects of a file, or all of marts.projects_to_predict as a candidate for marts.predictions.

    The candidate is a Parquet file named by its content. It has a row for each project and each prediction, joined by
    id, so that a checkpoint sees where one of them is missing: `id`, `title`, `is_labeled`, `tag`, `probability`,
    `model_version`; its attribute `tags` lists what the champion can answer. `publish` publishes it.

    Args:
        settings: where the champion and the warehouse are.
        source: file that project_files.read can read, with columns `id`, `title`, `description`, and any others; None:
            the table.
        target: another file, of any of these formats; gets `id`, `tag`, `probability` in the same order, in one step.

    Returns:
        `rows` tagged; `model_version`. Without a file also `unlabeled`, how many projects have no label; `predictions`,
        the URI of the candidate; `predicted_at`, later than in all earlier calls; `mlflow`: where
        the champion is, as in registry.place; `bytes_billed` as in warehouse.Tables.

    Raises:
        TagifaiError: there is no champion, MLflow or the warehouse does not answer, the table or the source is missing,
            or a file cannot be read or written; the message says why.
    """
    if source and target:
        return _predict_file(settings, source, target)
    tables = warehouse.connect(settings.warehouse, command="predict")
    # Whoever has a later time has neither an older table nor an older champion.
    table, champion, predicted_at = tables.projects_to_predict(
        (*project_files.COLUMNS, "is_labeled"), lambda: _champion(settings)
    )
    projects, model = table.to_pandas(), registry.load(settings, champion)
    tagged, version = tag(model, projects), str(champion.version)
    candidate = projects.drop(columns="description").merge(tagged.assign(model_version=version), how="outer", on="id")
    candidate.attrs["tags"] = _answers(model)
    content = io.BytesIO()
    candidate.to_parquet(content, index=False)
    name = hashlib.blake2b(content.getbuffer(), digest_size=16).hexdigest()
    uri = f"{settings.artifacts}/predictions/{name}.parquet"
    artifacts.write(uri, content.getvalue())
    logger.info("%d predictions of version %s", len(tagged), version)
    return {
        "rows": len(tagged),
        "unlabeled": int((~projects["is_labeled"]).sum()),
        "model_version": version,
        "predictions": uri,
        "predicted_at": predicted_at.isoformat(),
        "mlflow": registry.place(settings, champion),
        "bytes_billed": tables.bytes_billed,
    }


def tag(model: "Pipeline", projects: pd.DataFrame) -> pd.DataFrame:
    """Tag projects.

    Args:
        model: fitted.
        projects: columns `id`, `title`, `description`.

    Returns:
        `id`; `tag`; `probability` of the most likely class, also where it is below the threshold and the tag `other`.
    """
    if projects.empty:
        return pd.DataFrame({"id": projects["id"], "tag": pd.Series(dtype=str), "probability": pd.Series(dtype=float)})
    probabilities = model.predict_proba(projects)
    tags = model.named_steps["classifier"].decide(probabilities)
    return pd.DataFrame({"id": projects["id"].to_numpy(), "tag": tags, "probability": probabilities.max(axis=1)})


def _answers(model: "Pipeline") -> list[str]:
    """Tags that a model can answer."""
    classifier = model.named_steps["classifier"]
    return sorted({*map(str, classifier.classes_), *([OTHER] if classifier.threshold else [])})


def _predict_file(settings: Settings, source: str, target: str) -> dict[str, Any]:
    project_files.kind_of(target)
    if os.path.exists(target) and os.path.exists(source) and os.path.samefile(source, target):
        raise TagifaiError(f"{target} is the input file itself, which would be lost: give the output another name")
    pieces = project_files.read(source)
    # Before MLflow is asked: a wrong header is found at once.
    first = next(pieces)
    champion = _champion(settings)
    model, rows = registry.load(settings, champion), 0

    def tagged() -> Generator[pa.Table]:
        nonlocal rows
        for piece in chain([first], pieces):
            yield _tagged(model, piece)
            rows += len(piece)
            _show_progress(rows, new=len(piece))

    try:
        with artifacts.writing(target) as file:
            project_files.write(tagged(), file, target)
    except OSError as error:
        raise TagifaiError(
            f"{target} cannot be written: {error.strerror or error}; give another name or make room"
        ) from None
    finally:
        pieces.close()
    logger.info("%s: %d projects tagged by version %s", target, rows, champion.version)
    return {"rows": rows, "model_version": str(champion.version)}


def _tagged(model: "Pipeline", projects: pa.Table) -> pa.Table:
    """As `tag`, with ids of any type, which stay exact: pandas would make floats of integers beside a null."""
    texts = projects.drop_columns("id").to_pandas()
    tagged = tag(model, texts.assign(id=range(len(texts))))
    columns = (pa.array(tagged["tag"], pa.string()), pa.array(tagged["probability"], pa.float64()))
    return pa.table([projects["id"], *columns], ("id", "tag", "probability"))


def _show_progress(rows: int, *, new: int) -> None:
    """Show the rows so far: on a terminal in one line, elsewhere a line now and then."""
    if sys.stderr.isatty():
        print(f"\r{rows:,} rows tagged", end="\r", file=sys.stderr, flush=True)
    elif rows // PROGRESS > (rows - new) // PROGRESS:
        logger.info("%d rows tagged so far", rows)


def _champion(settings: Settings) -> "ModelVersion":
    champion = registry.champion(settings)
    if champion is None:
        raise TagifaiError(f"model {settings.model.name} has no champion yet: run `make run` first")
    return champion
