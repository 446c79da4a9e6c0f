"""The PostgreSQL destination: COPY into the tables, in the transaction that has the states too."""

import hashlib
import uuid
from collections.abc import Sequence
from contextlib import ExitStack, suppress

import orjson
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from airbyte_protocol.models import DestinationSyncMode
from psycopg import sql
from psycopg.pq import TransactionStatus
from pyarrow import csv

from airbyte_local.columns import Kind
from airbyte_local.destination import DestinationError, Rows, State, Table
from airbyte_local.destinations import PostgresConfiguration
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
# What the destination adds to each row.
_OWN = {
    "_airbyte_raw_id": "text",
    "_airbyte_extracted_at": "timestamp with time zone",
    "_airbyte_meta": "jsonb",
}
# Names that PostgreSQL gives to columns of its own, and bytes of which it leaves off the rest of a name.
_SYSTEM = {"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"}
_NAME_BYTES = 63
# Characters of an id that rows have in common.
_PREFIX = 24
_STATES = """
    table if not exists airbyte.states (
        connection_id uuid,
        namespace text,
        stream text,
        message json not null,
        updated_at timestamptz not null default now(),
        primary key (connection_id, namespace, stream)
    )
"""
# Whether this user may keep states: in the table, or else make it in its schema, or else that too.
_MAY_KEEP = """
    select coalesce(
        (select has_schema_privilege(space.oid, 'usage') and coalesce(
            (select bool_and(has_table_privilege(found.oid, privilege))
                from pg_class found, unnest(array['select', 'insert', 'update', 'delete']) privilege
                where found.relnamespace = space.oid and found.relname = 'states'),
            has_schema_privilege(space.oid, 'create'))
            from pg_namespace space where space.nspname = 'airbyte'),
        has_database_privilege(current_database(), 'create'))
"""
# How long an attempt waits for the end of one whose process was killed.
_LOCK_TIMEOUT = "60s"
# How long a page waits for the states.
_PEEK_TIMEOUT = "5s"
# For sorting and joining staged rows.
_WORK_MEMORY = "64MB"
# Names of the indexes that we make begin with it.
_INDEX = "airbyte_key_"


