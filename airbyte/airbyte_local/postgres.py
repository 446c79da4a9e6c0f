"""The PostgreSQL destination: COPY into temporary tables; a commit brings the rows from there into their tables."""

import hashlib
import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import psycopg
from airbyte_protocol.models import DestinationSyncMode
from psycopg import sql
from psycopg.types.json import Jsonb

from airbyte_local.columns import Column, Kind
from airbyte_local.declaration import PostgresConfiguration
from airbyte_local.destination import DestinationError, Rows, State, Table
from airbyte_local.jobs import CONNECT_TIMEOUT

_TYPES = {
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
# What the destination adds to each row, and how it is made of a staged row.
_OWN = {
    "_airbyte_raw_id": ("text", sql.SQL("gen_random_uuid()::text")),
    "_airbyte_extracted_at": ("timestamp with time zone", sql.SQL("_airbyte_extracted_at")),
    "_airbyte_meta": (
        "jsonb",
        sql.SQL(
            "case when _airbyte_changes is null then %(meta)s"
            " else jsonb_set(%(meta)s, '{changes}', _airbyte_changes) end"
        ),
    ),
}
_STATES = """
    create schema if not exists airbyte;
    create table if not exists airbyte.states (
        connection_id uuid,
        namespace text,
        stream text,
        message json not null,
        updated_at timestamptz not null default now(),
        primary key (connection_id, namespace, stream)
    );
"""
# How long an attempt waits for the end of one whose process was killed.
_LOCK_TIMEOUT = "60s"
# For sorting and joining staged rows.
_WORK_MEMORY = "64MB"
# Names of the indexes that we make begin with it.
_INDEX = "airbyte_key_"
# What COPY's text format writes otherwise; the backslash first.
_ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class PostgresDestination:
    """One attempt's way into the database; see `Destination`."""

    def __init__(self, configuration: PostgresConfiguration, *, sync_id: int):
        """Connect.

        Args:
            configuration: the declared destination.
            sync_id: number of the job, which every row's metadata bears.
        """
        self.schema = configuration.schema_
        self._meta = Jsonb({"sync_id": sync_id, "changes": []})
        self._staging: dict[Table, sql.Identifier] = {}
        # Tables with rows that were not committed yet.
        self._staged: set[Table] = set()
        self._connection = psycopg.connect(
            host=configuration.host,
            port=configuration.port,
            dbname=configuration.database,
            user=configuration.username,
            password=configuration.password.get_secret_value(),
            connect_timeout=CONNECT_TIMEOUT,
            options=f"-c timezone=UTC -c work_mem={_WORK_MEMORY}",
            application_name="airbyte_local",
            autocommit=True,
        )

    def close(self) -> None:
        """Leave the database; what was not committed is gone."""
        self._connection.close()

    def states(self, connection_id: uuid.UUID) -> list[State]:
        """The states of a connection; its tables are this attempt's alone from now on.

        Raises:
            DestinationError: another attempt does not end.
        """
        with suppress(psycopg.errors.UniqueViolation):  # another connection's attempt makes it at this moment
            self._connection.execute(_STATES)
        try:
            with self._connection.transaction():
                # An attempt that was killed may still be in the middle of a commit.
                self._connection.execute(f"set local lock_timeout = '{_LOCK_TIMEOUT}'")
                self._connection.execute("select pg_advisory_lock(hashtextextended(%s, 0))", [str(connection_id)])
        except psycopg.errors.LockNotAvailable:
            raise DestinationError(
                f"another sync of this connection has been at work in the destination for {_LOCK_TIMEOUT}; stop the"
                " service that runs it"
            ) from None
        found = self._connection.execute(
            "select namespace, stream, message::text from airbyte.states where connection_id = %s", [connection_id]
        )
        return [State(namespace, stream, message.encode()) for namespace, stream, message in found]

    def open(self, table: Table) -> None:
        """Make ready to take rows for `table`; nothing of it is visible to others."""
        staging = sql.Identifier(f"staging_{len(self._staging)}")
        columns = [
            sql.SQL("{} {} {}").format(
                sql.Identifier(c.name), sql.SQL(_TYPES[c.kind]), sql.SQL("not null" if c.name in table.key else "")
            )
            for c in table.columns
        ]
        columns += [sql.SQL("_airbyte_extracted_at timestamptz not null"), sql.SQL("_airbyte_changes jsonb")]
        self._connection.execute(sql.SQL("create temporary table {} ({})").format(staging, sql.SQL(", ").join(columns)))
        self._staging[table] = staging

    def write(self, table: Table, rows: Rows) -> None:
        """Stage rows.

        Raises:
            DestinationError: a row has no value in a column of its key.
        """
        if not rows.emitted_at:
            return
        columns = [_copied(column, values) for column, values in zip(table.columns, rows.columns, strict=True)]
        columns += [list(map(_moment, rows.emitted_at)), _texts(rows.changes)]
        text = "\n".join(map("\t".join, zip(*columns, strict=True)))
        copy = sql.SQL("copy {} from stdin").format(self._staging[table])
        try:
            with self._connection.cursor() as cursor, cursor.copy(copy) as writer:
                writer.write(text)
        except psycopg.errors.NotNullViolation as error:
            raise DestinationError(
                f"table {table}: a record has no value in {error.diag.column_name}, a column of its primary key; name"
                " columns that always have one, as primaryKey in connections.yaml"
            ) from None
        self._staged.add(table)

    def commit(self, connection_id: uuid.UUID, states: Sequence[State], *, final: bool) -> None:
        """Bring staged rows into their tables, and keep the states, in one transaction.

        A table keeps its identity, so views on it live on; readers see the rows of before until the new ones are there.

        Raises:
            DestinationError: a column of a table has another type than the stream declares now, or its rows of before
                are not told apart by the key.
        """
        with self._connection.transaction():
            for table, staging in self._staging.items():
                if final if table.at_end else (final or table in self._staged):
                    self._prepare(table)
                    self._move(table, staging)
                    self._execute("truncate {}", staging)
            self._keep(connection_id, states)
        self._staged = set() if final else {table for table in self._staged if table.at_end}

    def _keep(self, connection_id: uuid.UUID, states: Sequence[State]) -> None:
        for state in states:
            key = [connection_id, state.namespace, state.stream]
            if state.message is None:
                self._connection.execute(
                    "delete from airbyte.states where (connection_id, namespace, stream) = (%s, %s, %s)", key
                )
            else:
                self._connection.execute(
                    "insert into airbyte.states (connection_id, namespace, stream, message) values (%s, %s, %s, %s)"
                    " on conflict (connection_id, namespace, stream)"
                    " do update set message = excluded.message, updated_at = now()",
                    [*key, state.message.decode()],
                )

    def cancel(self) -> None:
        """Interrupt what the database does for this attempt now, if anything."""
        with suppress(psycopg.Error):  # closed meanwhile
            self._connection.cancel_safe()

    def _move(self, table: Table, staging: sql.Identifier) -> None:
        target = _identifier(table)
        names = [sql.Identifier(column.name) for column in table.columns]
        parts = {
            "target": target,
            "staging": staging,
            "names": sql.SQL(", ").join([*names, *map(sql.Identifier, _OWN)]),
            "values": sql.SQL(", ").join([*names, *(value for _, value in _OWN.values())]),
        }
        if table.mode is not DestinationSyncMode.append_dedup:
            if table.mode is DestinationSyncMode.overwrite:
                self._execute("delete from {}", target)
            statement = "insert into {target} ({names}) select {values} from {staging}"
        else:
            statement = (
                "merge into {target} as old using (select distinct on ({key}) {values} from {staging} order by {order})"
                " as new ({names}) on {same}"
                " when matched {later} then update set {set}"
                " when not matched then insert ({names}) values ({new})"
            )
            parts |= self._merge_parts(table)
        self._connection.execute(sql.SQL(statement).format(**parts), {"meta": self._meta})

    def _merge_parts(self, table: Table) -> dict[str, sql.Composable]:
        key = [sql.Identifier(name) for name in table.key]
        names = [*(column.name for column in table.columns), *_OWN]
        gone = [name for name in self._columns(table) if name not in names]
        latest = [sql.SQL("_airbyte_extracted_at desc"), sql.SQL("ctid desc")]
        later = sql.SQL("")
        if table.cursor:
            cursor = sql.Identifier(table.cursor)
            latest.insert(0, sql.SQL("{} desc nulls last").format(cursor))
            later = sql.SQL("and (old.{0} is null or new.{0} >= old.{0})").format(cursor)
        new = {name: sql.SQL("new.{}").format(sql.Identifier(name)) for name in names}
        values = new | dict.fromkeys(gone, sql.SQL("null"))
        return {
            "key": sql.SQL(", ").join(key),
            "order": sql.SQL(", ").join([*key, *latest]),
            "same": sql.SQL(" and ").join(sql.SQL("old.{0} = new.{0}").format(name) for name in key),
            "later": later,
            "set": sql.SQL(", ").join(
                sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in values.items()
            ),
            "new": sql.SQL(", ").join(new.values()),
        }

    def _prepare(self, table: Table) -> None:
        """Create what is missing of the table and lock it against other writers, not against readers."""
        wanted = {c.name: _TYPES[c.kind] for c in table.columns} | {name: kind for name, (kind, _) in _OWN.items()}
        target = _identifier(table)
        declared = [sql.SQL("{} {}").format(sql.Identifier(n), sql.SQL(t)) for n, t in wanted.items()]
        if not self._connection.execute("select to_regnamespace(quote_ident(%s))", [table.namespace]).fetchone()[0]:
            self._create("schema if not exists {}", sql.Identifier(table.namespace))
        self._create("table if not exists {} ({})", target, sql.SQL(", ").join(declared))
        self._execute("lock table {} in share row exclusive mode", target)
        types = self._columns(table)
        for name, wanted_type in wanted.items():
            if name not in types:
                self._execute("alter table {} add column {} {}", target, sql.Identifier(name), sql.SQL(wanted_type))
            elif types[name] != wanted_type:
                raise DestinationError(
                    f"column {name} of table {table} is {types[name]}, but the stream declares {wanted_type}; change"
                    " the declaration back, or drop the column and sync again"
                )
        self._index(table)

    def _columns(self, table: Table) -> dict[str, str]:
        """Names and types of a table's columns."""
        found = self._connection.execute(
            "select attname, format_type(atttypid, atttypmod) from pg_attribute"
            " where attrelid = %s::regclass and attnum > 0 and not attisdropped",
            [_identifier(table).as_string(self._connection)],
        )
        return dict(found.fetchall())

    def _index(self, table: Table) -> None:
        """Have an index on the table's key, and on no key of before."""
        name = _INDEX + hashlib.md5(repr((table.name, table.key)).encode(), usedforsecurity=False).hexdigest()
        found = self._connection.execute(
            "select indexname from pg_indexes where schemaname = %s and tablename = %s and starts_with(indexname, %s)",
            [table.namespace, table.name, _INDEX],
        )
        ours = {index for (index,) in found}
        for index in ours - ({name} if table.key else set()):
            self._execute("drop index {}", sql.Identifier(table.namespace, index))
        if table.key and name not in ours:
            key = sql.SQL(", ").join(map(sql.Identifier, table.key))
            try:
                self._execute("create unique index {} on {} ({})", sql.Identifier(name), _identifier(table), key)
            except psycopg.errors.UniqueViolation as error:
                raise DestinationError(
                    f"table {table} has rows with the same {', '.join(table.key)} ({error.diag.message_detail}); delete"
                    " all but one of each, or sync once with full_refresh_overwrite"
                ) from None

    def _create(self, statement: str, *parts: sql.Composable) -> None:
        """Create what is missing; where another sync does so at this moment, `if not exists` waits and then fails."""
        with suppress(psycopg.errors.UniqueViolation), self._connection.transaction():
            self._execute("create " + statement, *parts)

    def _execute(self, statement: str, *parts: sql.Composable) -> None:
        self._connection.execute(sql.SQL(statement).format(*parts))


def _identifier(table: Table) -> sql.Identifier:
    return sql.Identifier(table.namespace, table.name)


def _copied(column: Column, values: list[Any]) -> list[str]:
    """A column's values as COPY reads them."""
    if column.kind in (Kind.TEXT, Kind.JSON):
        return _texts(values)
    return [r"\N" if value is None else str(value) for value in values]


def _texts(values: list[str | None]) -> list[str]:
    """Text of any kind as COPY reads it."""
    present = values if None not in values else [value for value in values if value is not None]
    if any(found in all_of_it for all_of_it in ["".join(present)] for found, _ in _ESCAPES):
        values = [value if value is None else _escaped(value) for value in values]
    return values if len(present) == len(values) else [r"\N" if value is None else value for value in values]


def _escaped(value: str) -> str:
    for found, written in _ESCAPES:
        value = value.replace(found, written)
    return value


@lru_cache
def _moment(milliseconds: int) -> str:
    return (_EPOCH + timedelta(milliseconds=milliseconds)).isoformat()
