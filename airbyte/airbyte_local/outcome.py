"""What comes of a sync: how much it moved, or why it could not."""

from dataclasses import dataclass, field
from typing import Any

import orjson
from airbyte_protocol.models import FailureType


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


def as_text(value: Any) -> str:
    """A JSON value as it is shown."""
    return orjson.dumps(value).decode()
