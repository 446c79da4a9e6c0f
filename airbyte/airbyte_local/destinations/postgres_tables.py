"""Tables of the PostgreSQL destination: valid names, types, changes of columns, and the index on the primary key."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from airbyte_local.columns import Kind
from airbyte_local.destinations import fitting, postgres_views
from airbyte_local.destinations.contract import GENERATION, OWN, DestinationError, Table

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
# Types that tables of others have for the same kinds, and those of them that hold only some of the kind's values.
_NARROW: dict[str, Kind] = {"smallint": Kind.INTEGER, "integer": Kind.INTEGER}
_KINDS = {name: kind for kind, name in _TYPES.items()} | {"character varying": Kind.TEXT} | _NARROW
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
    reserved = {*OWN, GENERATION, *_SYSTEM}
    for column in table.columns:
        if column.name in reserved or not _is_name(column.name):
            raise DestinationError(
                f"table {table}: column {column.name!r} needs another name for PostgreSQL: 1 to {_NAME_BYTES} bytes,"
                f" and not one of {', '.join(sorted(reserved))}; rename it in the source"
            )


def types_of(table: Table) -> dict[str, LiteralString]:
    """Names and types of the columns that a table should have."""
    return {name: _TYPES[kind] for name, kind in table.kinds.items()}


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


def adapt(connection: psycopg.Connection, table: Table) -> Table | None:
    """Make a table fit its stream: add missing columns, and widen types; returns it as it is to be written.

    Returns None if the table does not exist. Raises the errors of `fitting.fit` and `postgres_views.set_aside`.
    """
    target = identifier(table)
    name = target.as_string(connection)
    if not value(connection, "select to_regclass(%s) is not null", [name]):
        return None
    existing = _existing(connection, name)
    found = fitting.fit(table, existing, _TYPES, fitting.WIDER)
    for column, kind in found.missing.items():
        execute(connection, "alter table {} add column {} {}", target, sql.Identifier(column), sql.SQL(_TYPES[kind]))
    if found.changed:
        with postgres_views.set_aside(connection, table, found.changed):
            for column, kind in found.changed.items():
                parts = target, sql.Identifier(column), sql.SQL(_TYPES[kind])
                # A direct conversion to numeric would keep only 15 digits.
                how = " using {1}::text::{2}" if existing[column].kind is Kind.DOUBLE else ""
                connection.execute(sql.SQL("alter table {0} alter column {1} type {2}" + how).format(*parts))
    return found.table


def columns_of(connection: psycopg.Connection, table: Table) -> set[str]:
    """Names of the columns that a table has."""
    return set(_existing(connection, identifier(table).as_string(connection)))


def _existing(connection: psycopg.Connection, name: str) -> dict[str, fitting.Existing]:
    """The columns that a table has; `name` is quoted."""
    found = connection.execute(
        "select attname, format_type(atttypid, atttypmod), format_type(atttypid, null),"
        " attnotnull and not atthasdef and attidentity = '', attgenerated <> '' or attidentity = 'a'"
        " from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped",
        [name],
    )
    return {
        column: fitting.Existing(
            kind, _KINDS.get(base), kind != base or base in _NARROW, is_required=is_required, is_generated=is_generated
        )
        for column, kind, base, is_required, is_generated in found
    }


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
