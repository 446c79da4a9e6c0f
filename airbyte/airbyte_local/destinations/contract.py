"""The interface between a sync and a destination, whichever database it is."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
import pyarrow as pa
from airbyte_protocol import models as protocol

from airbyte_local.columns import Column, Kind

# Columns that the destination adds to each row.
OWN = {"_airbyte_raw_id": Kind.TEXT, "_airbyte_extracted_at": Kind.TIMESTAMP_TZ, "_airbyte_meta": Kind.JSON}
# Airbyte's number of a table's last full refresh; written, as 0, to tables that have it because Airbyte made them.
GENERATION = "_airbyte_generation_id"
# Column of sources with change data capture: when the source deleted the row.
DELETED = "_ab_cdc_deleted_at"
# Namespace of the service's own entry among the states of a connection.
OUR_NAMESPACE = "airbyte_local"
# Characters that are kept of a value that does not fit its type.
_SHOWN = 100


class DestinationError(Exception):
    """The destination cannot store the rows; the message names the table and says what to do."""

    failure_type = protocol.FailureType.config_error


class DestinationUnavailableError(Exception):
    """The destination failed; another attempt may succeed."""


@dataclass(frozen=True)
class Table:
    """The table of a stream in a schema or dataset, and how rows are written to it."""

    namespace: str
    name: str
    columns: tuple[Column, ...]
    # overwrite: the rows replace all rows of the table; append: they are added; append_dedup: a row replaces the row
    # with the same key, or deletes it if it has a value in DELETED, unless that row has a later cursor.
    mode: protocol.DestinationSyncMode = protocol.DestinationSyncMode.overwrite
    # Names of the primary key's columns; for append_dedup only.
    key: tuple[str, ...] = ()
    # Name of the column that tells which row is newer; None: the row that arrives last is.
    cursor: str | None = None
    # Whether rows become visible only with the final commit; otherwise with every commit.
    at_end: bool = True
    # Names of the columns whose types follow those of a table that exists, since the user did not declare them.
    discovered: frozenset[str] = frozenset()
    # Whether the table has the column GENERATION.
    has_generation: bool = False

    @property
    def kinds(self) -> dict[str, Kind]:
        """Names and kinds of the columns that each row has."""
        generation = {GENERATION: Kind.INTEGER} if self.has_generation else {}
        return {column.name: column.kind for column in self.columns} | OWN | generation

    @property
    def deletes(self) -> bool:
        """Whether a row may delete the one with its key."""
        return bool(self.key) and any(column.name == DELETED for column in self.columns)

    def __str__(self) -> str:
        """The table's name with its schema."""
        return f"{self.namespace}.{self.name}"


@dataclass(frozen=True)
class Rows:
    """Rows of a table, stored by column."""

    # Arrays as `Column.convert` returns them, in the order of the table's columns.
    columns: list[pa.Array]
    # When each row was read, in milliseconds since 1970; int64.
    emitted_at: pa.Array
    # Notes on changed values, by index of the row; rows without changes are left out.
    changes: dict[int, list[dict[str, Any]]]

    def note(self, index: int, column: str, value: str, change: protocol.Change, reason: protocol.Reason) -> None:
        """Add Airbyte's note on a value that was changed, with the value, so that a checkpoint can show it."""
        noted = {"field": column, "change": change.value, "reason": reason.value, "value": value[:_SHOWN]}
        self.changes.setdefault(index, []).append(noted)

    def metadata(self, sync_id: int) -> pa.Array:
        """The column _airbyte_meta, as JSON."""
        plain = orjson.dumps({"sync_id": sync_id, "changes": []}).decode()
        if not self.changes:
            return pa.repeat(plain, len(self.emitted_at))
        metas = [plain] * len(self.emitted_at)
        for index, changes in self.changes.items():
            metas[index] = orjson.dumps({"sync_id": sync_id, "changes": changes}).decode()
        return pa.array(metas, pa.string())


@dataclass(frozen=True)
class State:
    """What a connector needs to continue where it stopped."""

    # Empty if the stream has none.
    namespace: str
    # Name of the stream; empty for the state of the whole source.
    stream: str
    # Content of the STATE message, as JSON; None: delete the stored state.
    message: bytes | None


class Destination(Protocol):
    """The database connection of one attempt; `cancel` may be called from another thread.

    Rows and the state that covers them become visible in the same transaction. Rows that were not committed are lost
    when the process ends or is killed. If the database fails, methods raise DestinationUnavailableError or the error
    of the database driver.
    """

    # Schema or dataset of streams without a namespace.
    schema: str

    def check(self) -> str | None:
        """Explain why rows cannot be loaded, or return None if they can."""

    def states(self, connection_id: uuid.UUID) -> list[State]:
        """The states of a connection. Reserves the connection's tables for this attempt."""

    def peek(self, connection_id: uuid.UUID) -> list[State]:
        """The states of a connection, for display: locks and creates nothing, so it does not disturb a running sync."""

    def open(self, tables: Sequence[Table]) -> list[Table]:
        """Prepare to write to these tables: add missing columns, and widen types where `fitting` allows it.

        Returns:
            The tables as they are to be written. A column has the kind that it has in the database.

        Raises:
            DestinationError: a column does not fit the type that it has in the table, a table that exists shares no
                column with its stream, or the database does not allow the name of a table or column.
        """

    def begin(self) -> None:
        """Start what takes long before the first row can be written, such as removing the rows that are replaced."""

    def write(self, table: Table, rows: Rows) -> None:
        """Write rows to an opened table; they become visible with `commit`.

        Raises:
            DestinationError: a row has no value in a column of the primary key; may also be raised by `commit`.
        """

    def commit(self, connection_id: uuid.UUID, states: Sequence[State], *, final: bool) -> None:
        """Commit the written rows and these states in one transaction.

        Tables are never replaced by others, so views on them keep working; readers see the old rows until the commit.
        The final commit also publishes tables with `at_end`.

        Raises:
            DestinationError: several rows of a table have the same key, or a later attempt has started.
        """

    def cancel(self) -> None:
        """Interrupt the statement that the database runs for this attempt, if any."""

    def close(self) -> None:
        """Close the database connection."""
