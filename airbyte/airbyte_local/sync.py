"""One attempt of a sync: a connector's records into a destination's tables, from the state of before to a new one."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import groupby
from typing import Any

import orjson
from airbyte_protocol.models import (
    AirbyteCatalog,
    AirbyteStream,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteStream,
    DestinationSyncMode,
    SyncMode,
)

from airbyte_declaration.streams import StreamConfiguration
from airbyte_local import record_lines
from airbyte_local.checkpoints import Checkpoints
from airbyte_local.columns import columns
from airbyte_local.connector import Connector, Messages
from airbyte_local.destination import OUR_NAMESPACE, Destination, State, Table
from airbyte_local.outcome import SyncError, Totals, as_text
from airbyte_local.store import Connection
from airbyte_local.stream import Stream, are_bare

_MODES = {
    "full_refresh_overwrite": (SyncMode.full_refresh, DestinationSyncMode.overwrite),
    "full_refresh_append": (SyncMode.full_refresh, DestinationSyncMode.append),
    "incremental_append": (SyncMode.incremental, DestinationSyncMode.append),
    "incremental_deduped_history": (SyncMode.incremental, DestinationSyncMode.append_dedup),
}


class Sync:
    """Runs once; `stop` may come from another thread."""

    def __init__(
        self,
        connection: Connection,
        connector: Connector,
        open_destination: Callable[[], Destination],
        totals: Totals,
        log: logging.Logger,
        *,
        sync_id: int,
        run: str,
    ):
        """Nothing is started yet.

        Args:
            connection: what to sync.
            connector: its source.
            open_destination: connects to its destination.
            totals: counts as the sync goes.
            log: of the job.
            sync_id: number of the job.
            run: id of the job, which no other has in any service.
        """
        self._connection = connection
        self._connector = connector
        self._open_destination = open_destination
        self._totals = totals
        self._log = log
        self._sync_id = sync_id
        # Kept with the last commit: a later attempt has nothing to do, should the service be killed just after it.
        self._done = State(OUR_NAMESPACE, "run", orjson.dumps({"run": run}))
        self._destination: Destination | None = None
        self._stopped = threading.Event()

    def run(self) -> None:
        """Read from the state of before, and commit rows with the state that covers them.

        Rows of a full refresh become visible at the end, all at once; those of an incremental stream with each commit.

        Raises:
            SyncError: a record or the declaration cannot be loaded, or `stop` was called.
            ConnectorError: the connector failed.
            DestinationError: the tables are not as declared.
            DestinationUnavailableError, psycopg.Error: the database failed.
        """
        catalog = self._configure(self._connector.discover())
        with closing(self._open_destination()) as destination:
            self._destination = destination
            states = destination.states(self._connection.connection_id)
            if self._done in states:
                self._log.info("an attempt of before has committed all rows")
                return
            self._checkpoints = Checkpoints(catalog)
            self._streams = {}
            for configured in catalog.streams:
                stream, table = configured.stream, self._table(configured, destination.schema)
                self._streams[stream.namespace, stream.name] = Stream(stream.name, table, destination, self._totals)
            destination.open([stream.table for stream in self._streams.values()])
            states = [state for state in states if state.namespace != OUR_NAMESPACE]
            self._read(catalog, self._checkpoints.to_go_on_from(states))
            self._commit(final=True)
        for stream in self._streams.values():
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
        wanted = self._connection.options.configurations.streams
        if missing := [each.name for each in wanted if each.name not in known]:
            raise SyncError(
                f"connection {self._connection.name}: the source offers no stream {', '.join(missing)}, only"
                f" {', '.join(known)}; correct its configurations"
            )
        for each in wanted:
            namespaces = [stream.namespace or "none" for stream in offered.streams if stream.name == each.name]
            if len(namespaces) > 1:
                raise SyncError(
                    f"connection {self._connection.name}: the source offers {each.name} in the namespaces"
                    f" {', '.join(namespaces)}; have it offer only one of them, such as by naming its schemas"
                )
        return ConfiguredAirbyteCatalog(streams=[self._configure_stream(known[each.name], each) for each in wanted])

    def _configure_stream(self, offered: AirbyteStream, wanted: StreamConfiguration) -> ConfiguredAirbyteStream:
        sync_mode, destination_sync_mode = _MODES[wanted.sync_mode]
        where = f"connection {self._connection.name}, stream {wanted.name}"
        if sync_mode not in offered.supported_sync_modes:
            modes = ", ".join(mode.value for mode in offered.supported_sync_modes)
            raise SyncError(f"{where}: the source offers {modes}, not {wanted.sync_mode}; choose another syncMode")
        cursor = wanted.cursor_field or offered.default_cursor_field or []
        key = wanted.primary_key or offered.source_defined_primary_key or []
        if sync_mode is SyncMode.incremental and not cursor and not offered.source_defined_cursor:
            raise SyncError(f"{where}: {wanted.sync_mode} needs a cursorField, the column that tells what is new")
        properties = offered.json_schema.get("properties", {})
        if destination_sync_mode is DestinationSyncMode.append_dedup:
            if not key:
                raise SyncError(f"{where}: {wanted.sync_mode} needs a primaryKey, the columns that tell rows apart")
            for path in [*key, *filter(None, [cursor])]:
                if len(path) != 1 or path[0] not in properties:
                    raise SyncError(
                        f"{where}: {'.'.join(path)} is no column of the stream, which has {', '.join(properties)};"
                        " correct primaryKey or cursorField"
                    )
        is_overwritten = destination_sync_mode is DestinationSyncMode.overwrite
        return ConfiguredAirbyteStream(
            stream=offered,
            sync_mode=sync_mode,
            destination_sync_mode=destination_sync_mode,
            cursor_field=cursor or None,
            primary_key=key or None,
            # Each overwrite is a generation of its own.
            generation_id=self._sync_id if is_overwritten else 0,
            minimum_generation_id=self._sync_id if is_overwritten else 0,
            sync_id=self._sync_id,
        )

    def _table(self, configured: ConfiguredAirbyteStream, schema: str) -> Table:
        stream, is_dedup = configured.stream, configured.destination_sync_mode is DestinationSyncMode.append_dedup
        return Table(
            self._connection.namespace(stream.namespace, schema),
            self._connection.options.prefix + stream.name,
            columns(stream.json_schema),
            mode=configured.destination_sync_mode,
            key=tuple(name for (name,) in configured.primary_key) if is_dedup else (),
            cursor=configured.cursor_field[0] if is_dedup and configured.cursor_field else None,
            at_end=configured.sync_mode is SyncMode.full_refresh,
        )

    def _read(self, catalog: ConfiguredAirbyteCatalog, state: Any) -> None:
        unknown = set()
        for messages in self._connector.read(catalog, state, take=self._take_lines):
            if messages.kind == "STATE":
                for content in messages.contents:
                    self._checkpoints.add(content)
                if self._checkpoints.is_due(self._totals.rows):
                    self._commit(final=False)
            elif messages.kind == "RECORD":
                unknown |= self._take(messages)
        if unknown:
            self._log.warning("records of streams that are not selected were passed over: %s", ", ".join(unknown))

    def _take_lines(self, lines: bytes) -> bool:
        """Hand lines to their stream, if they are RECORD messages of one that can be read together."""
        first = record_lines.first_record(lines)
        try:
            stream = self._streams.get((first.get("namespace"), first.get("stream"))) if first else None
        except TypeError:
            return False
        if stream is None or not stream.add_lines(lines, first):
            return False
        self._totals.bytes += len(lines) + 1
        return True

    def _take(self, messages: Messages) -> set[str]:
        """Hand records to their streams; the names of those that are not selected."""
        self._totals.bytes += messages.size
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

    def _commit(self, *, final: bool) -> None:
        for stream in self._streams.values():
            stream.flush()
        if self._stopped.is_set():
            raise SyncError("the sync was stopped")
        states = self._checkpoints.states(final=final) + ([self._done] if final else [])
        self._destination.commit(self._connection.connection_id, states, final=final)
        self._checkpoints.committed(self._totals.rows)
        self._totals.committed = sum(each.rows for each in self._streams.values() if final or not each.table.at_end)


def _by_stream(records: list[dict[str, Any]]) -> Iterator[tuple[tuple[Any, Any], list[dict[str, Any]]]]:
    """Records that follow each other in one stream, with its namespace and name."""
    names = [record.get("stream") for record in records]
    if names.count(names[0]) == len(names) and are_bare(records):
        yield (None, names[0]), records
        return
    for key, group in groupby(records, key=lambda record: (record.get("namespace"), record.get("stream"))):
        yield key, list(group)
