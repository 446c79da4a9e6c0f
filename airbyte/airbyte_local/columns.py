"""Converts JSON values to the types that a JSON schema declares.

All destinations share these rules. A value that fits its type is converted without loss. As in Airbyte, a value that
does not fit becomes null, with a note in the record's metadata.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import NoneType
from typing import Any

import pyarrow as pa
from pyarrow import compute

from airbyte_local import values as values_of
from exact_json import Number

pc: Any = compute  # creates its functions at import, so type checkers do not see them


class Kind(StrEnum):
    """Types of columns; each destination maps them to its own types."""

    INTEGER = "integer"
    NUMBER = "number"
    DOUBLE = "double"
    BOOLEAN = "boolean"
    DATE = "date"
    TIME = "time"
    TIME_TZ = "time with time zone"
    TIMESTAMP = "timestamp"
    TIMESTAMP_TZ = "timestamp with time zone"
    JSON = "json"
    TEXT = "text"

    @property
    def arrow_type(self) -> pa.DataType:
        """Arrow type of a column's values: text in the database's format for kinds without an Arrow type."""
        return _ARROW_TYPES.get(self, pa.string())


_ARROW_TYPES = {Kind.INTEGER: pa.int64(), Kind.DOUBLE: pa.float64(), Kind.BOOLEAN: pa.bool_()}
# Texts that Arrow casts to the type need no conversion; the pattern is for kinds of which Arrow reads more spellings.
_DAY, _MOMENT = "[0-9]{4}-[0-9]{2}-[0-9]{2}", r"[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
_PLAIN = {
    Kind.INTEGER: (None, pa.int64()),
    Kind.NUMBER: (r"-?[0-9]{1,18}(\.[0-9]{1,18})?", pa.string()),
    Kind.DOUBLE: (r"-?[0-9]{1,7}(\.[0-9]{1,8})?", pa.float64()),
    Kind.BOOLEAN: (None, pa.bool_()),
    Kind.DATE: (None, pa.date32()),
    Kind.TIMESTAMP: (f"{_DAY}[T ]{_MOMENT}", pa.timestamp("us")),
    Kind.TIMESTAMP_TZ: (f"{_DAY}[T ]{_MOMENT}(Z|[+-](0[0-9]|1[0-3]):[0-5][0-9])", pa.timestamp("us", "UTC")),
}
# Arrow supports the year 0, databases do not; and a time zone may shift a timestamp into it.
_FIRST_YEAR = "0002"


@dataclass(frozen=True)
class Converted:
    """Values of a column in the type of its kind."""

    # Of the kind's `arrow_type`; a value that did not fit is null.
    array: pa.Array
    # The values that did not fit, by index.
    unfit: dict[int, Any] = field(default_factory=dict)
    # The texts of times whose digits after the microseconds were cut, by index.
    cut: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Column:
    """A column of a stream."""

    name: str
    kind: Kind

    def convert(self, values: Sequence[Any] | pa.Array) -> Converted:
        """Convert JSON values, or an Arrow array of JSON values of one type, to the column's type."""
        array = values if isinstance(values, pa.Array) else self._together(values)
        if array is not None and (converted := _at_once(array, self.kind)) is not None:
            return Converted(converted)
        if isinstance(values, pa.Array):
            values = values.to_pylist()
        convert, is_moment = _CONVERT[self.kind], self.kind in _MOMENTS
        unfit, cut, found = {}, {}, []
        for index, value in enumerate(values):
            try:
                found.append(None if value is None else convert(value))
            except ValueError:
                unfit[index] = value
                found.append(None)
            else:
                if is_moment and value is not None and values_of.is_finer(value):
                    cut[index] = value
        return Converted(pa.array(found, self.kind.arrow_type), unfit, cut)

    def _together(self, values: Sequence[Any]) -> pa.Array | None:
        """An array if all values have one type that may fit the kind, else None."""
        types = set(map(type, values)) - {NoneType}
        try:
            if types <= ({str, Number} if self.kind in _NUMBERS else {str}):
                return pa.array(values, pa.string())
            if types == {_FITS.get(self.kind)}:
                return pa.array(values, self.kind.arrow_type)
        except OverflowError:
            pass
        return None