class PostgresDestination:
    """One attempt's way into the database; see `Destination`."""

    def __init__(self, configuration: PostgresConfiguration, *, sync_id: int):
        """Connect.

        Args:
            configuration: the declared destination.
            sync_id: number of the job, which every row's metadata bears.
        """
        self.schema = configuration.schema_
        self._meta = {"sync_id": sync_id, "changes": []}
        self._tables: Sequence[Table] = ()
        # Those that have all columns.
        self._adapted: set[Table] = set()
        # Of tables whose rows cannot go there at once.
        self._staging: dict[Table, sql.Identifier] = {}
        # Tables with rows in their temporary ones, and those of this transaction.
        self._staged: set[Table] = set()
        self._begun: set[Table] = set()
        # The COPY that goes on, and its table.
        self._copy = ExitStack()
        self._copied: tuple[Table, psycopg.Copy] | None = None
        self._connection = psycopg.connect(
            host=configuration.host,
            port=configuration.port,
            dbname=configuration.database,
            user=configuration.username,
            password=configuration.password.get_secret_value(),
            sslmode=configuration.sslmode,
            connect_timeout=CONNECT_TIMEOUT,
            options=f"-c timezone=UTC -c work_mem={_WORK_MEMORY}",
            application_name="airbyte_local",
            client_encoding="utf8",
            autocommit=True,
        )

    def close(self) -> None:
        """Leave the database; what was not committed is gone."""
        with suppress(psycopg.Error):
            self._copy.__exit__(DestinationError, DestinationError("given up"), None)
        self._connection.close()

    def check(self) -> str | None:
        """Why rows could not be loaded; None: they can."""
        query = (
            "select to_regnamespace(quote_ident(%s)) notnull or has_database_privilege(current_database(), 'create')"
        )
        if not self._connection.execute(query, [self.schema]).fetchone()[0]:
            return f"there is no schema {self.schema}, and this user may not create one: create it, or grant it CREATE"
        if not self._connection.execute(_MAY_KEEP).fetchone()[0]:
            return (
                "this user may not keep states in airbyte.states: grant it USAGE and CREATE on a schema airbyte, or,"
                " where the table is there, USAGE on the schema and SELECT, INSERT, UPDATE and DELETE on the table"
            )
        return None

    def states(self, connection_id: uuid.UUID) -> list[State]:
        """The states of a connection; its tables are this attempt's alone from now on.

        Raises:
            DestinationError: another attempt does not end.
        """
        # To create a schema that is there asks for the right to, too.
        if not self._connection.execute("select to_regnamespace('airbyte')").fetchone()[0]:
            self._create("schema if not exists airbyte")
        if not self._connection.execute("select to_regclass('airbyte.states')").fetchone()[0]:
            self._create(_STATES)
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
        return self._states(connection_id)

    def peek(self, connection_id: uuid.UUID) -> list[State]:
        """The states of a connection, for people: nothing is locked or made, whatever sync goes on beside it."""
        with suppress(psycopg.errors.UndefinedTable), self._connection.transaction():  # nothing was synced yet
            self._connection.execute(f"set local statement_timeout = '{_PEEK_TIMEOUT}'")
            return self._states(connection_id)
        return []

    def open(self, tables: Sequence[Table]) -> None:
        """Make ready to take rows for these tables; those that are there already get the columns that they lack.

        Raises:
            DestinationError: a column has another type than the stream declares now, or PostgreSQL has no such names.
        """
        for table in tables:
            _check(table)
        self._tables = tables
        is_one_commit = all(table.at_end for table in tables)
        for table in tables:
            if table.mode is DestinationSyncMode.append_dedup or (table.at_end and not is_one_commit):
                self._staging[table] = self._stage(table)
            with self._connection.transaction():
                if self._exists(table):
                    self._adapt(table)
                    self._adapted.add(table)

    def write(self, table: Table, rows: Rows) -> None:
        """Copy rows to where they gather.

        Raises:
            DestinationError: a row has no value in a column of its key.
        """
        if self._copied is None or self._copied[0] != table:
            self._end_copy()
            self._begin()
            if table in self._staging:
                self._staged.add(table)
            else:
                self._begin_table(table)
            names = map(sql.Identifier, [*(column.name for column in table.columns), *_OWN])
            copy = sql.SQL("copy {} ({}) from stdin (format csv)").format(
                self._staging.get(table, _identifier(table)), sql.SQL(", ").join(names)
            )
            self._copied = table, self._copy.enter_context(self._connection.cursor().copy(copy))
        self._copied[1].write(self._csv(rows))

    def commit(self, connection_id: uuid.UUID, states: Sequence[State], *, final: bool) -> None:
        """Make what was written visible, and keep the states, in one transaction.

        A table keeps its identity, so views on it live on; readers see the rows of before until the new ones are there.

        Raises:
            DestinationError: a row has no value in a column of its key, or the table's rows of before are not told
                apart by it.
        """
        self._end_copy()
        self._begin()
        for table in self._tables:
            if table in self._staging:
                if final or (table in self._staged and not table.at_end):
                    self._begin_table(table)
                    self._move(table, self._staging[table])
                    self._execute("truncate {}", self._staging[table])
                    self._staged.discard(table)
            elif final:
                self._begin_table(table)
        self._keep(connection_id, states)
        self._connection.execute("commit")
        self._begun.clear()

    def _states(self, connection_id: uuid.UUID) -> list[State]:
        found = self._connection.execute(
            "select namespace, stream, message::text from airbyte.states where connection_id = %s"
            " order by namespace, stream",
            [connection_id],
        )
        return [State(namespace, stream, message.encode()) for namespace, stream, message in found]

    def _stage(self, table: Table) -> sql.Identifier:
        staging = sql.Identifier(f"staging_{len(self._staging)}")
        types = {column.name: _TYPES[column.kind] for column in table.columns} | _OWN
        columns = [
            sql.SQL("{} {} {}").format(
                sql.Identifier(name), sql.SQL(kind), sql.SQL("not null" if name in table.key else "")
            )
            for name, kind in types.items()
        ]
        self._execute("create temporary table {} ({})", staging, sql.SQL(", ").join(columns))
        return staging

    def _csv(self, rows: Rows) -> memoryview:
        """Rows as COPY reads them."""
        meta = pa.repeat(orjson.dumps(self._meta).decode(), len(rows.emitted_at))
        if rows.changes:
            found = meta.to_pylist()
            for index, changes in rows.changes.items():
                found[index] = orjson.dumps(self._meta | {"changes": changes}).decode()
            meta = pa.array(found)
        columns = [*rows.columns, _raw_ids(len(meta)), rows.emitted_at.cast(pa.timestamp("ms")), meta]
        batch = pa.RecordBatch.from_arrays(columns, names=[str(number) for number in range(len(columns))])
        target = pa.BufferOutputStream()
        csv.write_csv(batch, target, csv.WriteOptions(include_header=False))
        return memoryview(target.getvalue())

    def _end_copy(self) -> None:
        if self._copied is None:
            return
        table, self._copied = self._copied[0], None
        try:
            self._copy.close()
        except psycopg.errors.NotNullViolation as error:
            raise DestinationError(
                f"table {table}: a record has no value in {error.diag.column_name}, a column of its primary key; name"
                " columns that always have one, as primaryKey in connections.yaml"
            ) from None

    def _begin(self) -> None:
        if self._connection.info.transaction_status is TransactionStatus.IDLE:
            self._connection.execute("begin")

    def _begin_table(self, table: Table) -> None:
        """Have a table in this transaction: make it if it is missing, and keep other writers off, but not readers."""
        if table in self._begun:
            return
        self._begun.add(table)
        if not self._connection.execute("select to_regnamespace(quote_ident(%s))", [table.namespace]).fetchone()[0]:
            self._create("schema if not exists {}", sql.Identifier(table.namespace))
        types = {column.name: _TYPES[column.kind] for column in table.columns} | _OWN
        declared = [sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind)) for name, kind in types.items()]
        target = _identifier(table)
        self._create("table if not exists {} ({})", target, sql.SQL(", ").join(declared))
        self._execute("lock table {} in share row exclusive mode", target)
        if table not in self._adapted:
            self._adapt(table)  # another sync may have made it meanwhile
        self._index(table)
        if table.mode is DestinationSyncMode.overwrite:
            self._execute("delete from {}", target)

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
        names = sql.SQL(", ").join(map(sql.Identifier, [*(column.name for column in table.columns), *_OWN]))
        parts = {"target": _identifier(table), "staging": staging, "names": names}
        if table.mode is DestinationSyncMode.append_dedup:
            statement = (
                "merge into {target} as old using (select distinct on ({key}) {names} from {staging} order by {order})"
                " as new ({names}) on {same}"
                " when matched {later} then update set {set}"
                " when not matched then insert ({names}) values ({new})"
            )
            parts |= self._merge_parts(table)
        else:
            statement = "insert into {target} ({names}) select {names} from {staging}"
        self._connection.execute(sql.SQL(statement).format(**parts))

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

    def _exists(self, table: Table) -> bool:
        name = _identifier(table).as_string(self._connection)
        return self._connection.execute("select to_regclass(%s) is not null", [name]).fetchone()[0]

    def _adapt(self, table: Table) -> None:
        """Add the columns that a table lacks; in a transaction of its own, since it keeps readers off for a moment."""
        wanted = {column.name: _TYPES[column.kind] for column in table.columns} | _OWN
        types, target = self._columns(table), _identifier(table)
        for name, kind in wanted.items():
            if name not in types:
                self._execute("alter table {} add column {} {}", target, sql.Identifier(name), sql.SQL(kind))
            elif types[name] != kind:
                raise DestinationError(
                    f"column {name} of table {table} is {types[name]}, but the stream declares {kind}; change"
                    " the declaration back, or drop the column and sync again"
                )

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


