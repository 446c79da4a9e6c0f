"""The STATE of a stream: which files have been read completely."""

from pathlib import Path

from airbyte_protocol.models import AirbyteStateMessage
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from source_files.content import Version
from source_files.errors import SourceError, explained

_REMEDY = "sync once with full_refresh_overwrite, which deletes it"
# Number of files that a state lists one by one.
HISTORY = 1_000


class State(BaseModel):
    """The files of one stream that have been read."""

    model_config = ConfigDict(extra="forbid")

    # Versions by path, in the order of reading; the last HISTORY files.
    files: dict[str, Version] = {}
    # Modification time in ns and path of the last file that was removed from `files`; earlier files count as read.
    until: tuple[int, str] | None = None

    def has(self, path: str, version: Version) -> bool:
        """Whether this version of the file has been read."""
        if path in self.files:
            return bool(version) and self.files[path] == version
        return self.until is not None and "mtime_ns" in version and (version["mtime_ns"], path) <= self.until

    def add(self, path: str, version: Version) -> None:
        """Record that this version of the file has been read."""
        self.files[path] = version
        if len(self.files) > HISTORY:
            oldest = min((int(version.get("mtime_ns", 0)), path) for path, version in self.files.items())
            self.until = max(oldest, self.until or oldest)
            del self.files[oldest[1]]


def load(path: Path | None) -> dict[str, State]:
    """Load the states of streams, by stream name, from a JSON file with a list of per-stream state messages.

    Raises:
        SourceError: the file has another content.
    """
    states: dict[str, State] = {}
    try:
        for message in TypeAdapter(list[AirbyteStateMessage]).validate_json(path.read_bytes() if path else "[]"):
            if message.stream is None:
                raise SourceError(f"the state is not per stream; {_REMEDY}")
            content = message.stream.stream_state.model_dump() if message.stream.stream_state else {}
            states[message.stream.stream_descriptor.name] = State.model_validate(content)
    except ValidationError as error:
        raise SourceError(f"the state is not one of source_files: {explained(error)}; {_REMEDY}") from None
    return states
