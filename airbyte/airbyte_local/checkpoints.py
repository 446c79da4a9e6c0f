"""The states of a sync: from where the connector goes on, and what each commit keeps of what it printed."""

import time
from typing import Any

import orjson
from airbyte_protocol.models import ConfiguredAirbyteCatalog, SyncMode

from airbyte_local.destination import State
from airbyte_local.outcome import SyncError, as_text

# With a state, what it covers is committed after so many rows or seconds.
COMMIT_ROWS = 50_000
COMMIT_SECONDS = 10
# Key of the state of a source as a whole.
_WHOLE = ("", "")


class Checkpoints:
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
            raise SyncError(f"the connector printed a broken STATE: {as_text(content)}") from None
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


def _key(state: State) -> tuple[str, str]:
    return state.namespace, state.stream
