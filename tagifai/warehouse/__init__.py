"""The published tables of the warehouse, read and replaced as Arrow tables: `connect` opens PostgreSQL or BigQuery."""

from tagifai.settings import Postgres, Settings
from tagifai.warehouse.contract import Tables


def connect(settings: Settings, *, command: str) -> Tables:
    """The tables in the warehouse, which `command` of tagifai uses; nothing is asked of the warehouse yet."""
    # Google's libraries take a second to import.
    if isinstance(settings.warehouse, Postgres):
        from tagifai.warehouse.postgres import PostgresTables

        return PostgresTables(settings, settings.warehouse)
    from tagifai.warehouse.bigquery import BigQueryTables

    return BigQueryTables(settings, settings.warehouse, command=command)
