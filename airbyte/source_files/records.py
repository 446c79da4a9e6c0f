"""Rows as RECORD messages, made by hand, since this is where the time goes."""

import time
from typing import Any

import orjson


def now() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)


def frame(stream: str) -> tuple[bytes, bytes]:
    """What stands before and behind a row's JSON object in the line of its RECORD message."""
    record = orjson.dumps({"stream": stream, "emitted_at": now()})
    return b'{"type":"RECORD","record":' + record[:-1] + b',"data":', b"}}\n"


def has_nul(value: Any) -> bool:
    """Whether there is a NUL character in a text, or in any text within an object or array."""
    match value:
        case str():
            return "\0" in value
        case dict():
            return any(has_nul(part) for pair in value.items() for part in pair)
        case list() | tuple():
            return any(map(has_nul, value))
    return False
