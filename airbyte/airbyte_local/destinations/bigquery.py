"""The BigQuery destination: load jobs into staging tables, then one transaction for the rows and the states.

- `write` collects rows in unnamed Parquet files. A load job copies a file into a staging table when the file is large
  or a commit is due. A staging table belongs to one commit of one attempt. It is dropped after the commit, and expires
  if the attempt is killed.
- `commit` is one script: BEGIN TRANSACTION, the fence, DELETE, INSERT or MERGE from the staging tables, the states,
  COMMIT TRANSACTION. BigQuery rolls back all of it if any part fails. BigQuery allows no DDL in transactions, so tables
  and new columns are created just before: after a failure they may exist, but empty.
- Each connection has its own table of states, since BigQuery runs only one transaction that changes a table at a time.
  The table is created together with the fence: a row whose stream is null, which names the attempt that owns the
  connection's tables. `states` writes its attempt into the fence and then reads the states. Every commit updates the
  fence if it names the commit's own attempt, and fails otherwise. Of two such updates, one waits for the other or
  fails, so a commit is either complete before the states are read, or it fails. Thus an attempt that was believed dead,
  or a job that it left running, cannot commit after a later attempt has started.
  https://cloud.google.com/bigquery/docs/transactions#transaction_concurrency
"""

# ruff: noqa: D102 - `Destination` documents the methods.

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pyarrow as pa
from airbyte_protocol.models import Change, DestinationSyncMode, Reason
from google.api_core.exceptions import GoogleAPICallError
from google.cloud.bigquery import TableReference

from airbyte_local.destinations import bigquery_sql as sql
from airbyte_local.destinations import bigquery_tables as tables_of
from airbyte_local.destinations.bigquery_client import Project, reported
from airbyte_local.destinations.bigquery_files import Gathering, staged
from airbyte_local.destinations.config_models import BigQueryConfiguration
from airbyte_local.destinations.contract import (
    GENERATION,
    DestinationError,
    DestinationUnavailableError,
    Rows,
    State,
    Table,
)
from airbyte_local.destinations.fitting import Existing
from airbyte_local.settings import BigQuery

# Table of the columns that syncs have written.
_WRITTEN = "airbyte_columns"
# Size of a Parquet file, which is read into memory when it is uploaded.
_FILE_BYTES = 32 << 20
# How long staging tables of a killed attempt are kept; longer than any sync.
_STAGING_LIFE = timedelta(days=1)


@dataclass(frozen=True)
class _Staging:
    """A staging table (its name in SQL and its reference in the API) and the file that will be loaded into it."""

    name: str
    reference: TableReference
    file: Gathering = field(default_factory=Gathering)


