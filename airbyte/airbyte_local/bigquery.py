"""The BigQuery destination: load jobs into staging tables, then one transaction for the rows and the states.

- `write` gathers rows in Parquet files without a name, which a load job puts into a staging table when they are large
  or due. A staging table belongs to one commit of one attempt, is dropped afterwards, and expires by itself where the
  attempt is killed.
- `commit` is one script: BEGIN TRANSACTION, the fence, DELETE, INSERT or MERGE from the staging tables, the states,
  COMMIT TRANSACTION. BigQuery undoes all of it when any part fails. Tables are made and get new columns just before,
  since BigQuery has no DDL in transactions: after a failure they may be there, but empty.
- Each connection has a table of its states, since BigQuery lets no two transactions change one table at a time. It is
  made, in one step, with a row whose stream is null: the fence, which names the attempt that the connection's tables
  belong to. `states` writes its attempt into the fence and then reads the states; every commit updates the fence where
  it names its own attempt, and fails where it does not. Of these two updates one waits for the other or fails, so the
  commit is either complete before the states are read, or fails. An attempt that was thought dead, or the job that it
  left behind, can thus not commit after a later attempt has begun.
  https://cloud.google.com/bigquery/docs/transactions#transaction_concurrency
"""

import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from threading import Event
from typing import Any

import orjson
import pyarrow as pa
from airbyte_protocol.models import DestinationSyncMode
from google.api_core.exceptions import GoogleAPICallError, GoogleAPIError, NotFound
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery
from google.oauth2 import service_account
from requests import RequestException

from airbyte_local import bigquery_sql as sql
from airbyte_local.bigquery_files import Gathering, nulled, staged
from airbyte_local.columns import Kind
from airbyte_local.destination import DestinationError, DestinationUnavailableError, Rows, State, Table
from airbyte_local.destinations import BigQueryConfiguration

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
# What the destination adds to each row.
_OWN = {"_airbyte_raw_id": "STRING", "_airbyte_extracted_at": "TIMESTAMP", "_airbyte_meta": "JSON"}
# Of a staged row: which came first.
_POSITION = "_airbyte_position"
# Other names that BigQuery's API gives to types.
_NAMES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
# Kinds that are staged as text, which Parquet and BigQuery both take without loss, and how they leave it.
_FROM_TEXT = {"BIGNUMERIC": "cast({} as bignumeric)", "JSON": "parse_json({}, wide_number_mode => 'round')"}
# Kinds of which BigQuery does not tell which of two values is the same, or later.
_NOT_IN_KEY = {Kind.DOUBLE, Kind.JSON}
_NOT_IN_CURSOR = {Kind.JSON}
# Of a Parquet file: it is read into memory when it is sent.
_FILE_BYTES = 32 << 20
# How long rows of a killed attempt stay; longer than any sync.
_STAGING_LIFE = timedelta(days=1)
# Seconds that a call to the API is tried for; the runner tries the whole attempt again after that.
_RETRY = bigquery.DEFAULT_RETRY.with_timeout(60)


@contextmanager
def _reported() -> Iterator[None]:
    """Make errors of the libraries one of ours; also a decorator."""
    try:
        yield
    except (GoogleAPIError, GoogleAuthError, RequestException) as error:
        raise DestinationUnavailableError(str(error)) from error


@dataclass(frozen=True)
class _Staging:
    """A staging table, by its name in SQL and for the API, and the file whose rows are on their way into it."""

    name: str
    reference: bigquery.TableReference
    file: Gathering = field(default_factory=Gathering)


