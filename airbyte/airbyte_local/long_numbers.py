"""JSON with numbers of more digits than a float or a 64-bit integer has: as texts, they lose none."""

import json
import re
from typing import Any

import orjson

# Members of objects alone. A float has up to 17 digits, a 64-bit integer up to 20.
_LONG = re.compile(rb":[ \t]*-?(?:(?=[0-9]+\.)[0.]*[1-9](?:\.?[0-9]){17}|[1-9][0-9]{19})")
# Finds more, and is quick.
_CANDIDATE = re.compile(rb":[ \t]*-?[0-9][0-9.]{17}")
_64_BITS = range(-(2**63), 2**64)


class LongNumber(str):
    """A number as the JSON writes it."""

    __slots__ = ()


def has_any(text: bytes) -> bool:
    """Whether JSON may have a long number."""
    return bool(_CANDIDATE.search(text) and _LONG.search(text))


def loads(text: bytes) -> Any:
    """A JSON value in which long numbers are `LongNumber`.

    Raises:
        orjson.JSONDecodeError: it is no JSON.
    """
    orjson.loads(text)  # stricter than the other, which takes NaN too
    return json.loads(text, parse_float=_float, parse_int=_int)


def _float(text: str) -> float | LongNumber:
    digits = re.sub(r"[eE].*|\D", "", text).strip("0")
    return float(text) if len(digits) <= 17 else LongNumber(text)


def _int(text: str) -> int | LongNumber:
    # So long a text would take Python long, and is refused by it.
    return int(text) if len(text) <= 20 and int(text) in _64_BITS else LongNumber(text)
