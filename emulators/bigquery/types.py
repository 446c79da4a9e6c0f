"""Types of columns and values.

https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types
"""

import re
from typing import Any

from bqemulator.api.routes import tables
from bqemulator.catalog import ddl_sync
from bqemulator.catalog.models import TableFieldSchema, TableSchema
from bqemulator.storage import type_map
from bqemulator.storage.sql_identifiers import quoted_table_ref
from sqlglot import exp
from sqlglot.generators.duckdb import DuckDBGenerator

# DuckDB has no decimals of 76 digits, and of 38 digits these leave enough on both sides of the point.
_BIGNUMERIC = "DECIMAL(38, 18)"
_DECIMAL = re.compile(r"DECIMAL\(\d+, *(\d+)\)")


def _introspected(project_id: str, dataset_id: str, table_id: str, ctx: Any) -> TableSchema:
    """Columns of a stored table; bqemulator asks Arrow, which has no JSON and other decimals."""
    reference = quoted_table_ref(project_id, dataset_id, table_id)
    fields = []
    for name, kind, null, *_ in ctx.engine.execute(f"describe {reference}").fetchall():
        field = type_map.duckdb_type_to_bq_field(name, kind)
        if null == "NO" and field["mode"] == "NULLABLE":
            field["mode"] = "REQUIRED"
        fields.append(field)
    return TableSchema(fields=tables._parse_schema_fields(fields))


def install() -> None:
    """Correct the mapping of types."""
    type_map._BQ_TO_DUCKDB["BIGNUMERIC"] = _BIGNUMERIC
    settings = DuckDBGenerator.TYPE_PARAM_SETTINGS
    settings[exp.DType.BIGDECIMAL] = ((38, 18), (38, 38))
    # Without them a cast would be to DuckDB's DECIMAL(18, 3).
    settings[exp.DType.DECIMAL] = ((38, 9), (38, 38))
    to_bigquery, parse = type_map.duckdb_to_bq, tables._parse_schema_fields

    def duckdb_to_bq(duckdb_type: str) -> str:
        digits = _DECIMAL.fullmatch(duckdb_type.strip().upper())
        # NUMERIC has nine digits after the point.
        return "BIGNUMERIC" if digits and int(digits[1]) > 9 else to_bigquery(duckdb_type)

    # The API answers with the older names, whichever were given.
    def with_wire_names(raw_fields: list[dict[str, Any]]) -> tuple[TableFieldSchema, ...]:
        names = type_map._BQ_STANDARD_TO_WIRE
        return parse(
            [{**field, "type": names.get(field["type"].upper(), field["type"].upper())} for field in raw_fields]
        )

    tables._parse_schema_fields = with_wire_names
    type_map.duckdb_to_bq = duckdb_to_bq
    ddl_sync._introspect_schema = _introspected
