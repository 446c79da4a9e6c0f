"""publish: replace the published predictions by a candidate that has passed its checkpoint."""

import io
import logging
from datetime import datetime
from typing import Any

from tagifai import artifacts, warehouse
from tagifai.settings import Settings

logger = logging.getLogger(__name__)


def publish(settings: Settings, *, uri: str, predicted_at: datetime) -> dict[str, Any]:
    """Replace the published predictions in one transaction, unless newer predictions are published.

    Args:
        settings: where the warehouse is.
        uri: the candidate, from `predict`.
        predicted_at: the time that `predict` returned with it.

    Returns:
        `rows` of the candidate; `unlabeled`, how many of its rows have no label; its `model_version`; whether it is
        `published`; `bytes_billed` as in warehouse.Tables.

    Raises:
        TagifaiError: the candidate is missing, or the warehouse does not answer.
    """
    import pyarrow.parquet

    content = artifacts.read(uri, missing=f"there are no predictions {uri}: run predict and pass on what it returns")
    candidate = pyarrow.parquet.read_table(io.BytesIO(content))
    columns = settings.columns
    predictions = candidate.select([columns.key, columns.label, "probability", "model_version"])
    tables = warehouse.connect(settings, command="publish")
    published = tables.replace_predictions(predictions, predicted_at)
    logger.info(
        "%d predictions %s", len(predictions), "published" if published else "kept back: newer ones are published"
    )
    return {
        "rows": len(predictions),
        "unlabeled": candidate["is_labeled"].to_pylist().count(False),
        "model_version": predictions["model_version"][0].as_py(),
        "published": published,
        "bytes_billed": tables.bytes_billed,
    }
