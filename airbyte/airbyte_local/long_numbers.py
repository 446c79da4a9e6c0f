"""Parses JSON with numbers that have more digits than a float or a 64-bit integer; keeps them as text, without loss."""

import json
import re
from typing import Any

import orjson

# Only members of objects. A float has up to 17 digits, a 64-bit integer up to 20.
_LONG = re.compile(rb":[ \t]*-?(?:(?=[0-9]+\.)[0.]*[1-9](?:\.?[0-9]){17}|[1-9][0-9]{19})")
# A fast check that also matches some other numbers.
_CANDIDATE = re.compile(rb":[ \t]*-?[0-9][0-9.]{17}")
_64_BITS = range(-(2**63), 2**64)


class LongNumber(str):
    """The text of a number in JSON."""

    __slots__ = ()


def has_any(text: bytes) -> bool:
    """Whether JSON text may contain a long number."""
    return bool(_CANDIDATE.search(text) and _LONG.search(text))


def loads(text: bytes) -> Any:
    """Parse JSON, or raise orjson.JSONDecodeError; long numbers become `LongNumber`."""
    orjson.loads(text)  # stricter than json.loads, which accepts NaN
    return json.loads(text, parse_float=_float, parse_int=_int)


def _float(text: str) -> float | LongNumber:
    digits = re.sub(r"[eE].*|\D", "", text).strip("0")
    return float(text) if len(digits) <= 17 else LongNumber(text)


def _int(text: str) -> int | LongNumber:
    # Python is slow at converting very long integers, and refuses the longest.
    return int(text) if len(text) <= 20 and int(text) in _64_BITS else LongNumber(text)