class BigQueryDestination:
    """One attempt's way into the database; see `Destination`."""

    def __init__(self, configuration: BigQueryConfiguration, *, sync_id: int):
        """Nothing is connected yet.

        Args:
            configuration: the declared destination.
            sync_id: number of the job, which every row's metadata bears.

        Raises:
            DestinationError: credentials_json is no key.
            DestinationUnavailableError: there are no default credentials.
        """
        self.schema = configuration.dataset_id
        self._project = configuration.project_id
        self._location = configuration.dataset_location
        self._meta = {"sync_id": sync_id, "changes": []}
        self._attempt = uuid.uuid4().hex
        self._states = ""
        self._tables: Sequence[Table] = ()
        # Of tables that have all columns: those that only they have, and not the stream.
        self._gone: dict[Table, list[str]] = {}
        self._staging: dict[Table, _Staging] = {}
        self._numbers, self._positions = count(), 0
        self._job: bigquery.QueryJob | bigquery.LoadJob | None = None
        self._stopped = Event()
        with _reported():
            self._client = bigquery.Client(self._project, _credentials(configuration), location=self._location)

    def close(self) -> None:
        """Leave the database; what was not committed is gone."""
        for staging in self._staging.values():
            if file := staging.file.take():
                file.close()
            self._drop(staging)
        self._client.close()

    def cancel(self) -> None:
        """Cancel the job that runs for this attempt, if any, and every later one."""
        self._stopped.set()
        if job := self._job:
            with suppress(GoogleAPIError, GoogleAuthError, RequestException):
                job.cancel(retry=_RETRY)

    def check(self) -> str | None:
        """Why rows could not be loaded; None: they can."""
        try:
            with _reported():
                self._query("select 1")
        except DestinationUnavailableError as error:
            return str(error)
        return None

    @_reported()
    def states(self, connection_id: uuid.UUID) -> list[State]:
        """The states of a connection; its tables are this attempt's alone from now on.

        Raises:
            DestinationUnavailableError: BigQuery failed.
        """
        self._create_dataset(self.schema)
        self._states = self._name(self.schema, _states_table(connection_id))
        found = self._query(sql.claim(self._states, connection_id, self._attempt))
        return [State(row.namespace, row.stream, row.message.encode()) for row in found]

    @_reported()
    def peek(self, connection_id: uuid.UUID) -> list[State]:
        """The states of a connection, for people: nothing is locked or made, whatever sync goes on beside it.

        Raises:
            DestinationUnavailableError: BigQuery failed.
        """
        try:
            # Unlike a query, it costs nothing.
            table = f"{self._project}.{self.schema}.{_states_table(connection_id)}"
            rows = [*self._client.list_rows(table, retry=_RETRY)]
        except NotFound:  # nothing was synced yet
            return []
        found = [State(row.namespace, row.stream, row.message.encode()) for row in rows if row.stream is not None]
        return sorted(found, key=lambda each: (each.namespace, each.stream))

    @_reported()
    def open(self, tables: Sequence[Table]) -> None:
        """Make ready to take rows for these tables; those that are there already get the columns that they lack.

        Raises:
            DestinationError: a table has rows that its key does not tell apart, a column has another type than the
                stream declares now, or BigQuery has no such names, keys or cursors.
            DestinationUnavailableError: BigQuery failed.
        """
        self._tables = tables
        for table in tables:
            _check(table)
            columns = self._columns(table)
            if columns is not None:
                self._adapt(table, columns)
                self._check_key(table)

    @_reported()
    def write(self, table: Table, rows: Rows) -> None:
        """Gather rows.

        Raises:
            DestinationError: a row has no value in a column of its key.
            DestinationUnavailableError: BigQuery failed.
        """
        changes = {index: list(found) for index, found in rows.changes.items()}
        columns = {}
        for column, values in zip(table.columns, rows.columns, strict=True):
            columns[column.name], wrong = staged(column, values)
            for index in wrong:
                changes.setdefault(index, []).append(nulled(column.name, values[index].as_py()))
            if column.name in table.key and columns[column.name].null_count:
                raise DestinationError(
                    f"table {table}: a record has no value in {column.name}, a column of its primary key; name columns"
                    " that always have one, as primaryKey in connections.yaml"
                )
        number = len(rows.emitted_at)
        moments = rows.emitted_at.cast(pa.timestamp("ms", "UTC"))
        columns["_airbyte_extracted_at"] = moments.cast(pa.timestamp("us", "UTC"))
        columns["_airbyte_meta"] = self._metas(number, changes)
        columns[_POSITION] = pa.arange(self._positions, self._positions + number)
        self._positions += number
        batch = pa.table(columns)
        if table not in self._staging:
            self._staging[table] = self._stage(table, batch.schema)
        staging = self._staging[table]
        staging.file.add(batch)
        if staging.file.size > _FILE_BYTES:
            self._load(staging)

    @_reported()
    def commit(self, connection_id: uuid.UUID, states: Sequence[State], *, final: bool) -> None:
        """Make what was written visible, and keep the states, in one transaction.

        A table keeps its identity, so views on it live on; readers see the rows of before until the new ones are there.

        Raises:
            DestinationError: a later attempt has begun.
            DestinationUnavailableError: BigQuery failed.
        """
        due = [table for table in self._tables if final or (table in self._staging and not table.at_end)]
        statements = []
        for table in due:
            if table not in self._gone:
                self._create(table)
            if table.mode is DestinationSyncMode.overwrite:
                statements.append(sql.delete_all(self._target(table)))
            if staging := self._staging.get(table):
                self._load(staging)
                statements.append(self._move(table, staging))
        statements += sql.keep(self._states, connection_id, states)
        try:
            self._query(sql.transaction([*sql.fence(self._states, self._attempt), *statements]))
        except GoogleAPICallError as error:
            if sql.FENCED not in str(error):
                raise
            raise DestinationError(
                f"{sql.FENCED} in the destination, so this one gave way; have one service run a connection"
            ) from None
        for table in due:
            if staging := self._staging.pop(table, None):
                self._drop(staging)

    def _query(self, statement: str) -> Any:
        job = self._client.query(statement, retry=_RETRY, job_retry=None)
        return self._wait(job)

    def _wait(self, job: bigquery.QueryJob | bigquery.LoadJob) -> Any:
        """What a job gives."""
        self._job = job
        # `cancel` came before there was a job to cancel.
        if self._stopped.is_set():
            job.cancel(retry=_RETRY)
        try:
            return job.result(retry=_RETRY)
        finally:
            self._job = None

    def _move(self, table: Table, staging: _Staging) -> str:
        """Statement that takes staged rows into their table."""
        values = {name: _FROM_TEXT.get(kind, "{}").format(f"`{name}`") for name, kind in _types(table).items()}
        values["_airbyte_raw_id"] = "generate_uuid()"
        if table.mode is not DestinationSyncMode.append_dedup:
            return sql.insert(self._target(table), staging.name, values)
        order = ["_airbyte_extracted_at", _POSITION]
        return sql.merge(self._target(table), staging.name, values, table.key, table.cursor, order, self._gone[table])

    def _metas(self, number: int, changes: dict[int, list[dict[str, Any]]]) -> pa.Array:
        meta = orjson.dumps(self._meta).decode()
        if not changes:
            return pa.repeat(meta, number)
        metas = [meta] * number
        for index, found in changes.items():
            metas[index] = orjson.dumps(self._meta | {"changes": found}).decode()
        return pa.array(metas, pa.string())

    def _stage(self, table: Table, schema: pa.Schema) -> _Staging:
        """Make a staging table."""
        types = _types(table) | {_POSITION: "INT64"}
        fields = [
            bigquery.SchemaField(name, "STRING" if types[name] in _FROM_TEXT else types[name]) for name in schema.names
        ]
        name = f"airbyte_staging_{self._attempt}_{next(self._numbers)}"
        declared = bigquery.Table(f"{self._project}.{self.schema}.{name}", fields)
        declared.expires = datetime.now(UTC) + _STAGING_LIFE
        self._client.create_table(declared, retry=_RETRY)
        return _Staging(self._name(self.schema, name), declared.reference)

    def _load(self, staging: _Staging) -> None:
        """Load the file that has gathered, if any."""
        file = staging.file.take()
        if file is None:
            return
        how = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
            write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
        )
        with file:
            size = file.tell()
            job = self._client.load_table_from_file(file, staging.reference, rewind=True, size=size, job_config=how)
        self._wait(job)

    def _drop(self, staging: _Staging) -> None:
        """Drop a staging table; where that fails, it expires."""
        with suppress(GoogleAPIError, GoogleAuthError, RequestException):
            self._client.delete_table(staging.reference, retry=None, timeout=10, not_found_ok=True)

    def _create_dataset(self, name: str) -> None:
        try:
            # Who may write to a data set need not be one who may make any.
            self._client.get_dataset(f"{self._project}.{name}", retry=_RETRY)
        except NotFound:
            dataset = bigquery.Dataset(f"{self._project}.{name}")
            dataset.location = self._location
            self._client.create_dataset(dataset, exists_ok=True, retry=_RETRY)

    def _create(self, table: Table) -> None:
        self._create_dataset(table.namespace)
        fields = [bigquery.SchemaField(name, kind) for name, kind in _types(table).items()]
        declared = bigquery.Table(f"{self._project}.{table.namespace}.{table.name}", fields)
        self._client.create_table(declared, exists_ok=True, retry=_RETRY)
        self._adapt(table, self._columns(table))  # another sync may have made it meanwhile

    def _columns(self, table: Table) -> dict[str, str] | None:
        """Names and types of a table's columns; None: there is no table."""
        try:
            found = self._client.get_table(f"{self._project}.{table.namespace}.{table.name}", retry=_RETRY)
        except NotFound:
            return None
        types = {field.name: _NAMES.get(field.field_type, field.field_type) for field in found.schema}
        return types | {field.name: f"ARRAY<{types[field.name]}>" for field in found.schema if field.mode == "REPEATED"}

    def _adapt(self, table: Table, columns: dict[str, str]) -> None:
        """Add the columns that a table lacks."""
        wanted = _types(table)
        # BigQuery's names are the same whatever their case.
        found = {name.lower(): kind for name, kind in columns.items()}
        for name, kind in wanted.items():
            if found.get(name.lower(), kind) != kind:
                raise DestinationError(
                    f"column {name} of table {table} is {found[name.lower()]}, but the stream declares {kind}; change"
                    " the declaration back, or drop the column and sync again"
                )
        if new := {name: kind for name, kind in wanted.items() if name.lower() not in found}:
            self._query(sql.add_columns(self._target(table), new))
        self._gone[table] = [name for name in columns if name.lower() not in {each.lower() for each in wanted}]

    def _check_key(self, table: Table) -> None:
        """See that a table's key tells its rows apart; BigQuery has no unique index that would."""
        if not table.key:
            return
        same = list(self._query(sql.same_keys(self._target(table), table.key)))
        if same:
            values = ", ".join(map(str, same[0].values()))
            raise DestinationError(
                f"table {table} has rows with the same {', '.join(table.key)} ({values}); delete all but one of each,"
                " or sync once with full_refresh_overwrite"
            )

    def _target(self, table: Table) -> str:
        return self._name(table.namespace, table.name)

    def _name(self, dataset: str, table: str) -> str:
        return f"`{self._project}.{dataset}.{table}`"


