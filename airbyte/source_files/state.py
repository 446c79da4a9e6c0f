"""The STATE of a stream: which files have been read completely."""

import hashlib
import re
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from airbyte_protocol.models import AirbyteStateMessage
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from source_files.content import Version, is_http, public
from source_files.errors import SourceError, explained

_REMEDY = "sync once with full_refresh_overwrite, which deletes it"
# Number of files that a state lists one by one.
HISTORY = 1_000
# Parameters of a URL that sign it or let somebody in, and do not say which file it is.
_SIGNING = re.compile(
    r"(?i)x-(amz|goog)-.*|(?!.*(page|next|continu)).*(token|signature|password|passwd|secret|api[-_]?key).*|auth|sig"
)
# Parameters that belong to a signature, if its own parameter is there: of CloudFront, S3 and Google; of Azure.
_WITH = {
    "signature": {"expires", "policy", "key-pair-id", "awsaccesskeyid", "googleaccessid"},
    "sig": {
        "sv", "ss", "srt", "sp", "st", "se", "sip", "spr", "sr", "si", "sdd", "ses",
        "skoid", "sktid", "skt", "ske", "sks", "skv", "saoid", "suoid", "scid",
    },
}  # fmt: skip


class State(BaseModel):
    """The files of one stream that have been read."""

    model_config = ConfigDict(extra="forbid")

    # Versions by key, in the order of reading; the last HISTORY files.
    files: dict[str, Version] = {}
    # Modification time in ns and key of the last file that was removed from `files`; earlier files count as read.
    until: tuple[int, str] | None = None

    def adopt(self, key: str) -> bool:
        """Whether this file was known by its key in earlier states, which lacks the query; it has this key now."""
        old = key.partition("?")[0]
        if not is_http(key) or key in self.files or old not in self.files:
            return False
        self.files[key] = self.files.pop(old)
        return True

    def has(self, key: str, version: Version) -> bool:
        """Whether this version of the file has been read."""
        if key in self.files:
            return bool(version) and _content(self.files[key]) == _content(version)
        return self.until is not None and "mtime_ns" in version and (version["mtime_ns"], key) <= self.until

    def add(self, key: str, version: Version) -> None:
        """Record that this version of the file has been read."""
        self.files[key] = version
        if len(self.files) > HISTORY:
            oldest = min((int(version.get("mtime_ns", 0)), key) for key, version in self.files.items())
            self.until = max(oldest, self.until or oldest)
            del self.files[oldest[1]]


def _content(version: Version) -> Version:
    """What tells contents apart: an object that a bucket got again with the same content is the same version."""
    return {**version, "mtime_ns": 0} if version.keys() & {"etag", "generation"} else version


def key_of(url: str) -> str:
    """What identifies a file in a state, without secrets: its path, or its URL with a digest of its query.

    The parameters of a signature or login, which change while the file stays the same, are left out.
    """
    if not is_http(url):
        return url
    parameters = parse_qsl(url.partition("#")[0].partition("?")[2], keep_blank_values=True)
    names = {name.lower() for name, _ in parameters}
    signing = {name for sign, others in _WITH.items() if sign in names for name in others}
    query = urlencode(sorted(p for p in parameters if not _SIGNING.fullmatch(p[0]) and p[0].lower() not in signing))
    return f"{public(url)}?{hashlib.sha256(query.encode()).hexdigest()[:32] if query else ''}"


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
