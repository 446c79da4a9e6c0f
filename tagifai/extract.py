"""extract: save the published labelled rows as a snapshot."""

import logging

from tagifai import snapshot, warehouse
from tagifai.settings import Settings

logger = logging.getLogger(__name__)


def extract(settings: Settings) -> dict[str, object]:
    """Write the published rows with a label as a Parquet file named by its content, unless that file exists.

    Returns:
        `snapshot`, the content's hash; `uri` of the file; `rows`; `bytes_billed` as in warehouse.Tables.

    Raises:
        TagifaiError: the warehouse does not answer, or the table is missing or empty.
    """
    tables = warehouse.connect(settings, command="extract")
    table = tables.labeled(snapshot.columns_of(settings.columns))
    name, uri = snapshot.write(table, settings.artifacts)
    logger.info("snapshot %s: %d rows", name, table.num_rows)
    return {"snapshot": name, "uri": uri, "rows": table.num_rows, "bytes_billed": tables.bytes_billed}
