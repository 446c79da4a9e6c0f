"""Result of a sync: how much it moved, or why it failed."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from airbyte_protocol.models import FailureType

import exact_json


class SyncError(Exception):
    """The source's data or the declaration is invalid; the message says what is wrong and where."""

    failure_type = FailureType.config_error


@dataclass
class Totals:
    """What a sync has moved so far."""

    rows: int = 0
    # Size of the RECORD messages.
    bytes: int = 0
    # Rows that are committed in the destination.
    committed: int = 0
    # Values that did not fit their declared type, by stream and column.
    nulled: Counter[str] = field(default_factory=Counter)
    # Times whose digits after the microseconds were cut, by stream and column.
    truncated: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        """A summary for the log."""
        changed = f"{self.nulled.total()} values nulled, {self.truncated.total()} truncated"
        return f"{self.rows} rows, {self.bytes} bytes, {changed}"


def as_text(value: Any) -> str:
    """A value as JSON, for messages."""
    try:
        return exact_json.dumps(value).decode()
    except TypeError:
        return "nested too deeply"
