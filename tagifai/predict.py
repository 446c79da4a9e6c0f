"""predict: tag the projects of the warehouse, or those of a file, with the champion."""

import csv
import hashlib
import io
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tagifai import artifacts, registry, warehouse
from tagifai.errors import TagifaiError
from tagifai.labels import OTHER
from tagifai.settings import Settings

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from sklearn.pipeline import Pipeline

logger = logging.getLogger(__name__)

COLUMNS = ("id", "title", "description")
FORMATS = (".csv", ".parquet")


def predict(settings: Settings, *, source: str | None = None, target: str | None = None) -> dict[str, Any]:
    """Tag the projects of a file, or all of marts.projects_to_predict as a candidate for marts.predictions.

    The candidate is a Parquet file named by its content. It has a row for each project and each prediction, joined by
    id, so that a checkpoint sees where one of them is missing: `id`, `title`, `is_labeled`, `tag`, `probability`,
    `model_version`; its attribute `tags` lists what the champion can answer. `publish` publishes it.

    Args:
        settings: where the champion and the warehouse are.
        source: CSV (UTF-8) or Parquet file with columns `id`, `title`, `description`, and any others; None: the table.
        target: CSV or Parquet file; gets `id`, `tag`, `probability` in the same order, in one step.

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
    table, champion, predicted_at = tables.projects_to_predict((*COLUMNS, "is_labeled"), lambda: _champion(settings))
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


def read_projects(source: str) -> pd.DataFrame:
    """Read a file of projects.

    Returns:
        Columns `id`, `title`, `description` in the file's order; all text where the file is CSV.

    Raises:
        TagifaiError: the file is missing, is neither CSV nor Parquet, lacks a column, or has a row that does not fit
            the header; the message names it.
    """
    if not Path(source).is_file():
        raise TagifaiError(f"{source} does not exist: give a CSV or Parquet file")
    try:
        projects = _read_csv(source) if _suffix(source) == ".csv" else pd.read_parquet(source)
    except UnicodeDecodeError as error:
        raise TagifaiError(f"{source} is not UTF-8 text ({error.reason}): save it as UTF-8") from None
    except ValueError as error:
        raise TagifaiError(f"{source} cannot be read: {error}. It must be a CSV or Parquet file") from None
    if missing := [name for name in COLUMNS if name not in projects]:
        found = ", ".join(map(str, projects.columns)) or "none"
        raise TagifaiError(
            f"{source} has no column {', '.join(missing)}: it needs id, title, description and has {found}"
        )
    return projects[list(COLUMNS)]


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
    if _suffix(target) not in FORMATS:
        raise TagifaiError(f"{target}: the name of the output file must end in {' or '.join(FORMATS)}")
    projects = read_projects(source)
    champion = _champion(settings)
    tagged, content = tag(registry.load(settings, champion), projects), io.BytesIO()
    if _suffix(target) == ".csv":
        tagged.to_csv(content, index=False)
    else:
        tagged.to_parquet(content, index=False)
    artifacts.write(target, content.getvalue())
    logger.info("%s: %d projects tagged by version %s", target, len(tagged), champion.version)
    return {"rows": len(tagged), "model_version": str(champion.version)}


def _suffix(path: str) -> str:
    return Path(path).suffix.lower()


def _read_csv(source: str) -> pd.DataFrame:
    """Read all values as text: nothing becomes a number, and `NA` stays a word.

    Raises:
        ValueError: a row does not fit the header, or a column appears twice; the message names it.
    """
    csv.field_size_limit(sys.maxsize)
    with Path(source).open(newline="", encoding="utf-8-sig") as file:
        reader, rows = csv.reader(file, strict=True), []
        try:
            for row in filter(None, reader):
                rows.append(row)
                if len(row) != len(rows[0]):
                    raise ValueError(
                        f"line {reader.line_num} has {len(row)} fields, the header {len(rows[0])}: put double quotes "
                        "around a value that holds a comma or a line break"
                    )
        except csv.Error as error:
            raise ValueError(f'line {reader.line_num}: {error}; write a double quote within a value as ""') from None
    header = rows.pop(0) if rows else []
    if twice := [name for name in COLUMNS if header.count(name) > 1]:
        raise ValueError(f"column {', '.join(twice)} appears twice")
    return pd.DataFrame(rows, columns=header, dtype=str)


def _champion(settings: Settings) -> "ModelVersion":
    champion = registry.champion(settings)
    if champion is None:
        raise TagifaiError(f"model {settings.model.name} has no champion yet: run `make run` first")
    return champion
