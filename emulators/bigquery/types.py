"""Types of columns and values.

https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types
"""

from typing import Any

from bqemulator.catalog import ddl_sync
from bqemulator.catalog.models import TableSchema
from bqemulator.storage import type_map
from bqemulator.storage.sql_identifiers import quoted_table_ref
from sqlglot import exp
from sqlglot.generators.duckdb import DuckDBGenerator

# DuckDB has no decimals of 76 digits, and of 38 digits these leave enough on both sides of the point.
_BIGNUMERIC = "DECIMAL(38, 18)"


def _introspected(project: str, dataset: str, table: str, ctx: Any) -> TableSchema:
    """Columns of a stored table; bqemulator asks Arrow, which has no JSON and other decimals."""
    from bqemulator.api.routes.tables import _parse_schema_fields

    reference = quoted_table_ref(project, dataset, table)
    fields = []
    for name, kind, null, *_ in ctx.engine.execute(f"describe {reference}").fetchall():
        field = type_map.duckdb_type_to_bq_field(name, kind)
        if null == "NO" and field["mode"] == "NULLABLE":
            field["mode"] = "REQUIRED"
        fields.append(field)
    return TableSchema(fields=_parse_schema_fields(fields))


def install() -> None:
    """Correct the mapping of types."""
    type_map._BQ_TO_DUCKDB["BIGNUMERIC"] = _BIGNUMERIC
    settings = DuckDBGenerator.TYPE_PARAM_SETTINGS
    settings[exp.DType.BIGDECIMAL] = ((38, 18), (38, 38))
    # Without them a cast would be to DuckDB's DECIMAL(18, 3).
    settings[exp.DType.DECIMAL] = ((38, 9), (38, 38))
    to_bigquery = type_map.duckdb_to_bq

    def duckdb_to_bq(kind: str) -> str:
        return "BIGNUMERIC" if kind.replace(" ", "").upper() == _BIGNUMERIC.replace(" ", "") else to_bigquery(kind)

    type_map.duckdb_to_bq = duckdb_to_bq
    ddl_sync._introspect_schema = _introspected
