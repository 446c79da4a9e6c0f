"""The published tables of the warehouse, read and replaced as Arrow tables: `connect` opens PostgreSQL or BigQuery."""

from tagifai.settings import Postgres, Warehouse
from tagifai.warehouse.contract import Tables


def connect(warehouse: Warehouse, *, command: str) -> Tables:
    """The tables of a warehouse, which `command` of tagifai uses; nothing is asked of the warehouse yet."""
    # Google's libraries take a second to import.
    if isinstance(warehouse, Postgres):
        from tagifai.warehouse.postgres import PostgresTables

        return PostgresTables(warehouse)
    from tagifai.warehouse.bigquery import BigQueryTables

    return BigQueryTables(warehouse, command=command)
