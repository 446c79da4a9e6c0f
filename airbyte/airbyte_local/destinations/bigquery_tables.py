"""Tables of the BigQuery destination: valid names, types, and how the columns of a table fit a stream."""

from collections.abc import Mapping

from google.cloud import bigquery

from airbyte_local.columns import Kind
from airbyte_local.destinations import fitting
from airbyte_local.destinations.contract import GENERATION, OWN, DestinationError, Table

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
# Types of tables of others that hold only some of the values of a kind.
_NARROW = {"NUMERIC": Kind.NUMBER}
_KINDS = {name: kind for kind, name in _TYPES.items()} | _NARROW
# BigQuery changes no dates and no floats in place.
_WIDER = {kinds: wider for kinds, wider in fitting.WIDER.items() if kinds[0] is Kind.INTEGER}
# Column of staging tables: the order of arrival.
POSITION = "_airbyte_position"
# Types that are staged as text, which is lossless in Parquet and BigQuery, and the expressions that convert them.
FROM_TEXT = {"BIGNUMERIC": "cast({} as bignumeric)", "JSON": "parse_json({})"}
# Other names that BigQuery's API uses for types.
_ALIASES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
# Kinds that BigQuery cannot compare for equality, or cannot order.
_NOT_IN_KEY = {Kind.DOUBLE, Kind.JSON}
_NOT_IN_CURSOR = {Kind.JSON}


def types_of(kinds: Mapping[str, Kind]) -> dict[str, str]:
    """Names of columns with BigQuery's names of their types."""
    return {name: _TYPES[kind] for name, kind in kinds.items()}


def columns_of(found: bigquery.Table) -> dict[str, fitting.Existing]:
    """The columns that a table has."""
    return {field.name: _existing(field) for field in found.schema}


def fit(table: Table, columns: Mapping[str, fitting.Existing]) -> fitting.Fit:
    """Compare a stream with the columns of its table; raises DestinationError."""
    # BigQuery ignores the case of column names.
    spelt = {name.lower(): name for name in [*(column.name for column in table.columns), *OWN, GENERATION]}
    existing = {spelt.get(name.lower(), name): column for name, column in columns.items()}
    return fitting.fit(table, existing, _TYPES, _WIDER)


def removed(table: Table, columns: Mapping[str, fitting.Existing], written: set[str]) -> list[str]:
    """The columns that earlier syncs have written, in lower case, but the stream no longer has."""
    names = {name.lower() for name in table.kinds}
    return [name for name in columns if name.lower() in written - names]


def _existing(field: bigquery.SchemaField) -> fitting.Existing:
    kind = _ALIASES.get(field.field_type, field.field_type)
    is_required = field.mode == "REQUIRED" and not field.default_value_expression
    if field.mode == "REPEATED":
        return fitting.Existing(f"ARRAY<{kind}>", None)
    limits = [str(limit) for limit in (field.max_length or field.precision, field.scale) if limit is not None]
    shown = f"{kind}({', '.join(limits)})" if limits else kind
    is_narrow = bool(limits) or kind in _NARROW
    return fitting.Existing(shown, _KINDS.get(kind), is_narrow, is_required=is_required)


def check_names(table: Table) -> None:
    """Raise DestinationError unless BigQuery allows the names, the key and the cursor of a table."""
    for name in (table.namespace, table.name):
        if not f"_{name}".replace("-", "_").replace(" ", "_").isidentifier():
            raise DestinationError(
                f"table {table}: BigQuery does not allow the name {name!r}; correct the namespace or the prefix"
            )
    taken = {*OWN, GENERATION, POSITION}
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