def _states_table(connection_id: uuid.UUID) -> str:
    return f"airbyte_states_{connection_id.hex}"


def _credentials(configuration: BigQueryConfiguration) -> service_account.Credentials | None:
    """The declared ones; None: the default ones."""
    if configuration.credentials_json is None:
        return None
    try:
        key = json.loads(configuration.credentials_json.get_secret_value())
        return service_account.Credentials.from_service_account_info(key)
    except (ValueError, AttributeError):
        raise DestinationError(
            "credentials_json is no key of a service account; give the content of the key's file, or leave it out to"
            " use the default credentials"
        ) from None


def _types(table: Table) -> dict[str, str]:
    return {column.name: _TYPES[column.kind] for column in table.columns} | _OWN


def _check(table: Table) -> None:
    """See that BigQuery can have such a table.

    Raises:
        DestinationError: it cannot.
    """
    for name in (table.namespace, table.name):
        if not f"_{name}".replace("-", "_").replace(" ", "_").isidentifier():
            raise DestinationError(f"table {table}: BigQuery has no name {name!r}; correct the namespace or the prefix")
    taken = {*_OWN, _POSITION}
    for column in table.columns:
        if column.name.lower() in taken or not (column.name.isascii() and column.name.isidentifier()):
            raise DestinationError(
                f"table {table}: column {column.name!r} needs another name for BigQuery: letters, digits and"
                " underscores, which make no two the same whatever their case; rename it in the source"
            )
        taken.add(column.name.lower())
    for column in table.columns:
        if (column.name in table.key and column.kind in _NOT_IN_KEY) or (
            column.name == table.cursor and column.kind in _NOT_IN_CURSOR
        ):
            raise DestinationError(
                f"table {table}: BigQuery cannot compare {column.name}, a {_TYPES[column.kind]}; name another column as"
                " primaryKey or cursorField in connections.yaml"
            )
