"""Tables of the BigQuery destination: valid names, types and missing columns."""

from google.cloud import bigquery

from airbyte_local.columns import Kind
from airbyte_local.destinations.contract import DestinationError, Table

_TYPES = {
    Kind.INTEGER: "INT64",
    Kind.NUMBER: "BIGNUMERIC",
    Kind.DOUBLE: "FLOAT64",
    Kind.BOOLEAN: "BOOL",
    Kind.DATE: "DATE",
    Kind.TIME: "TIME",
    Kind.TIME_TZ: "STRING",
    Kind.TIMESTAMP: "DATETIME",
    Kind.TIMESTAMP_TZ: "TIMESTAMP",
    Kind.JSON: "JSON",
    Kind.TEXT: "STRING",
}
# Columns that the destination adds to each row.
_OWN = {"_airbyte_raw_id": "STRING", "_airbyte_extracted_at": "TIMESTAMP", "_airbyte_meta": "JSON"}
# Column of staging tables: the order of arrival.
POSITION = "_airbyte_position"
# Types that are staged as text, which is lossless in Parquet and BigQuery, and the expressions that convert them.
FROM_TEXT = {"BIGNUMERIC": "cast({} as bignumeric)", "JSON": "parse_json({})"}
# Other names that BigQuery's API uses for types.
_ALIASES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
# Kinds that BigQuery cannot compare for equality, or cannot order.
_NOT_IN_KEY = {Kind.DOUBLE, Kind.JSON}
_NOT_IN_CURSOR = {Kind.JSON}


def types_of(table: Table) -> dict[str, str]:
    """Names and types of the columns that a table should have."""
    return {column.name: _TYPES[column.kind] for column in table.columns} | _OWN


def columns_of(found: bigquery.Table) -> dict[str, str]:
    """Names and types of the columns that a table has."""
    types = {field.name: _ALIASES.get(field.field_type, field.field_type) for field in found.schema}
    return types | {field.name: f"ARRAY<{types[field.name]}>" for field in found.schema if field.mode == "REPEATED"}


def compare(table: Table, columns: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """The columns that a table lacks, with their types, and those that the stream does not declare."""
    wanted = types_of(table)
    # BigQuery ignores the case of column names.
    found = {name.lower(): kind for name, kind in columns.items()}
    for name, kind in wanted.items():
        if found.get(name.lower(), kind) != kind:
            raise DestinationError(
                f"column {name} of table {table} is {found[name.lower()]}, but the stream declares {kind}; change"
                " the declaration back, or drop the column and sync again"
            )
    lowered = {name.lower() for name in wanted}
    missing = {name: kind for name, kind in wanted.items() if name.lower() not in found}
    return missing, [name for name in columns if name.lower() not in lowered]


def check_names(table: Table) -> None:
    """Raise DestinationError unless BigQuery allows the names, the key and the cursor of a table."""
    for name in (table.namespace, table.name):
        if not f"_{name}".replace("-", "_").replace(" ", "_").isidentifier():
            raise DestinationError(
                f"table {table}: BigQuery does not allow the name {name!r}; correct the namespace or the prefix"
            )
    taken = {*_OWN, POSITION}
    for column in table.columns:
        if column.name.lower() in taken or not (column.name.isascii() and column.name.isidentifier()):
            raise DestinationError(
                f"table {table}: column {column.name!r} needs another name for BigQuery: letters, digits and"
                " underscores, and different from the others in more than case; rename it in the source"
            )
        taken.add(column.name.lower())
        if (column.name in table.key and column.kind in _NOT_IN_KEY) or (
            column.name == table.cursor and column.kind in _NOT_IN_CURSOR
        ):
            raise DestinationError(
                f"table {table}: BigQuery cannot compare {column.name}, a {_TYPES[column.kind]}; choose another column"
                " as primaryKey or cursorField in connections.yaml"
            )
