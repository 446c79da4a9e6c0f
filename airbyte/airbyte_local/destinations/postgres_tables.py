"""Tables of the PostgreSQL destination: valid names, types, missing columns, and the index on the primary key."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from airbyte_local.columns import Kind
from airbyte_local.destinations.contract import DestinationError, Table

_TYPES: dict[Kind, LiteralString] = {
    Kind.INTEGER: "bigint",
    Kind.NUMBER: "numeric",
    Kind.DOUBLE: "double precision",
    Kind.BOOLEAN: "boolean",
    Kind.DATE: "date",
    Kind.TIME: "time without time zone",
    Kind.TIME_TZ: "time with time zone",
    Kind.TIMESTAMP: "timestamp without time zone",
    Kind.TIMESTAMP_TZ: "timestamp with time zone",
    Kind.JSON: "jsonb",
    Kind.TEXT: "text",
}
# Columns that the destination adds to each row.
_OWN: dict[str, LiteralString] = {
    "_airbyte_raw_id": "text",
    "_airbyte_extracted_at": "timestamp with time zone",
    "_airbyte_meta": "jsonb",
}
# Names of PostgreSQL's system columns.
_SYSTEM = {"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"}
# PostgreSQL truncates longer names.
_NAME_BYTES = 63
# Prefix of the names of our indexes.
_INDEX = "airbyte_key_"


def check_names(table: Table) -> None:
    """Raise DestinationError unless PostgreSQL allows the names of a table and its columns."""
    for name in (table.namespace, table.name):
        if not _is_name(name):
            raise DestinationError(
                f"table {table}: PostgreSQL does not allow the name {name!r}, only names of 1 to {_NAME_BYTES} bytes;"
                " correct the namespace or the prefix, or rename the stream in the source"
            )
    reserved = _OWN.keys() | _SYSTEM
    for column in table.columns:
        if column.name in reserved or not _is_name(column.name):
            raise DestinationError(
                f"table {table}: column {column.name!r} needs another name for PostgreSQL: 1 to {_NAME_BYTES} bytes,"
                f" and not one of {', '.join(sorted(reserved))}; rename it in the source"
            )


def types_of(table: Table) -> dict[str, LiteralString]:
    """Names and types of the columns that a table should have."""
    return {column.name: _TYPES[column.kind] for column in table.columns} | _OWN


def identifier(table: Table) -> sql.Identifier:
    """The quoted name of a table, with its schema."""
    return sql.Identifier(table.namespace, table.name)


def names_of(columns: Collection[str]) -> sql.Composed:
    """Quoted names of columns, separated by commas."""
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def value(connection: psycopg.Connection, query: LiteralString, values: Sequence[Any] = ()) -> Any:
    """The first value of a query's first row."""
    row = connection.execute(query, values).fetchone()
    return row[0] if row else None


def execute(connection: psycopg.Connection, statement: LiteralString, *parts: sql.Composable) -> None:
    """Run a statement after inserting `parts` for its braces."""
    connection.execute(sql.SQL(statement).format(*parts))


def create(connection: psycopg.Connection, statement: LiteralString, *parts: sql.Composable) -> None:
    """Run a CREATE IF NOT EXISTS, which may still fail if another session creates the same object."""
    with suppress(psycopg.errors.UniqueViolation), connection.transaction():
        execute(connection, statement, *parts)


def create_schema(connection: psycopg.Connection, name: str) -> None:
    """Create a schema if it is missing; `if not exists` alone would require the right to create schemas."""
    if not value(connection, "select to_regnamespace(quote_ident(%s))", [name]):
        create(connection, "create schema if not exists {}", sql.Identifier(name))


def create_table(connection: psycopg.Connection, table: Table) -> None:
    """Create a table and its schema if they are missing."""
    create_schema(connection, table.namespace)
    create(connection, "create table if not exists {} ({})", identifier(table), _definition(types_of(table)))


def create_staging(connection: psycopg.Connection, name: sql.Identifier, table: Table) -> None:
    """Create a temporary table for rows of a table; the columns of its key do not accept null."""
    execute(connection, "create temporary table {} ({})", name, _definition(types_of(table), required=table.key))


def add_missing_columns(connection: psycopg.Connection, table: Table) -> bool:
    """Add the columns that a table lacks; returns whether the table exists."""
    target = identifier(table)
    if not value(connection, "select to_regclass(%s) is not null", [target.as_string(connection)]):
        return False
    types = columns_of(connection, table)
    for name, kind in types_of(table).items():
        if name not in types:
            execute(connection, "alter table {} add column {} {}", target, sql.Identifier(name), sql.SQL(kind))
        elif types[name] != kind:
            raise DestinationError(
                f"column {name} of table {table} is {types[name]}, but the stream declares {kind}; change"
                " the declaration back, or drop the column and sync again"
            )
    return True


def columns_of(connection: psycopg.Connection, table: Table) -> dict[str, str]:
    """Names and types of the columns that a table has."""
    found = connection.execute(
        "select attname, format_type(atttypid, atttypmod) from pg_attribute"
        " where attrelid = %s::regclass and attnum > 0 and not attisdropped",
        [identifier(table).as_string(connection)],
    )
    return dict(found.fetchall())


def index_key(connection: psycopg.Connection, table: Table) -> None:
    """Create the index on a table's primary key, and drop those on earlier keys."""
    name = _INDEX + hashlib.md5(repr((table.name, table.key)).encode(), usedforsecurity=False).hexdigest()
    found = connection.execute(
        "select indexname from pg_indexes where schemaname = %s and tablename = %s and starts_with(indexname, %s)",
        [table.namespace, table.name, _INDEX],
    )
    ours = {index for (index,) in found}
    for index in ours - ({name} if table.key else set()):
        execute(connection, "drop index {}", sql.Identifier(table.namespace, index))
    if table.key and name not in ours:
        parts = sql.Identifier(name), identifier(table), names_of(table.key)
        try:
            execute(connection, "create unique index {} on {} ({})", *parts)
        except psycopg.errors.UniqueViolation as error:
            raise DestinationError(
                f"table {table} has rows with the same {', '.join(table.key)} ({error.diag.message_detail}); delete"
                " all but one of each, or sync once with full_refresh_overwrite"
            ) from None


def _definition(types: Mapping[str, LiteralString], required: Collection[str] = ()) -> sql.Composed:
    """The columns of a CREATE TABLE statement; those in `required` are NOT NULL."""
    return sql.SQL(", ").join(
        sql.SQL("{} {} {}").format(sql.Identifier(name), sql.SQL(kind), sql.SQL("not null" if name in required else ""))
        for name, kind in types.items()
    )


def _is_name(name: str) -> bool:
    return 0 < len(name.encode()) <= _NAME_BYTES and "\0" not in name
