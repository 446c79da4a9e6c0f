"""Builds RECORD messages by hand, since most of the time is spent here."""

import time
from typing import Any

import orjson


def now() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)


def frame(stream: str) -> tuple[bytes, bytes]:
    """Beginning and end of the line of a RECORD message, around the row's JSON object."""
    record = orjson.dumps({"stream": stream, "emitted_at": now()})
    return b'{"type":"RECORD","record":' + record[:-1] + b',"data":', b"}}\n"


def has_nul(value: Any) -> bool:
    """Whether a text, or any text in an object or array, contains a NUL character."""
    match value:
        case str():
            return "\0" in value
        case dict():
            return any(has_nul(part) for pair in value.items() for part in pair)
        case list() | tuple():
            return any(map(has_nul, value))
    return False
