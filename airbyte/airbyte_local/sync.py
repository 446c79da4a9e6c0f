"""One attempt of a sync: a connector's records into a destination's tables, from the state of before to a new one."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from airbyte_protocol.models import (
    AirbyteCatalog,
    AirbyteRecordMessageMetaChange,
    AirbyteStream,
    Change,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteStream,
    DestinationSyncMode,
    FailureType,
    Reason,
    SyncMode,
)

from airbyte_declaration.streams import StreamConfiguration
from airbyte_local import record_lines
from airbyte_local.columns import Kind, columns
from airbyte_local.connector import Connector, Messages
from airbyte_local.destination import OUR_NAMESPACE, Destination, Rows, State, Table
from airbyte_local.store import Connection

# Rows go to the destination as soon as there are so many of them or of bytes.
BATCH_ROWS = 5_000
BATCH_BYTES = 4 << 20
# With a state, what it covers is committed after so many rows or seconds.
COMMIT_ROWS = 50_000
COMMIT_SECONDS = 10
# Characters kept of a value that does not fit its type.
_SHOWN = 100
# Milliseconds since 1970, up to the year 9999.
_MOMENTS = range(253_402_300_800_000)
_MODES = {
    "full_refresh_overwrite": (SyncMode.full_refresh, DestinationSyncMode.overwrite),
    "full_refresh_append": (SyncMode.full_refresh, DestinationSyncMode.append),
    "incremental_append": (SyncMode.incremental, DestinationSyncMode.append),
    "incremental_deduped_history": (SyncMode.incremental, DestinationSyncMode.append_dedup),
}


# Key of the state of a source as a whole.
_WHOLE = ("", "")


class SyncError(Exception):
    """The source's data or the declaration cannot be synced; the message says what and where."""

    failure_type = FailureType.config_error


@dataclass
class Totals:
    """What a sync has moved so far."""

    rows: int = 0
    # Of the RECORD messages.
    bytes: int = 0
    # Rows that are in the destination's tables.
    committed: int = 0
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
            self._checkpoints = _Checkpoints(catalog)
            self._streams = {}
            for configured in catalog.streams:
                stream, table = configured.stream, self._table(configured, destination.schema)
                self._streams[stream.namespace, stream.name] = _Stream(stream.name, table, destination, self._totals)
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
                raise SyncError(f"the connector printed a broken RECORD: {_text(records[0])}") from None
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