def _check(table: Table) -> None:
    """See that PostgreSQL can have such a table.

    Raises:
        DestinationError: it cannot.
    """
    for name in (table.namespace, table.name):
        if not _is_name(name):
            raise DestinationError(
                f"table {table}: PostgreSQL has no name {name!r}, only such of 1 to {_NAME_BYTES} bytes; correct the"
                " namespace or the prefix, or rename the stream in the source"
            )
    for column in table.columns:
        if column.name in _OWN.keys() | _SYSTEM or not _is_name(column.name):
            raise DestinationError(
                f"table {table}: column {column.name!r} needs another name for PostgreSQL: of 1 to {_NAME_BYTES} bytes,"
                f" and none of {', '.join(sorted(_OWN.keys() | _SYSTEM))}; rename it in the source"
            )


def _is_name(name: str) -> bool:
    return 0 < len(name.encode()) <= _NAME_BYTES and "\0" not in name


def _identifier(table: Table) -> sql.Identifier:
    return sql.Identifier(table.namespace, table.name)


def _raw_ids(count: int) -> pa.Array:
    """Ids of rows, in the form of UUIDs: random in their first part, numbered in their last.

    The database's own take three quarters of the time of a COPY.
    """
    common = str(uuid.uuid4())
    numbers = pc.utf8_lpad(pa.array(range(count)).cast(pa.string()), len(common) - _PREFIX, "0")
    return pc.binary_join_element_wise(common[:_PREFIX], numbers, "")
