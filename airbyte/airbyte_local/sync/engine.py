"""One attempt of a sync: moves the records of a connector into the tables of a destination."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import orjson
from airbyte_protocol import models as protocol

from airbyte_declaration.streams import StreamConfiguration
from airbyte_local.columns import columns
from airbyte_local.connectors.messages import Messages
from airbyte_local.connectors.process import Connector
from airbyte_local.destinations.contract import OUR_NAMESPACE, Destination, State, Table
from airbyte_local.store import Connection
from airbyte_local.sync import record_lines
from airbyte_local.sync.checkpoints import Checkpoints
from airbyte_local.sync.outcome import SyncError, Totals, as_text
from airbyte_local.sync.stream_writer import StreamWriter, are_bare

MODES = {
    "full_refresh_overwrite": (protocol.SyncMode.full_refresh, protocol.DestinationSyncMode.overwrite),
    "full_refresh_append": (protocol.SyncMode.full_refresh, protocol.DestinationSyncMode.append),
    "incremental_append": (protocol.SyncMode.incremental, protocol.DestinationSyncMode.append),
    "incremental_deduped_history": (protocol.SyncMode.incremental, protocol.DestinationSyncMode.append_dedup),
}


@dataclass(eq=False, repr=False)
class Sync:
    """Runs once; `stop` may be called from another thread."""

    connection: Connection
    connector: Connector
    open_destination: Callable[[], Destination]
    totals: Totals
    log: logging.Logger
    sync_id: int
    run_id: str

    def __post_init__(self) -> None:
        """Does not start yet."""
        # Stored with the final commit: if the service is killed just after it, the next attempt has nothing to do.
        self._done = State(OUR_NAMESPACE, "run", orjson.dumps({"run": self.run_id}))
        self._destination: Destination | None = None
        self._stopped = threading.Event()

    def run(self) -> None:
        """Read from the stored state, and commit rows together with the state that covers them.

        Rows of a full refresh become visible with the final commit, those of an incremental stream with each commit.

        Raises:
            SyncError: a record or the declaration is invalid, or `stop` was called.
            ConnectorError, DestinationError, DestinationUnavailableError, psycopg.Error: see their classes.
        """
        catalog = self._configure(self.connector.discover())
        with closing(self.open_destination()) as destination:
            self._destination = destination
            states = destination.states(self.connection.connection_id)
            if self._done in states:
                self.log.info("an earlier attempt has committed all rows")
                return
            self._checkpoints = Checkpoints(catalog)
            tables = destination.open([self._table(configured, destination.schema) for configured in catalog.streams])
            self._streams: dict[tuple[Any, Any], StreamWriter] = {
                (each.stream.namespace, each.stream.name): StreamWriter(
                    each.stream.name, table, destination, self.totals
                )
                for each, table in zip(catalog.streams, tables, strict=True)
            }
            states = [state for state in states if state.namespace != OUR_NAMESPACE]
            self._read(destination, catalog, self._checkpoints.start_state(states))
            self._commit(destination, final=True)
        for stream in self._streams.values():
            self.log.info("stream %s: %d rows into %s", stream.name, stream.rows, stream.table)
        for column, count in self.totals.nulled.items():
            self.log.warning("%s: %d values did not fit their type and are null; see _airbyte_meta", column, count)
        for column, count in self.totals.truncated.items():
            self.log.warning("%s: %d times were cut to microseconds; see _airbyte_meta", column, count)

    def stop(self) -> None:
        """End the connector and interrupt the database; `run` raises an error unless it has committed already."""
        self._stopped.set()
        self.connector.stop()
        if self._destination:
            self._destination.cancel()

    def _configure(self, offered: protocol.AirbyteCatalog) -> protocol.ConfiguredAirbyteCatalog:
        known = {stream.name: stream for stream in offered.streams}
        wanted = self.connection.options.configurations.streams
        offers = f"connection {self.connection.name}: the source offers"
        if missing := [each.name for each in wanted if each.name not in known]:
            only = f"only {', '.join(known)}; correct its configurations"
            raise SyncError(f"{offers} no stream {', '.join(missing)}, {only}")
        for each in wanted:
            namespaces = [stream.namespace or "none" for stream in offered.streams if stream.name == each.name]
            if len(namespaces) > 1:
                remedy = "make it offer only one of them, for example by naming its schemas"
                raise SyncError(f"{offers} {each.name} in the namespaces {', '.join(namespaces)}; {remedy}")
        streams = [self._configure_stream(known[each.name], each) for each in wanted]
        return protocol.ConfiguredAirbyteCatalog(streams=streams)

    def _configure_stream(
        self, offered: protocol.AirbyteStream, wanted: StreamConfiguration
    ) -> protocol.ConfiguredAirbyteStream:
        sync_mode, destination_sync_mode = MODES[wanted.sync_mode]
        where = f"connection {self.connection.name}, stream {wanted.name}"
        if sync_mode not in offered.supported_sync_modes:
            modes = ", ".join(mode.value for mode in offered.supported_sync_modes)
            raise SyncError(f"{where}: the source offers {modes}, not {wanted.sync_mode}; choose another syncMode")
        cursor = wanted.cursor_field or offered.default_cursor_field or []
        key = wanted.primary_key or offered.source_defined_primary_key or []
        if sync_mode is protocol.SyncMode.incremental and not cursor and not offered.source_defined_cursor:
            wrong = f"{wanted.sync_mode} needs a cursorField, the column that shows which rows are new"
            raise SyncError(f"{where}: {wrong}")
        properties = offered.json_schema.get("properties", {})
        if destination_sync_mode is protocol.DestinationSyncMode.append_dedup:
            if not key:
                raise SyncError(f"{where}: {wanted.sync_mode} needs a primaryKey, the columns that identify a row")
            for path in [*key, *filter(None, [cursor])]:
                if len(path) != 1 or path[0] not in properties:
                    raise SyncError(
                        f"{where}: {'.'.join(path)} is not a column of the stream, which has {', '.join(properties)};"
                        " correct primaryKey or cursorField"
                    )
        is_overwritten = destination_sync_mode is protocol.DestinationSyncMode.overwrite
        return protocol.ConfiguredAirbyteStream(
            stream=offered,
            sync_mode=sync_mode,
            destination_sync_mode=destination_sync_mode,
            cursor_field=cursor or None,
            primary_key=key or None,
            # Each overwrite is a new generation.
            generation_id=self.sync_id if is_overwritten else 0,
            minimum_generation_id=self.sync_id if is_overwritten else 0,
            sync_id=self.sync_id,
        )

    def _table(self, configured: protocol.ConfiguredAirbyteStream, schema: str) -> Table:
        stream = configured.stream
        is_dedup = configured.destination_sync_mode is protocol.DestinationSyncMode.append_dedup
        return Table(
            self.connection.namespace(stream.namespace, schema),
            self.connection.options.prefix + stream.name,
            columns(stream.json_schema),
            mode=configured.destination_sync_mode,
            key=tuple(name for (name,) in configured.primary_key or ()) if is_dedup else (),
            cursor=configured.cursor_field[0] if is_dedup and configured.cursor_field else None,
            at_end=configured.sync_mode is protocol.SyncMode.full_refresh,
            discovered=frozenset(stream.json_schema.get("properties", {}))
            - _declared(self.connector.configuration, stream.json_schema),
        )

    def _read(self, destination: Destination, catalog: protocol.ConfiguredAirbyteCatalog, state: Any) -> None:
        unknown = set()
        for messages in self.connector.read(catalog, state, meanwhile=destination.begin, take=self._take_lines):
            if messages.kind == "STATE":
                for content in messages.contents:
                    self._checkpoints.add(content)
                if self._checkpoints.is_due(self.totals.rows):
                    self._commit(destination, final=False)
            elif messages.kind == "RECORD":
                unknown |= self._take(messages)
        if unknown:
            self.log.warning("records of streams that are not selected were ignored: %s", ", ".join(unknown))

    def _take_lines(self, lines: bytes) -> bool:
        """Add lines to their stream, if they are RECORD messages of one stream that Arrow can read."""
        first = record_lines.first_record(lines)
        try:
            stream = self._streams.get((first.get("namespace"), first.get("stream"))) if first else None
        except TypeError:
            return False
        if stream is None or first is None or not stream.add_lines(lines, first):
            return False
        self.totals.bytes += len(lines) + 1
        return True

    def _take(self, messages: Messages) -> set[str]:
        """Add records to their streams; returns the names of streams that are not selected."""
        self.totals.bytes += messages.size
        unknown, share = set(), messages.size / len(messages.contents)
        for key, records in _by_stream(messages.contents):
            try:
                stream = self._streams.get(key)
            except TypeError:
                raise SyncError(f"the connector printed a broken RECORD: {as_text(records[0])}") from None
            if stream:
                stream.add(records, int(len(records) * share), may_have_nul=messages.may_have_nul)
            else:
                unknown.add(str(key[1]))
        return unknown

    def _commit(self, destination: Destination, *, final: bool) -> None:
        for stream in self._streams.values():
            stream.flush()
        if self._stopped.is_set():
            raise SyncError("the sync was stopped")
        states = self._checkpoints.states(final=final) + ([self._done] if final else [])
        destination.commit(self.connection.connection_id, states, final=final)
        self._checkpoints.committed(self.totals.rows)
        self.totals.committed = sum(each.rows for each in self._streams.values() if final or not each.table.at_end)


def _declared(configuration: Any, offered: dict[str, Any]) -> set[str]:
    """The columns of a stream's schema that the user declares with a schema in the configuration of the source.

    The connector offers that schema with the same types, but may add further columns.
    """
    if isinstance(configuration, dict):
        own, properties = configuration.get("properties"), offered.get("properties", {})
        if (
            isinstance(own, dict)
            and own.items() <= properties.items()
            and {**offered, "properties": own} == configuration
        ):
            return set(own)
        configuration = list(configuration.values())
    parts = configuration if isinstance(configuration, list) else []
    return next(filter(None, (_declared(part, offered) for part in parts)), set())


def _by_stream(records: list[dict[str, Any]]) -> Iterator[tuple[tuple[Any, Any], list[dict[str, Any]]]]:
    """Groups of successive records of one stream, with its namespace and name."""
    names = [record.get("stream") for record in records]
    if names.count(names[0]) == len(names) and are_bare(records):
        yield (None, names[0]), records
        return
    for key, group in groupby(records, key=lambda record: (record.get("namespace"), record.get("stream"))):
        yield key, list(group)
