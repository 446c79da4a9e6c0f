"""The STATE of a stream: which files have been read completely."""

from pathlib import Path

from airbyte_protocol.models import AirbyteStateMessage
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from source_files.content import Version
from source_files.errors import SourceError

_REMEDY = "sync once with full_refresh_overwrite, which deletes it"
# Number of files that a state lists one by one.
HISTORY = 1_000


class State(BaseModel):
    """The files of one stream that have been read.

    Attributes:
        files: their versions, by path, in the order of reading; the last HISTORY files.
        until: modification time in ns and path of the last file that was removed from `files`; earlier files count as
            read.
    """

    model_config = ConfigDict(extra="forbid")

    files: dict[str, Version] = {}
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
    """Load the states of streams, by stream name.

    Args:
        path: JSON file with a list of per-stream state messages; without one, or with an empty list, nothing has been
            read.

    Raises:
        SourceError: the file has another content.
    """
    if path is None:
        return {}
    states: dict[str, State] = {}
    try:
        for message in TypeAdapter(list[AirbyteStateMessage]).validate_json(path.read_bytes()):
            if message.stream is None:
                raise SourceError(f"the state is not per stream; {_REMEDY}")
            content = message.stream.stream_state.model_dump() if message.stream.stream_state else {}
            states[message.stream.stream_descriptor.name] = State.model_validate(content)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise SourceError(f"the state is not one of source_files: {wrong}; {_REMEDY}") from None
    return states