class _Checkpoints:
    """The states that came and were not committed yet."""

    def __init__(self, catalog: ConfiguredAirbyteCatalog):
        modes = {(each.stream.namespace or "", each.stream.name): each.sync_mode for each in catalog.streams}
        self._incremental = {key for key, mode in modes.items() if mode is SyncMode.incremental}
        self._anew = modes.keys() - self._incremental
        # States of others mean nothing later on.
        self._wanted = self._incremental | ({_WHOLE} if self._incremental else set())
        self._states: dict[tuple[str, str], State] = {}
        # Those of which the destination has a state.
        self._kept: set[tuple[str, str]] = set()
        self._rows, self._moment = 0, time.monotonic()

    def to_go_on_from(self, states: list[State]) -> Any:
        """What the connector's --state file holds, of the states that were committed; None: nothing."""
        self._kept = set(map(_key, states))
        messages = [orjson.loads(each.message) for each in states if _key(each) in self._wanted]
        # A connector of the old kind has one state, which is its own alone.
        if messages and messages[0].get("type", "LEGACY") == "LEGACY":
            return messages[0].get("data")
        return messages or None

    def add(self, content: dict[str, Any]) -> None:
        """Take the content of a STATE message."""
        key = _WHOLE
        try:
            if content.get("type") == "STREAM":
                descriptor = content["stream"]["stream_descriptor"]
                key = descriptor.get("namespace") or "", descriptor["name"]
            if key not in self._wanted:
                return
        except (KeyError, TypeError, AttributeError):
            raise SyncError(f"the connector printed a broken STATE: {_text(content)}") from None
        # A source has one state as a whole or those of its streams.
        if key == _WHOLE:
            self._states.clear()
        else:
            self._states.pop(_WHOLE, None)
        # The platform's numbers, which mean nothing to a connector.
        message = {name: value for name, value in content.items() if name not in ("sourceStats", "destinationStats")}
        self._states[key] = State(*key, orjson.dumps(message))

    def is_due(self, rows: int) -> bool:
        """Whether there is enough to commit, after so many rows of the attempt."""
        if rows - self._rows < COMMIT_ROWS and time.monotonic() - self._moment < COMMIT_SECONDS:
            return False
        # The state of the source as a whole makes way for those of its streams when each has one.
        makes_way = _WHOLE in self._kept and _WHOLE not in self._states
        return bool(self._states) and (not makes_way or self._incremental <= self._states.keys())

    def states(self, *, final: bool) -> list[State]:
        """What a commit has to keep and to forget.

        A state of the source as a whole takes the place of those of its streams, and the other way round; at the end, a
        stream that was read anew has no state any more.
        """
        gone = set()
        if self._states:
            gone = self._kept - {_WHOLE} if _WHOLE in self._states else self._kept & {_WHOLE}
        if final:
            gone |= self._anew if self._incremental else self._anew | {_WHOLE}
        return [*self._states.values(), *(State(*key, None) for key in sorted(gone))]

    def committed(self, rows: int) -> None:
        """Note that what there was to keep was committed."""
        for state in self.states(final=False):
            if state.message is None:
                self._kept.discard(_key(state))
            else:
                self._kept.add(_key(state))
        self._states.clear()
        self._rows, self._moment = rows, time.monotonic()