def columns(json_schema: dict[str, Any]) -> tuple[Column, ...]:
    """The columns that a stream's JSON schema declares, in order."""
    return tuple(Column(name, _kind(schema)) for name, schema in json_schema.get("properties", {}).items())


def _kind(schema: dict[str, Any] | bool) -> Kind:
    if isinstance(schema, bool):  # true is JSON Schema's short form of {}
        return Kind.TEXT
    types = schema.get("type", [])
    types = {types} if isinstance(types, str) else set(types)
    types.discard("null")
    airbyte_type = schema.get("airbyte_type")
    match types.pop() if len(types) == 1 else None:
        case "integer":
            return Kind.INTEGER
        case "number":
            if airbyte_type == "integer":
                return Kind.INTEGER
            return Kind.DOUBLE if schema.get("format") == "double" else Kind.NUMBER
        case "boolean":
            return Kind.BOOLEAN
        case "object" | "array":
            return Kind.JSON
        case "string" if schema.get("format") == "date":
            return Kind.DATE
        case "string" if schema.get("format") == "time":
            return Kind.TIME_TZ if airbyte_type == "time_with_timezone" else Kind.TIME
        case "string" if schema.get("format") == "date-time":
            return Kind.TIMESTAMP if airbyte_type == "timestamp_without_timezone" else Kind.TIMESTAMP_TZ
    return Kind.TEXT


def _at_once(values: pa.Array, kind: Kind) -> pa.Array | None:
    """The values converted if none needs to be looked at, which is true for most columns and fast, else None."""
    if not pa.types.is_string(values.type) or kind is Kind.TEXT or values.null_count == len(values):
        return values.cast(kind.arrow_type)
    if kind not in _PLAIN:
        return None
    pattern, fitting = _PLAIN[kind]
    if pattern and not _are_seconds(values, kind) and not _match(values, pattern):
        return None
    try:
        fit = values.cast(fitting)
    except pa.ArrowInvalid:
        if kind is not Kind.BOOLEAN:
            return None
        found = pc.index_in(pc.utf8_lower(pc.utf8_trim_whitespace(values)), _BOOLEANS)
        return pc.less(found, len(values_of.TRUE)) if found.null_count == values.null_count else None
    if kind is Kind.INTEGER and {*b"xX"} & {*bytes(values.buffers()[2]).translate(None, _DIGITS)}:
        return None  # Arrow reads 0x1F
    if pa.types.is_temporal(fitting) and pc.min(values).as_py() < _FIRST_YEAR:
        return None
    return fit if fitting == kind.arrow_type else values


def _match(texts: pa.Array, pattern: str) -> bool:
    return pc.all(pc.match_substring_regex(texts, f"^{pattern}$")).as_py()


def _are_seconds(values: pa.Array, kind: Kind) -> bool:
    """Whether all texts have the length of a timestamp with seconds; Arrow reads no others of this length."""
    lengths = pc.min_max(pc.binary_length(values)).as_py() if kind is Kind.TIMESTAMP else {}
    return set(lengths.values()) == {len("2020-02-20T06:43:18")}


# Types of JSON values that need no conversion.
_FITS = {Kind.INTEGER: int, Kind.DOUBLE: float, Kind.BOOLEAN: bool}
_DIGITS = b"0123456789"
_BOOLEANS = pa.array([*values_of.TRUE, *values_of.FALSE])
# Kinds to which a number and its text are the same.
_NUMBERS = {Kind.INTEGER, Kind.NUMBER, Kind.DOUBLE}
# Kinds whose values are texts, and never numbers.
_MOMENTS = {Kind.DATE, Kind.TIME, Kind.TIME_TZ, Kind.TIMESTAMP, Kind.TIMESTAMP_TZ}
_CONVERT: dict[Kind, Callable[[Any], Any]] = {
    Kind.INTEGER: values_of.integer,
    Kind.NUMBER: values_of.number,
    Kind.DOUBLE: values_of.double,
    Kind.BOOLEAN: values_of.boolean,
    Kind.DATE: values_of.day,
    Kind.TIME: values_of.time_of_day,
    Kind.TIME_TZ: values_of.time_tz,
    Kind.TIMESTAMP: values_of.timestamp,
    Kind.TIMESTAMP_TZ: values_of.timestamp_tz,
    Kind.JSON: values_of.json,
    Kind.TEXT: values_of.text,
}
