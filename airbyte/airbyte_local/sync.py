"""One sync: a connector's records into a destination's tables."""

import logging
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import orjson
from airbyte_protocol.models import (
    AirbyteCatalog,
    AirbyteRecordMessageMetaChange,
    Change,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteStream,
    DestinationSyncMode,
    FailureType,
    Reason,
    SyncMode,
)

from airbyte_local.columns import columns
from airbyte_local.connector import Connector
from airbyte_local.declaration import Connection
from airbyte_local.postgres import PostgresDestination, Table

# Rows go to the destination as soon as there are so many of them or of bytes.
BATCH_ROWS = 5_000
BATCH_BYTES = 4 << 20
# Characters kept of a value that does not fit its type.
_SHOWN = 100


class SyncError(Exception):
    """The source's data or the declaration cannot be synced; the message says what and where."""

    failure_type = FailureType.config_error


@dataclass
class Totals:
    """What a sync has moved so far."""

    rows: int = 0
    # Of the RECORD messages.
    bytes: int = 0
    # Values that did not fit their declared type, by stream and column.
    nulled: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        """For a log."""
        return f"{self.rows} rows, {self.bytes} bytes, {sum(self.nulled.values())} values nulled"


class Sync:
    """Runs once; `stop` may come from another thread."""

    def __init__(
        self,
        connection: Connection,
        connector: Connector,
        open_destination: Callable[[], PostgresDestination],
        totals: Totals,
        log: logging.Logger,
    ):
        """Nothing is started yet.

        Args:
            connection: what to sync.
            connector: its source.
            open_destination: connects to its destination.
            totals: counts as the sync goes.
            log: of the job.
        """
        self._connection = connection
        self._connector = connector
        self._open_destination = open_destination
        self._totals = totals
        self._log = log
        self._destination: PostgresDestination | None = None
        self._stopped = threading.Event()

    def run(self) -> None:
        """Read everything, then replace the rows of the connection's tables in one transaction.

        Raises:
            SyncError: a record or the declaration cannot be loaded, or `stop` was called.
            ConnectorError: the connector failed.
            DestinationError: the tables are not as declared.
            psycopg.Error: the database failed.
        """
        catalog = self._configure(self._connector.discover())
        with closing(self._open_destination()) as destination:
            self._destination = destination
            streams = {}
            for configured in catalog.streams:
                stream = configured.stream
                namespace = self._connection.namespace(stream.namespace, destination.schema)
                table = Table(namespace, self._connection.prefix + stream.name, columns(stream.json_schema))
                destination.open(table)
                streams[stream.namespace, stream.name] = _Stream(stream.name, table, destination, self._totals)
            self._read(catalog, streams)
            if self._stopped.is_set():
                raise SyncError("the sync was stopped")
            destination.replace()
        for stream in streams.values():
            self._log.info("stream %s: %d rows into %s", stream.name, stream.rows, stream.table)
        for column, count in self._totals.nulled.items():
            self._log.warning("%s: %d values did not fit their type and are null; see _airbyte_meta", column, count)

    def stop(self) -> None:
        """End the connector and whatever the database does; `run` raises unless it has committed already."""
        self._stopped.set()
        self._connector.stop()
        if self._destination:
            self._destination.cancel()

    def _configure(self, offered: AirbyteCatalog) -> ConfiguredAirbyteCatalog:
        known = {stream.name: stream for stream in offered.streams}
        wanted = [stream.name for stream in self._connection.configurations.streams]
        if missing := [name for name in wanted if name not in known]:
            raise SyncError(
                f"connection {self._connection.name}: the source offers no stream {', '.join(missing)}, only"
                f" {', '.join(known)}; correct connections.yaml"
            )
        streams = [
            ConfiguredAirbyteStream(
                stream=known[name],
                sync_mode=SyncMode.full_refresh,
                destination_sync_mode=DestinationSyncMode.overwrite,
            )
            for name in wanted
        ]
        return ConfiguredAirbyteCatalog(streams=streams)

    def _read(self, catalog: ConfiguredAirbyteCatalog, streams: dict[tuple[str | None, str], "_Stream"]) -> None:
        unknown = set()
        for message, line in self._connector.read(catalog):
            if message["type"] != "RECORD":
                continue  # a full refresh starts from nothing: no state to keep
            try:
                record = message["record"]
                name, data, emitted_at = record["stream"], record["data"], int(record["emitted_at"])
                stream = streams.get((record.get("namespace"), name))
                meta = record.get("meta") or {}
            except (KeyError, TypeError, ValueError) as error:
                raise SyncError(f"the connector printed a broken RECORD ({error!r}): {line[:200]!r}") from error
            if stream:
                stream.add(data, emitted_at, meta.get("changes") or [], line)
            else:
                unknown.add(name)
        for stream in streams.values():
            stream.flush()
        if unknown:
            self._log.warning("records of streams that are not selected were passed over: %s", ", ".join(unknown))


class _Stream:
    """A stream's rows on their way into its table."""

    def __init__(self, name: str, table: Table, destination: PostgresDestination, totals: Totals):
        self.name = name
        self.table = table
        self.rows = 0
        self._destination = destination
        self._totals = totals
        self._columns = [(column.name, column.convert) for column in table.columns]
        self._batch: list[tuple[Any, ...]] = []
        self._batch_bytes = 0

    def add(self, data: dict[str, Any], emitted_at: int, changes: list[dict[str, Any]], line: bytes) -> None:
        """Take a record's parts and the message it came in."""
        self.rows += 1
        self._totals.rows += 1
        self._totals.bytes += len(line)
        if b"\\u0000" in line:
            self._refuse_nul(data)
        row = []
        for name, convert in self._columns:
            value = data.get(name)
            if value is not None:
                try:
                    value = convert(value)
                except ValueError:
                    changes = [*changes, self._nulled(name, value)]
                    value = None
            row.append(value)
        self._batch.append((*row, emitted_at, orjson.dumps(changes).decode() if changes else None))
        self._batch_bytes += len(line)
        if len(self._batch) >= BATCH_ROWS or self._batch_bytes >= BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand over what has gathered."""
        self._destination.write(self.table, self._batch)
        self._batch.clear()
        self._batch_bytes = 0

    def _nulled(self, column: str, value: Any) -> dict[str, Any]:
        """Airbyte's note of a change, with the value beside, so that a gate can show what was in the source."""
        key = f"{self.name}.{column}"
        self._totals.nulled[key] = self._totals.nulled.get(key, 0) + 1
        change = AirbyteRecordMessageMetaChange(
            field=column, change=Change.NULLED, reason=Reason.DESTINATION_TYPECAST_ERROR
        )
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        return change.model_dump(mode="json") | {"value": text[:_SHOWN]}

    def _refuse_nul(self, data: dict[str, Any]) -> None:
        for name, _ in self._columns:
            if "\0" in _strings(data.get(name)):
                raise SyncError(
                    f"record {self.rows} of stream {self.name}, column {name}: contains a NUL character (\\u0000),"
                    " which PostgreSQL cannot hold; remove it from the source"
                )


def _strings(value: Any) -> str:
    """All text within a JSON value."""
    if isinstance(value, dict):
        return "".join(key + _strings(item) for key, item in value.items())
    if isinstance(value, list):
        return "".join(map(_strings, value))
    return value if isinstance(value, str) else ""
