"""predict: give a label to the rows of the warehouse, or to those of a file, with the champion."""

import hashlib
import io
import logging
import os
import sys
from collections.abc import Generator
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from tagifai import artifacts, project_files, registry, warehouse
from tagifai.errors import TagifaiError
from tagifai.model import columns_of
from tagifai.settings import Columns, Settings

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from sklearn.pipeline import Pipeline

logger = logging.getLogger(__name__)

# Rows between two lines of progress where there is no terminal.
PROGRESS = 100_000


def predict(settings: Settings, *, source: str | None = None, target: str | None = None) -> dict[str, Any]:
    """Predict the labels of a file's rows, or of all published rows as a candidate for the published predictions.

    The candidate is a Parquet file named by its content. It has a row for each published row and each prediction,
    joined by the key, so that a checkpoint sees where one of them is missing: the key, the first text, `is_labeled`,
    the label, `probability`, `model_version`; its attribute `answers` lists what the champion can answer. `publish`
    publishes it.

    Args:
        settings: where the champion and the warehouse are; the names of the columns.
        source: file that project_files.read can read, with the columns of the id and the texts, and any others; None:
            the table.
        target: another file, of any of these formats; gets the id, the label and `probability` in the same order, in
            one step. If neither the settings nor the file have an id, it gets `row`, the number of each row from 1.

    Returns:
        `rows` predicted; `model_version`. Without a file also `unlabeled`, how many rows have no label; `predictions`,
        the URI of the candidate; `predicted_at`, later than in all earlier calls; `mlflow`: where
        the champion is, as in registry.place; `bytes_billed` as in warehouse.Tables.

    Raises:
        TagifaiError: there is no champion or it reads other columns, MLflow or the warehouse does not answer, the table
            or the source is missing, or a file cannot be read or written; the message says why.
    """
    if source and target:
        return _predict_file(settings, source, target)
    tables, columns = warehouse.connect(settings, command="predict"), settings.columns
    # Whoever has a later time has neither an older table nor an older champion.
    table, champion, predicted_at = tables.to_predict(
        (columns.key, *columns.texts, "is_labeled"), lambda: _champion(settings)
    )
    # Otherwise integers beside a null would become floats.
    rows, model = table.to_pandas(integer_object_nulls=True), _load(settings, champion)
    predicted, version = label(model, rows, columns), str(champion.version)
    candidate = rows.drop(columns=list(columns.texts[1:])).merge(
        predicted.assign(model_version=version), how="outer", on=columns.key
    )
    candidate.attrs["answers"] = _answers(model)
    content = io.BytesIO()
    candidate.to_parquet(content, index=False)
    name = hashlib.blake2b(content.getbuffer(), digest_size=16).hexdigest()
    uri = f"{settings.artifacts}/predictions/{name}.parquet"
    artifacts.write(uri, content.getvalue())
    logger.info("%d predictions of version %s", len(predicted), version)
    return {
        "rows": len(predicted),
        "unlabeled": table["is_labeled"].to_pylist().count(False),
        "model_version": version,
        "predictions": uri,
        "predicted_at": predicted_at.isoformat(),
        "mlflow": registry.place(settings, champion),
        "bytes_billed": tables.bytes_billed,
    }


def label(model: "Pipeline", rows: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    """Predict labels.

    Args:
        model: fitted.
        rows: columns of the key and the texts.
        columns: their names.

    Returns:
        The key; the label; `probability` of the most likely class, also where it is below the threshold and the label
        that of the rest.
    """
    labels, probabilities = _predicted(model, rows)
    return pd.DataFrame({columns.key: rows[columns.key], columns.label: labels, "probability": probabilities})


def _predicted(model: "Pipeline", texts: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and the probability of the most likely class."""
    if texts.empty:
        return np.array([], dtype=str), np.array([], dtype=float)
    probabilities = model.predict_proba(texts)
    return model.named_steps["classifier"].decide(probabilities), probabilities.max(axis=1)


def _answers(model: "Pipeline") -> list[str]:
    """Labels that a model can answer."""
    classifier = model.named_steps["classifier"]
    return sorted({*map(str, classifier.classes_), *([classifier.rest] if classifier.threshold else [])})


def _predict_file(settings: Settings, source: str, target: str) -> dict[str, Any]:
    project_files.kind_of(target)
    if os.path.exists(target) and os.path.exists(source) and os.path.samefile(source, target):
        raise TagifaiError(f"{target} is the input file itself, which would be lost: give the output another name")
    pieces = project_files.read(source, settings.columns)
    # Before MLflow is asked: a wrong header is found at once.
    first = next(pieces)
    champion = _champion(settings)
    model, rows = _load(settings, champion), 0

    def predicted() -> Generator[pa.Table]:
        nonlocal rows
        for piece in chain([first], pieces):
            # Ids stay as they are: pandas would make floats of integers beside a null.
            ids, texts = piece.select([0]), piece.select(range(1, piece.num_columns)).to_pandas()
            labels, probabilities = _predicted(model, texts)
            answers = ids.append_column(settings.columns.label, pa.array(labels, pa.string()))
            yield answers.append_column("probability", pa.array(probabilities, pa.float64()))
            rows += len(piece)
            _show_progress(rows, new=len(piece))

    try:
        with artifacts.writing(target) as file:
            project_files.write(predicted(), file, target)
    except OSError as error:
        raise TagifaiError(
            f"{target} cannot be written: {error.strerror or error}; give another name or make room"
        ) from None
    finally:
        pieces.close()
    logger.info("%s: %d rows predicted by version %s", target, rows, champion.version)
    return {"rows": rows, "model_version": str(champion.version)}


def _show_progress(rows: int, *, new: int) -> None:
    """Show the rows so far: on a terminal in one line, elsewhere a line now and then."""
    if sys.stderr.isatty():
        print(f"\r{rows:,} rows predicted", end="\r", file=sys.stderr, flush=True)
    elif rows // PROGRESS > (rows - new) // PROGRESS:
        logger.info("%d rows predicted so far", rows)


def _champion(settings: Settings) -> "ModelVersion":
    champion = registry.champion(settings)
    if champion is None:
        raise TagifaiError(f"model {settings.model.name} has no champion yet: run `make run` first")
    return champion


def _load(settings: Settings, champion: "ModelVersion") -> "Pipeline":
    found = registry.load(settings, champion)
    wanted = list(settings.columns.texts)
    if (read := columns_of(found)) != wanted:
        raise TagifaiError(
            f"version {champion.version} of model {champion.name} reads {', '.join(read) or 'other columns'}, and "
            f"columns.texts has {', '.join(wanted)}: train one that reads these (make run)"
        )
    return found
