"""The PostgreSQL destination: COPY into the tables, in the same transaction as the states."""

# ruff: noqa: D102 - `Destination` documents the methods.

import uuid
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import lru_cache

import psycopg
import pyarrow as pa
from airbyte_protocol.models import DestinationSyncMode
from psycopg import sql
from psycopg.pq import TransactionStatus
from pyarrow import csv

from airbyte_local.columns import pc
from airbyte_local.database import CONNECT_TIMEOUT
from airbyte_local.destinations import postgres_states as states_of
from airbyte_local.destinations import postgres_tables as tables_of
from airbyte_local.destinations.config_models import PostgresConfiguration
from airbyte_local.destinations.contract import (
    DELETED,
    DestinationError,
    DestinationUnavailableError,
    Rows,
    State,
    Table,
)

# Number of characters at the start of a row's id that rows written together share.
_PREFIX = 24
# How long a page waits for the states.
_PEEK_TIMEOUT = "5s"
# A transaction waits for a slow source, however long.
_OPTIONS = "-c timezone=UTC -c extra_float_digits=1 -c idle_in_transaction_session_timeout=0"
# For sorting and joining staged rows.
_WORK_MEMORY = "64MB"


class PostgresDestination:
    """The database connection of one attempt; see `Destination`."""

    def __init__(self, configuration: PostgresConfiguration, *, sync_id: int):
        """Connect; raises psycopg.Error if the database does not answer or refuses."""
        self.schema = configuration.schema_
        self._sync_id = sync_id
        self._tables: Sequence[Table] = ()
        # Tables that existed when they were opened, so that they fit their streams.
        self._fitted: set[Table] = set()
        # Temporary tables, for tables that cannot be written directly.
        self._staging: dict[Table, sql.Identifier] = {}
        # Tables whose temporary table has rows, and tables that are locked in this transaction.
        self._staged: set[Table] = set()
        self._begun: set[Table] = set()
        # Columns that these have and syncs have written so far.
        self._written: dict[Table, set[str]] = {}
        # The COPY in progress, and its table.
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
            options=f"{_OPTIONS} -c work_mem={_WORK_MEMORY}",
            application_name="airbyte_local",
            client_encoding="utf8",
            autocommit=True,
        )

    def close(self) -> None:
        with suppress(psycopg.Error):
            self._copy.__exit__(DestinationError, DestinationError("given up"), None)
        self._connection.close()

    def cancel(self) -> None:
        with suppress(psycopg.Error):  # the connection may be closed already
            self._connection.cancel_safe()

    def check(self) -> str | None:
        query = (
            "select to_regnamespace(quote_ident(%s)) notnull or has_database_privilege(current_database(), 'create')"
        )
        if not tables_of.value(self._connection, query, [self.schema]):
            remedy = "create it, or grant CREATE"
            return f"the schema {self.schema} does not exist, and this user may not create it: {remedy}"
        if not tables_of.value(self._connection, states_of.MAY_KEEP):
            return (
                "this user may not write to airbyte.states: grant USAGE and CREATE on a schema airbyte, or, if the"
                " table exists, USAGE on the schema and SELECT, INSERT, UPDATE and DELETE on the table"
            )
        return None

    def states(self, connection_id: uuid.UUID) -> list[State]:
        states_of.reserve(self._connection, connection_id)
        return states_of.read(self._connection, connection_id)

    def peek(self, connection_id: uuid.UUID) -> list[State]:
        with suppress(psycopg.errors.UndefinedTable), self._connection.transaction():  # before the first sync
            self._connection.execute(f"set local statement_timeout = '{_PEEK_TIMEOUT}'")
            return states_of.read(self._connection, connection_id)
        return []

    def open(self, tables: Sequence[Table]) -> list[Table]:
        for table in tables:
            tables_of.check_names(table)
        is_one_commit = all(table.at_end for table in tables)
        opened = []
        for table in tables:
            # In a transaction of its own, since it blocks readers for a moment.
            with self._connection.transaction():
                fitted = tables_of.adapt(self._connection, table)
            if fitted:
                self._fitted.add(fitted)
            opened.append(fitted or table)
        for table in opened:
            if table.mode is DestinationSyncMode.append_dedup or (table.at_end and not is_one_commit):
                self._staging[table] = sql.Identifier(f"staging_{len(self._staging)}")
                tables_of.create_staging(self._connection, self._staging[table], table)
        self._tables = opened
        return opened

    def begin(self) -> None:
        for table in self._tables:
            if table.mode is DestinationSyncMode.overwrite and table not in self._staging:
                self._begin()
                self._begin_table(table)

    def write(self, table: Table, rows: Rows) -> None:
        if self._copied is None or self._copied[0] != table:
            self._end_copy()
            self._begin()
            if table in self._staging:
                self._staged.add(table)
            else:
                self._begin_table(table)
            target = self._staging.get(table, tables_of.identifier(table))
            names = tables_of.names_of(tables_of.types_of(table))
            copy = sql.SQL("copy {} ({}) from stdin (format csv)").format(target, names)
            self._copied = table, self._copy.enter_context(self._connection.cursor().copy(copy))
        self._copied[1].write(self._csv(table, rows))

    def commit(self, connection_id: uuid.UUID, states: Sequence[State], *, final: bool) -> None:
        self._end_copy()
        self._begin()
        for table in self._tables:
            if staging := self._staging.get(table):
                if final or (table in self._staged and not table.at_end):
                    self._begin_table(table)
                    self._move(table, staging)
                    tables_of.execute(self._connection, "truncate {}", staging)
                    self._staged.discard(table)
            elif final:
                self._begin_table(table)
        states_of.keep(self._connection, connection_id, states)
        self._connection.execute("commit")
        self._begun.clear()

    def _csv(self, table: Table, rows: Rows) -> memoryview:
        meta = rows.metadata(self._sync_id)
        columns = [*rows.columns, _raw_ids(len(meta)), rows.emitted_at.cast(pa.timestamp("ms")), meta]
        if table.has_generation:
            columns.append(pa.repeat(0, len(meta)))
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
            raise _no_value(table, error) from None

    def _begin(self) -> None:
        if self._connection.info.transaction_status is TransactionStatus.IDLE:
            self._connection.execute("begin")

    def _begin_table(self, table: Table) -> None:
        """Create a table if it is missing, and lock it in this transaction against writers, but not readers."""
        if table in self._begun:
            return
        self._begun.add(table)
        target = tables_of.identifier(table)
        tables_of.create_table(self._connection, table)
        tables_of.execute(self._connection, "lock table {} in share row exclusive mode", target)
        # Another sync may have created it.
        if table not in self._fitted and tables_of.adapt(self._connection, table) != table:
            raise DestinationUnavailableError(f"table {table} was created by another sync just now; sync again")
        tables_of.index_key(self._connection, table)
        self._written[table] = states_of.written_columns(self._connection, table)
        if table.mode is DestinationSyncMode.overwrite:
            tables_of.execute(self._connection, "delete from {}", target)

    def _move(self, table: Table, staging: sql.Identifier) -> None:
        names = tables_of.names_of(tables_of.types_of(table))
        parts = {"target": tables_of.identifier(table), "staging": staging, "names": names}
        if table.mode is DestinationSyncMode.append_dedup:
            statement = (
                "merge into {target} as old using (select distinct on ({key}) {names} from {staging} order by {order})"
                " as new ({names}) on {same} {delete}"
                " when matched {later} then update set {set}"
                " when not matched {present} then insert ({names}) values ({new})"
            )
            parts |= self._merge_parts(table)
        else:
            statement = "insert into {target} ({names}) select {names} from {staging}"
        try:
            self._connection.execute(sql.SQL(statement).format(**parts))
        except psycopg.errors.NotNullViolation as error:
            raise _no_value(table, error) from None

    def _merge_parts(self, table: Table) -> dict[str, sql.Composable]:
        key = [sql.Identifier(name) for name in table.key]
        names = tables_of.types_of(table)
        removed = self._written[table] - names.keys()
        latest: list[sql.Composable] = [sql.SQL("_airbyte_extracted_at desc"), sql.SQL("ctid desc")]
        later: sql.Composable = sql.SQL("")
        if table.cursor:
            cursor = sql.Identifier(table.cursor)
            latest.insert(0, sql.SQL("{} desc nulls last").format(cursor))
            later = sql.SQL("and (old.{0} is null or new.{0} >= old.{0})").format(cursor)
        delete = present = sql.SQL("")
        if table.deletes:
            present = sql.SQL("and new.{} is null").format(sql.Identifier(DELETED))
            delete = sql.SQL("when matched {} and new.{} is not null then delete").format(
                later, sql.Identifier(DELETED)
            )
        new = {name: sql.SQL("new.{}").format(sql.Identifier(name)) for name in names}
        values: dict[str, sql.Composable] = {**new, **dict.fromkeys(removed, sql.SQL("null"))}
        return {
            "key": sql.SQL(", ").join(key),
            "order": sql.SQL(", ").join([*key, *latest]),
            "same": sql.SQL(" and ").join(sql.SQL("old.{0} = new.{0}").format(name) for name in key),
            "later": later,
            "delete": delete,
            "present": present,
            "set": sql.SQL(", ").join(
                sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in values.items()
            ),
            "new": sql.SQL(", ").join(new.values()),
        }


def _no_value(table: Table, error: psycopg.errors.NotNullViolation) -> DestinationError:
    column = error.diag.column_name
    remedy = "which is NOT NULL in the table; let it be null, or correct the source"
    if column in table.key:
        remedy = "a column of its primary key; set primaryKey in connections.yaml to columns that always have a value"
    return DestinationError(f"table {table}: a record has no value in {column}, {remedy}")


def _raw_ids(count: int) -> pa.Array:
    """Ids in the form of UUIDs: the first part is random, the last is a number.

    PostgreSQL's own UUIDs would take three quarters of the time of a COPY.
    """
    return pc.binary_join_element_wise(str(uuid.uuid4())[:_PREFIX], _numbers(1 << count.bit_length())[:count], "")


@lru_cache(maxsize=1)
def _numbers(count: int) -> pa.Array:
    """The last parts of this number of ids."""
    return pc.utf8_lpad(pa.arange(0, count).cast(pa.string()), len(str(uuid.UUID(int=0))) - _PREFIX, "0")