class BigQueryDestination:
    """The database connection of one attempt; see `Destination`."""

    def __init__(self, configuration: BigQueryConfiguration, settings: BigQuery | None, *, sync_id: int):
        """Does not connect yet; raises the errors of `Project`."""
        self.schema = configuration.dataset_id
        self._project = Project(configuration, settings)
        self._sync_id = sync_id
        self._attempt = uuid.uuid4().hex
        self._states = ""
        self._tables: Sequence[Table] = ()
        # For tables that fit their stream: the columns that earlier syncs have written, but the stream has no longer.
        self._removed: dict[Table, list[str]] = {}
        self._staging: dict[Table, _Staging] = {}
        self._numbers, self._positions = count(), 0

    def close(self) -> None:
        for staging in self._staging.values():
            if file := staging.file.take():
                file.close()
            self._project.drop_table(staging.reference)
        self._project.client.close()

    def cancel(self) -> None:
        self._project.cancel()

    def check(self) -> str | None:
        try:
            with reported():
                self._project.query("select 1")
        except DestinationUnavailableError as error:
            return str(error)
        return None

    @reported()
    def states(self, connection_id: uuid.UUID) -> list[State]:
        self._project.create_dataset(self.schema)
        self._states = self._project.quoted(self.schema, _states_table(connection_id))
        return _states_in(self._project.query(sql.claim(self._states, connection_id, self._attempt)))

    @reported()
    def peek(self, connection_id: uuid.UUID) -> list[State]:
        return _states_in(self._project.rows(self.schema, _states_table(connection_id)))

    @reported()
    def open(self, tables: Sequence[Table]) -> list[Table]:
        opened = []
        for table in tables:
            tables_of.check_names(table)
            columns = self._project.columns(table.namespace, table.name)
            opened.append(table if columns is None else self._adapt(table, columns))
            if columns is not None:
                self._check_key(opened[-1])
        self._tables = opened
        return opened

    def begin(self) -> None:
        pass  # rows are loaded into temporary tables

    @reported()
    def write(self, table: Table, rows: Rows) -> None:
        columns = {}
        for column, values in zip(table.columns, rows.columns, strict=True):
            columns[column.name], wrong = staged(column, values)
            for index in wrong:
                value, reason = values[index].as_py(), Reason.DESTINATION_FIELD_SIZE_LIMITATION
                rows.note(index, column.name, value, Change.NULLED, reason)
            if column.name in table.key and columns[column.name].null_count:
                raise DestinationError(
                    f"table {table}: a record has no value in {column.name}, a column of its primary key; set"
                    " primaryKey in connections.yaml to columns that always have a value"
                )
        number = len(rows.emitted_at)
        moments = rows.emitted_at.cast(pa.timestamp("ms", "UTC"))
        columns["_airbyte_extracted_at"] = moments.cast(pa.timestamp("us", "UTC"))
        columns["_airbyte_meta"] = rows.metadata(self._sync_id)
        if table.has_generation:
            columns[GENERATION] = pa.repeat(pa.scalar(0, pa.int64()), number)
        columns[tables_of.POSITION] = pa.arange(self._positions, self._positions + number)
        self._positions += number
        batch = pa.table(columns)
        if table not in self._staging:
            self._staging[table] = self._stage(table, batch.schema)
        staging = self._staging[table]
        staging.file.add(batch)
        if staging.file.size > _FILE_BYTES:
            self._load(staging)

    @reported()
    def commit(self, connection_id: uuid.UUID, states: Sequence[State], *, final: bool) -> None:
        due = [table for table in self._tables if final or (table in self._staging and not table.at_end)]
        statements = []
        for table in due:
            if table not in self._removed:
                self._create(table)
            if table.mode is DestinationSyncMode.overwrite:
                statements.append(sql.delete_all(self._target(table)))
            if staging := self._staging.get(table):
                self._load(staging)
                statements.append(self._move(table, staging))
        statements += sql.keep(self._states, connection_id, states)
        try:
            self._project.query(sql.transaction([*sql.fence(self._states, self._attempt), *statements]))
        except GoogleAPICallError as error:
            if sql.FENCED not in str(error):
                raise
            raise DestinationError(
                f"{sql.FENCED}, so this one was stopped; run each connection in one service only"
            ) from None
        for table in due:
            if staging := self._staging.pop(table, None):
                self._project.drop_table(staging.reference)

    def _move(self, table: Table, staging: _Staging) -> str:
        types = tables_of.types_of(table.kinds)
        values = {name: tables_of.FROM_TEXT.get(kind, "{}").format(f"`{name}`") for name, kind in types.items()}
        values["_airbyte_raw_id"] = "generate_uuid()"
        if table.mode is not DestinationSyncMode.append_dedup:
            return sql.insert(self._target(table), staging.name, values)
        return sql.merge(self._target(table), staging.name, values, table, self._removed[table])

    def _stage(self, table: Table, schema: pa.Schema) -> _Staging:
        types = tables_of.types_of(table.kinds) | {tables_of.POSITION: "INT64"}
        staged_types = {name: "STRING" if types[name] in tables_of.FROM_TEXT else types[name] for name in schema.names}
        name = f"airbyte_staging_{self._attempt}_{next(self._numbers)}"
        expires = datetime.now(UTC) + _STAGING_LIFE
        reference = self._project.create_table(self.schema, name, staged_types, expires=expires)
        return _Staging(self._project.quoted(self.schema, name), reference)

    def _load(self, staging: _Staging) -> None:
        if file := staging.file.take():
            with file:
                self._project.load(file, staging.reference)

    def _create(self, table: Table) -> None:
        self._project.create_dataset(table.namespace)
        self._project.create_table(table.namespace, table.name, tables_of.types_of(table.kinds))
        # Another sync may have created it.
        if self._adapt(table, self._project.columns(table.namespace, table.name) or {}) != table:
            raise DestinationUnavailableError(f"table {table} was created by another sync just now; sync again")

    def _adapt(self, table: Table, columns: dict[str, Existing]) -> Table:
        """Make a table fit its stream; returns it as it is to be written."""
        found = tables_of.fit(table, columns)
        tables_of.check_names(found.table)  # other types may not be compared
        if found.missing:
            self._project.query(sql.add_columns(self._target(table), tables_of.types_of(found.missing)))
        for name, kind in tables_of.types_of(found.changed).items():
            try:
                self._project.query(sql.widen(self._target(table), name, kind))
            except GoogleAPICallError as error:
                raise DestinationError(
                    f"column {name} of table {table} has to become {kind}, which BigQuery refuses: {error.message};"
                    " declare json_schema in the source's configuration, or drop the column and sync again"
                ) from None
        self._removed[found.table] = tables_of.removed(table, columns, self._written(table, columns))
        return found.table

    def _written(self, table: Table, existing: Iterable[str]) -> set[str]:
        """Columns of a table, in lower case, that syncs have written so far; adds and stores those of the stream.

        All others are the user's own, and no sync may touch them.
        """
        columns = dict.fromkeys(("namespace", "name", "column_name"), "STRING")
        own = table.namespace, table.name
        rows = self._project.rows(self.schema, _WRITTEN)
        written = {row.column_name.lower() for row in rows if (row.namespace, row.name) == own}
        # A column that was dropped may come again as the user's own.
        if gone := written - {name.lower() for name in [*existing, *(column.name for column in table.columns)]}:
            self._project.query(sql.remove_written(self._project.quoted(self.schema, _WRITTEN), table, sorted(gone)))
        if new := [column.name for column in table.columns if column.name.lower() not in written]:
            self._project.create_table(self.schema, _WRITTEN, columns)
            self._project.query(sql.add_written(self._project.quoted(self.schema, _WRITTEN), table, new))
        return written

    def _check_key(self, table: Table) -> None:
        """Check that no two rows of a table have the same key; BigQuery has no unique indexes."""
        if not table.key:
            return
        if same := list(self._project.query(sql.same_keys(self._target(table), table.key))):
            values = ", ".join(map(str, same[0].values()))
            raise DestinationError(
                f"table {table} has rows with the same {', '.join(table.key)} ({values}); delete all but one of each,"
                " or sync once with full_refresh_overwrite"
            )

    def _target(self, table: Table) -> str:
        return self._project.quoted(table.namespace, table.name)


def _states_table(connection_id: uuid.UUID) -> str:
    return f"airbyte_states_{connection_id.hex}"


def _states_in(rows: Iterable[Any]) -> list[State]:
    """The states in rows of the table of states, without the fence, sorted by namespace and stream."""
    found = [State(row.namespace, row.stream, row.message.encode()) for row in rows if row.stream is not None]
    return sorted(found, key=lambda each: (each.namespace, each.stream))
