"""Collects the records of a stream, converts them and writes them to the destination."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from typing import Any

import pyarrow as pa
from airbyte_protocol.models import Change, Reason

import exact_json
from airbyte_local.columns import Kind, pc
from airbyte_local.destinations.contract import Destination, Rows, Table
from airbyte_local.sync import record_lines
from airbyte_local.sync.outcome import SyncError, Totals, as_text

# Rows are written to the destination after this number of rows or bytes.
BATCH_ROWS = 5_000
BATCH_BYTES = 4 << 20
# Milliseconds since 1970, up to the year 9999.
_MOMENTS = range(253_402_300_800_000)


@dataclass(eq=False)
class StreamWriter:
    """Writes the records of one stream."""

    name: str
    table: Table
    destination: Destination
    totals: Totals
    rows: int = 0
    # Records that are not written yet.
    _records: list[dict[str, Any]] = field(default_factory=list)
    _bytes: int = 0
    _may_have_nul: bool = False

    def add(self, records: list[dict[str, Any]], size: int, *, may_have_nul: bool) -> None:
        """Add records with a total size of `size` bytes."""
        self._records += records
        self._bytes += size
        self._may_have_nul |= may_have_nul
        self.totals.rows += len(records)
        if len(self._records) >= BATCH_ROWS or self._bytes >= BATCH_BYTES:
            self.flush()

    def add_lines(self, lines: bytes, first: dict[str, Any]) -> bool:
        """Add RECORD messages as they were printed; returns False if they have to be parsed one by one."""
        found = record_lines.read(lines, first, self.table.columns)
        if not found:
            return False
        values, emitted_at = found
        bounds = pc.min_max(emitted_at)
        if bounds["min"].as_py() not in _MOMENTS or bounds["max"].as_py() not in _MOMENTS:
            return False
        self.flush()
        self.totals.rows += len(emitted_at)
        self._write(values, emitted_at, {})
        return True

    def flush(self) -> None:
        """Write the collected records."""
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
        if not are_bare(records):
            changes = {index: found for index, record in enumerate(records) if (found := _changes(record))}
        self._write(self._values(data), pa.array(emitted_at, pa.int64()), changes)

    def _write(
        self, values: Sequence[Sequence[Any] | pa.Array], emitted_at: pa.Array, changes: dict[int, list[dict[str, Any]]]
    ) -> None:
        rows = Rows([], emitted_at, changes)
        for column, given in zip(self.table.columns, values, strict=True):
            converted = column.convert(given)
            rows.columns.append(converted.array)
            for index, value in converted.unfit.items():
                text = value if isinstance(value, str) else as_text(value)
                rows.note(index, column.name, text, Change.NULLED, Reason.DESTINATION_TYPECAST_ERROR)
            for index, text in converted.cut.items():
                rows.note(index, column.name, text, Change.TRUNCATED, Reason.DESTINATION_FIELD_SIZE_LIMITATION)
        self.destination.write(self.table, rows)
        self._count(rows)
        self.rows += len(emitted_at)

    def _count(self, rows: Rows) -> None:
        """Count the values that became null or were cut, by the connector, the conversion or the destination."""
        counted = {Change.NULLED.value: self.totals.nulled, Change.TRUNCATED.value: self.totals.truncated}
        for change in chain.from_iterable(rows.changes.values()):
            if isinstance(change, dict) and (total := counted.get(str(change.get("change")))) is not None:
                total[f"{self.name}.{change.get('field')}"] += 1

    def _values(self, data: list[dict[str, Any]]) -> list[Sequence[Any]]:
        """The values of each column; None where a record lacks it."""
        names = [column.name for column in self.table.columns]
        if len(names) > 1:
            try:
                return list(zip(*map(itemgetter(*names), data), strict=True))
            except KeyError:
                pass
        return [[row.get(name) for row in data] for name in names]

    def _refuse_nul(self, data: list[dict[str, Any]]) -> None:
        for number, row in enumerate(data, self.rows + 1):
            for column in self.table.columns:
                value = row.get(column.name)
                if column.kind is Kind.JSON and isinstance(value, str):
                    with suppress(ValueError):  # invalid JSON becomes null
                        value = exact_json.parse(value)
                if exact_json.has_nul(value):
                    raise SyncError(
                        f"record {number} of stream {self.name}, column {column.name}: contains a NUL character"
                        " (\\u0000), which PostgreSQL cannot store; remove it from the source"
                    )

    def _broken(self, records: list[dict[str, Any]], error: Exception) -> str:
        def is_whole(record: dict[str, Any]) -> bool:
            moment = record.get("emitted_at")
            return type(record.get("data")) is dict and isinstance(moment, int | float) and int(moment) in _MOMENTS

        wrong = next((record for record in records if not is_whole(record)), records[0])
        return f"the connector printed a broken RECORD ({error!r}): {as_text(wrong)[:200]}"


def are_bare(records: list[dict[str, Any]]) -> bool:
    """Whether all records have just three fields: stream, data and emitted_at."""
    return set(map(len, records)) == {3}


def _changes(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Changes to a record that the connector itself reports."""
    meta = record.get("meta")
    changes = meta.get("changes") if isinstance(meta, dict) else None
    return list(changes) if isinstance(changes, list) else []