class _Stream:
    """A stream's records on their way into its table."""

    def __init__(self, name: str, table: Table, destination: Destination, totals: Totals):
        self.name = name
        self.table = table
        self.rows = 0
        self._destination = destination
        self._totals = totals
        self._records: list[dict[str, Any]] = []
        self._bytes = 0
        self._may_have_nul = False

    def add(self, records: list[dict[str, Any]], size: int, *, may_have_nul: bool) -> None:
        """Take records, which are `size` bytes."""
        self._records += records
        self._bytes += size
        self._may_have_nul |= may_have_nul
        self._totals.rows += len(records)
        if len(self._records) >= BATCH_ROWS or self._bytes >= BATCH_BYTES:
            self.flush()

    def add_lines(self, lines: bytes, first: dict[str, Any]) -> bool:
        """Take RECORD messages as they were printed, of which one is known; whether they can be read together."""
        found = record_lines.read(lines, first, self.table.columns)
        if not found:
            return False
        values, emitted_at = found
        bounds = pc.min_max(emitted_at)
        if bounds["min"].as_py() not in _MOMENTS or bounds["max"].as_py() not in _MOMENTS:
            return False
        self.flush()
        self._totals.rows += len(emitted_at)
        self._write(values, emitted_at, {})
        return True

    def flush(self) -> None:
        """Hand over what has gathered."""
        records, self._records, self._bytes = self._records, [], 0
        if not records:
            return
        try:
            data = [record["data"] for record in records]
            emitted_at = [record["emitted_at"] for record in records]
            if set(map(type, emitted_at)) != {int}:
                emitted_at = list(map(int, emitted_at))
            if min(emitted_at) not in _MOMENTS or max(emitted_at) not in _MOMENTS:
                raise ValueError("emitted_at")
            if set(map(type, data)) != {dict}:
                raise ValueError("data")
        except (KeyError, TypeError, ValueError) as error:
            raise SyncError(self._broken(records, error)) from error
        if self._may_have_nul:
            self._refuse_nul(data)
            self._may_have_nul = False
        changes = {}
        if not _are_bare(records):
            changes = {index: found for index, record in enumerate(records) if (found := _changes(record))}
        self._write(self._values(data), pa.array(emitted_at, pa.int64()), changes)

    def _write(
        self,
        values: Sequence[Sequence[Any] | pa.Array],
        emitted_at: pa.Array,
        changes: dict[int, list[dict[str, Any]]],
    ) -> None:
        converted = []
        for column, given in zip(self.table.columns, values, strict=True):
            array, wrong = column.convert(given)
            converted.append(array)
            for index, value in wrong.items():
                changes.setdefault(index, []).append(self._nulled(column.name, value))
        self._destination.write(self.table, Rows(converted, emitted_at, changes))
        self.rows += len(emitted_at)

    def _values(self, data: list[dict[str, Any]]) -> list[Sequence[Any]]:
        """The values of each column; null where a record does not have it."""
        names = [column.name for column in self.table.columns]
        if len(names) > 1:
            try:
                return list(zip(*map(itemgetter(*names), data), strict=True))
            except KeyError:
                pass
        return [[row.get(name) for row in data] for name in names]

    def _nulled(self, column: str, value: Any) -> dict[str, Any]:
        """Airbyte's note of a change, with the value beside, so that a gate can show what was in the source."""
        key = f"{self.name}.{column}"
        self._totals.nulled[key] = self._totals.nulled.get(key, 0) + 1
        change = AirbyteRecordMessageMetaChange(
            field=column, change=Change.NULLED, reason=Reason.DESTINATION_TYPECAST_ERROR
        )
        return change.model_dump(mode="json") | {"value": (value if isinstance(value, str) else _text(value))[:_SHOWN]}

    def _refuse_nul(self, data: list[dict[str, Any]]) -> None:
        for number, row in enumerate(data, self.rows + 1):
            for column in self.table.columns:
                value = row.get(column.name)
                if column.kind is Kind.JSON and isinstance(value, str):
                    with suppress(orjson.JSONDecodeError):  # what is no JSON becomes null
                        value = orjson.loads(value)
                if "\0" in _strings(value):
                    raise SyncError(
                        f"record {number} of stream {self.name}, column {column.name}: contains a NUL character"
                        " (\\u0000), which PostgreSQL cannot hold; remove it from the source"
                    )

    def _broken(self, records: list[dict[str, Any]], error: Exception) -> str:
        def is_whole(record: dict[str, Any]) -> bool:
            moment = record.get("emitted_at")
            return type(record.get("data")) is dict and isinstance(moment, int | float) and int(moment) in _MOMENTS

        wrong = next((record for record in records if not is_whole(record)), records[0])
        return f"the connector printed a broken RECORD ({error!r}): {_text(wrong)[:200]}"


def _by_stream(records: list[dict[str, Any]]) -> Iterator[tuple[tuple[Any, Any], list[dict[str, Any]]]]:
    """Records that follow each other in one stream, with its namespace and name."""
    names = [record.get("stream") for record in records]
    if names.count(names[0]) == len(names) and _are_bare(records):
        yield (None, names[0]), records
        return
    for key, group in groupby(records, key=lambda record: (record.get("namespace"), record.get("stream"))):
        yield key, list(group)


def _are_bare(records: list[dict[str, Any]]) -> bool:
    """Whether all have a stream, data and emitted_at, and nothing else; a quick look, which most records pass."""
    return set(map(len, records)) == {3}


def _key(state: State) -> tuple[str, str]:
    return state.namespace, state.stream


def _changes(record: dict[str, Any]) -> list[dict[str, Any]]:
    """What the connector itself says it changed in a record."""
    meta = record.get("meta")
    changes = meta.get("changes") if isinstance(meta, dict) else None
    return list(changes) if isinstance(changes, list) else []


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()


def _strings(value: Any) -> str:
    """All text within a JSON value."""
    if isinstance(value, dict):
        return "".join(key + _strings(item) for key, item in value.items())
    if isinstance(value, list):
        return "".join(map(_strings, value))
    return value if isinstance(value, str) else ""
