"""The table airbyte.states of the PostgreSQL destination: states of connections, and columns of tables."""

import uuid
from collections.abc import Sequence

import orjson
import psycopg

from airbyte_local.destinations import postgres_tables as tables_of
from airbyte_local.destinations.contract import DestinationError, State, Table

_STATES = """
    create table if not exists airbyte.states (
        connection_id uuid,
        namespace text,
        stream text,
        message json not null,
        updated_at timestamptz not null default now(),
        primary key (connection_id, namespace, stream)
    )
"""
# Whether this user may write the table of states, or create it in its schema, or create the schema too.
MAY_KEEP = """
    select coalesce(
        (select has_schema_privilege(space.oid, 'usage') and coalesce(
            (select bool_and(has_table_privilege(found.oid, privilege))
                from pg_class found, unnest(array['select', 'insert', 'update', 'delete']) privilege
                where found.relnamespace = space.oid and found.relname = 'states'),
            has_schema_privilege(space.oid, 'create'))
            from pg_namespace space where space.nspname = 'airbyte'),
        has_database_privilege(current_database(), 'create'))
"""
# Tables are no connection's own.
_TABLES = uuid.UUID(int=0)
# How long an attempt waits for the end of an earlier one whose process was killed.
_LOCK_TIMEOUT = "60s"


def reserve(connection: psycopg.Connection, connection_id: uuid.UUID) -> None:
    """Reserve the tables of a connection for this session; creates the table of states if it is missing.

    Raises:
        DestinationError: another attempt has reserved them and does not end.
    """
    tables_of.create_schema(connection, "airbyte")
    if not tables_of.value(connection, "select to_regclass('airbyte.states')"):
        tables_of.create(connection, _STATES)
    try:
        with connection.transaction():
            # An attempt that was killed may still be committing.
            connection.execute(f"set local lock_timeout = '{_LOCK_TIMEOUT}'")
            connection.execute("select pg_advisory_lock(hashtextextended(%s, 0))", [str(connection_id)])
    except psycopg.errors.LockNotAvailable:
        raise DestinationError(
            f"another sync of this connection has been using the destination for {_LOCK_TIMEOUT}; stop the service"
            " that runs it"
        ) from None


def read(connection: psycopg.Connection, connection_id: uuid.UUID) -> list[State]:
    """The states of a connection, sorted by namespace and stream."""
    found = connection.execute(
        "select namespace, stream, message::text from airbyte.states where connection_id = %s"
        " order by namespace, stream",
        [connection_id],
    )
    return [State(namespace, stream, message.encode()) for namespace, stream, message in found]


def keep(connection: psycopg.Connection, connection_id: uuid.UUID, states: Sequence[State]) -> None:
    """Store states; those without a message are deleted."""
    for state in states:
        key = [connection_id, state.namespace, state.stream]
        if state.message is None:
            connection.execute(
                "delete from airbyte.states where (connection_id, namespace, stream) = (%s, %s, %s)", key
            )
        else:
            connection.execute(
                "insert into airbyte.states (connection_id, namespace, stream, message) values (%s, %s, %s, %s)"
                " on conflict (connection_id, namespace, stream)"
                " do update set message = excluded.message, updated_at = now()",
                [*key, state.message.decode()],
            )


def written_columns(connection: psycopg.Connection, table: Table) -> set[str]:
    """The columns that a table has and syncs have written so far; adds those of this table, and stores them.

    All others are the user's own, and no sync may touch them.
    """
    query = (
        "select message -> 'columns' from airbyte.states"
        " where (connection_id, namespace, stream) = (%s::uuid, %s::text, %s::text)"
    )
    known = set(tables_of.value(connection, query, [_TABLES, table.namespace, table.name]) or ())
    # A column that was dropped may come again as the user's own.
    now = (known & tables_of.columns_of(connection, table)) | {column.name for column in table.columns}
    if now != known:
        message = orjson.dumps({"columns": sorted(now)})
        keep(connection, _TABLES, [State(table.namespace, table.name, message)])
    return now
