"""The states of a sync: where the connector continues, and which states each commit stores."""

import time
from typing import Any

from airbyte_protocol.models import ConfiguredAirbyteCatalog, SyncMode

import exact_json
from airbyte_local.destinations.contract import State
from airbyte_local.sync.outcome import SyncError, as_text

# Rows that a state covers are committed after this number of rows or seconds.
COMMIT_ROWS = 50_000
COMMIT_SECONDS = 10
# Key of the state of the whole source.
_WHOLE = ("", "")


class Checkpoints:
    """The states that the connector printed since the last commit."""

    def __init__(self, catalog: ConfiguredAirbyteCatalog):
        modes = {(each.stream.namespace or "", each.stream.name): each.sync_mode for each in catalog.streams}
        self._incremental = {key for key, mode in modes.items() if mode is SyncMode.incremental}
        self._refreshed = modes.keys() - self._incremental
        # States of other streams are ignored.
        self._wanted = self._incremental | ({_WHOLE} if self._incremental else set())
        self._states: dict[tuple[str, str], State] = {}
        # Keys of the states that are stored in the destination.
        self._kept: set[tuple[str, str]] = set()
        self._rows, self._moment = 0, time.monotonic()

    def start_state(self, states: list[State]) -> Any:
        """Content of the connector's --state file, from the committed states, or None."""
        self._kept = set(map(_key, states))
        messages = [exact_json.loads(each.message) for each in states if each.message and _key(each) in self._wanted]
        # An old connector has a single state in a format of its own.
        if messages and messages[0].get("type", "LEGACY") == "LEGACY":
            return messages[0].get("data")
        return messages or None

    def add(self, content: dict[str, Any]) -> None:
        """Add the content of a STATE message."""
        key = _WHOLE
        try:
            if content.get("type") == "STREAM":
                descriptor = content["stream"]["stream_descriptor"]
                key = descriptor.get("namespace") or "", descriptor["name"]
            if key not in self._wanted:
                return
        except (KeyError, TypeError, AttributeError):
            raise SyncError(f"the connector printed a broken STATE: {as_text(content)}") from None
        # A source has either one state or a state for each stream.
        if key == _WHOLE:
            self._states.clear()
        else:
            self._states.pop(_WHOLE, None)
        # Counts for the platform, which the connector does not need.
        message = {name: value for name, value in content.items() if name not in ("sourceStats", "destinationStats")}
        self._states[key] = State(*key, exact_json.dumps(message))

    def is_due(self, rows: int) -> bool:
        """Whether a commit is due after this number of rows of the attempt."""
        if rows - self._rows < COMMIT_ROWS and time.monotonic() - self._moment < COMMIT_SECONDS:
            return False
        # The state of the whole source is replaced only when every stream has a state.
        is_replaced = _WHOLE in self._kept and _WHOLE not in self._states
        return bool(self._states) and (not is_replaced or self._incremental <= self._states.keys())

    def states(self, *, final: bool) -> list[State]:
        """The states that a commit has to store or delete.

        A state of the whole source replaces those of its streams, and vice versa. The final commit deletes the states
        of streams with a full refresh.
        """
        gone = set()
        if self._states:
            gone = self._kept - {_WHOLE} if _WHOLE in self._states else self._kept & {_WHOLE}
        if final:
            gone |= self._refreshed if self._incremental else self._refreshed | {_WHOLE}
        return [*self._states.values(), *(State(*key, None) for key in sorted(gone))]

    def committed(self, rows: int) -> None:
        """Record that the states were committed."""
        self._kept -= {_key(state) for state in self.states(final=False) if state.message is None}
        self._kept |= self._states.keys()
        self._states.clear()
        self._rows, self._moment = rows, time.monotonic()


def _key(state: State) -> tuple[str, str]:
    return state.namespace, state.stream
