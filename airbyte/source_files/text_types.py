"""Finds the types that texts fit, conservatively: converting to the type must lose nothing but formatting."""

from collections.abc import Set
from typing import Any

import pyarrow as pa
from pyarrow import compute

pc: Any = compute  # creates its functions at import, so type checkers do not see them

_DATE = r"\d{4}-\d{2}-\d{2}"
_TIME = r"[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?"
_ZONE = r"(Z|[+-](0\d|1[0-5]):?[0-5]\d)"
# The pattern of a type's texts, and the Arrow type that they must fit if the pattern is not enough.
_LOOKS: dict[str, tuple[str, pa.DataType | None]] = {
    "integer": (r"0|-?[1-9]\d{0,18}", pa.int64()),
    "number": (r"-?(0|[1-9]\d*)\.\d+|0|-?[1-9]\d{0,14}", None),
    "boolean": (r"(?i)true|false", None),
    "date": (_DATE, pa.date32()),
    "timestamp": (_DATE + _TIME, pa.timestamp("us")),
    "timestamp_tz": (_DATE + _TIME + _ZONE, pa.timestamp("us", "UTC")),
}
MOMENTS = {"date", "timestamp", "timestamp_tz"}


def fitting(texts: pa.StringArray, types: Set[str]) -> set[str]:
    """The members of `types` that every text fits; a null fits every type that text can represent."""
    texts = texts.drop_null()
    return {name for name in types & _LOOKS.keys() if _fit(texts, *_LOOKS[name])}


def _fit(texts: pa.StringArray, looks: str, kind: pa.DataType | None) -> bool:
    if not pc.all(pc.match_substring_regex(texts, rf"\A({looks})\z"), min_count=0).as_py():
        return False
    if kind:
        try:
            texts.cast(kind)
        except pa.ArrowInvalid:
            return False
    return True
