"""What a sync asks of a destination, whatever database it is."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa
from airbyte_protocol.models import DestinationSyncMode, FailureType

from airbyte_local.columns import Column

# Namespace of what the service keeps for itself among a connection's states.
OUR_NAMESPACE = "airbyte_local"


class DestinationError(Exception):
    """The destination cannot take the rows; the message names the table and the remedy."""

    failure_type = FailureType.config_error


class DestinationUnavailableError(Exception):
    """The destination failed; another attempt may succeed."""


@dataclass(frozen=True)
class Table:
    """Where a stream's rows go, and how.

    Attributes:
        namespace: schema or data set.
        name: in it.
        columns: the stream's.
        mode: overwrite: the rows become the table's only ones; append: they are added; append_dedup: a row takes the
            place of the one with its key, unless that has a later cursor.
        key: names of the columns that tell rows apart; of append_dedup alone.
        cursor: name of the column that says which row is later; None: the order of arrival does.
        at_end: whether the rows become visible only when all are there; else with every commit.
    """

    namespace: str
    name: str
    columns: tuple[Column, ...]
    mode: DestinationSyncMode = DestinationSyncMode.overwrite
    key: tuple[str, ...] = ()
    cursor: str | None = None
    at_end: bool = True

    def __str__(self) -> str:
        """The name with its schema."""
        return f"{self.namespace}.{self.name}"


@dataclass(frozen=True)
class Rows:
    """Rows of a table, column by column.

    Attributes:
        columns: as `Column.convert` gives them, in the table's order.
        emitted_at: of each row, in milliseconds since 1970; int64.
        changes: to values, by index of the row; rows without any are left out.
    """

    columns: list[pa.Array]
    emitted_at: pa.Array
    changes: dict[int, list[dict[str, Any]]]


@dataclass(frozen=True)
class State:
    """What a connector needs to go on from where it was.

    Attributes:
        namespace: of the stream; empty where it has none.
        stream: its name; empty: the state is of the source as a whole.
        message: the STATE message's content, as JSON; None: there is none any more.
    """

    namespace: str
    stream: str
    message: bytes | None


class Destination(Protocol):
    """One attempt's way into a database; `cancel` may come from another thread.

    A row and the state that covers it become visible in the same transaction. What was not committed is gone when the
    process ends, however it ends. Where the database fails, the error is DestinationUnavailableError or its driver's.
    """

    # Schema or data set of tables without one of their own.
    schema: str

    def check(self) -> str | None:
        """Why rows could not be loaded; None: they can."""

    def states(self, connection_id: uuid.UUID) -> list[State]:
        """The states of a connection; its tables are this attempt's alone from now on."""

    def peek(self, connection_id: uuid.UUID) -> list[State]:
        """The states of a connection, for people: nothing is locked or made, whatever sync goes on beside it."""

    def open(self, tables: Sequence[Table]) -> None:
        """Make ready to take rows for these tables.

        Raises:
            DestinationError: a table has columns of other types than the stream declares, or the destination can have
                no such table.
        """

    def write(self, table: Table, rows: Rows) -> None:
        """Take rows for an opened table; visible to nobody before `commit`."""

    def commit(self, connection_id: uuid.UUID, states: Sequence[State], *, final: bool) -> None:
        """Make what was written, and these states, visible in one transaction.

        Args:
            connection_id: whose states they are.
            states: those that cover the rows.
            final: whether all rows are there, so that tables that wait for that have their turn.

        Raises:
            DestinationError: a table has rows that its key does not tell apart.
        """

    def cancel(self) -> None:
        """Interrupt what the database does for this attempt now, if anything."""

    def close(self) -> None:
        """Leave the database."""
