"""Converts JSON values to the types that a JSON schema declares.

All destinations share these rules. A value that fits its type is converted without loss. As in Airbyte, a value that
does not fit becomes null, with a note in the record's metadata.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import StrEnum
from types import NoneType
from typing import Any

import orjson
import pyarrow as pa
from pyarrow import compute

pc: Any = compute  # creates its functions at import, so type checkers do not see them

# Timestamps that every database can read; other ISO 8601 timestamps are rewritten.
_PLAIN_TIME = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
_ISO = re.compile(rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[T ]{_PLAIN_TIME}(Z|[+-](0[0-9]|1[0-3]):[0-9]{{2}})?")

_INTEGER = re.compile(r"[+-]?[0-9]{1,100}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,1000}(\.[0-9]{0,1000})?|\.[0-9]{1,1000})([eE][+-]?[0-9]{1,3})?")
_BIGINT = range(-(2**63), 2**63)


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
# Texts that match the pattern need no conversion if Arrow can cast them to the type.
_DAY, _MOMENT = "[0-9]{4}-[0-9]{2}-[0-9]{2}", r"[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
_PLAIN = {
    Kind.INTEGER: ("-?[0-9]{1,18}", pa.int64()),
    Kind.NUMBER: (r"-?[0-9]{1,18}(\.[0-9]{1,18})?", pa.string()),
    Kind.DATE: (_DAY, pa.date32()),
    Kind.TIMESTAMP: (f"{_DAY}[T ]{_MOMENT}", pa.timestamp("us")),
    Kind.TIMESTAMP_TZ: (f"{_DAY}[T ]{_MOMENT}(Z|[+-](0[0-9]|1[0-3]):[0-5][0-9])", pa.timestamp("us", "UTC")),
}
# Arrow supports the year 0, databases do not; and a time zone may shift a timestamp into it.
_FIRST_YEAR = "0002"


@dataclass(frozen=True)
class Column:
    """A column of a stream."""

    name: str
    kind: Kind

    def convert(self, values: Sequence[Any] | pa.Array) -> tuple[pa.Array, dict[int, Any]]:
        """Convert JSON values, or an Arrow array of JSON values of one type, to the column's type.

        Returns:
            An array of the kind's `arrow_type`, and the values that did not fit by their index; these are null in the
            array.
        """
        array = values if isinstance(values, pa.Array) else self._together(values)
        is_text = array is not None and pa.types.is_string(array.type)
        if array is not None and (not is_text or self.kind is Kind.TEXT or _are_plain(array, self.kind)):
            return array.cast(self.kind.arrow_type), {}
        if isinstance(values, pa.Array):
            values = values.to_pylist()
        convert, is_moment = _CONVERT[self.kind], self.kind in _MOMENTS
        wrong, found = {}, []
        for index, value in enumerate(values):
            try:
                if is_moment and type(value) not in (str, NoneType):
                    raise ValueError
                found.append(None if value is None else convert(value))
            except ValueError:
                wrong[index] = value
                found.append(None)
        return pa.array(found, self.kind.arrow_type), wrong

    def _together(self, values: Sequence[Any]) -> pa.Array | None:
        """An array if all values have one type that may fit the kind, else None."""
        types = set(map(type, values)) - {NoneType}
        try:
            if types <= {str}:
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


def _integer(value: Any) -> int:
    if type(value) is str and _INTEGER.fullmatch(value):
        value = int(value)
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is int and value in _BIGINT:
        return value
    raise ValueError


def _number(value: Any) -> str:
    if type(value) is int or type(value) is float:
        return repr(value).removesuffix(".0")
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return str(value)
    raise ValueError


def _boolean(value: Any) -> bool:
    if type(value) is bool:
        return value
    if type(value) is str and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise ValueError


def _double(value: Any) -> float:
    if isinstance(value, str) and (value in ("NaN", "Infinity", "-Infinity") or _NUMBER.fullmatch(value)):
        return float(value)
    return float(_number(value))


def _time(value: str) -> str:
    if (moment := time.fromisoformat(value)).tzinfo is None:
        return moment.isoformat()
    raise ValueError


def _time_tz(value: str) -> str:
    moment = time.fromisoformat(value)
    # As in Airbyte, a time without a zone is in UTC.
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()


def _timestamp(value: str) -> str:
    if (moment := datetime.fromisoformat(value)).tzinfo is None:
        return value if _ISO.fullmatch(value) else moment.isoformat()
    raise ValueError


def _timestamp_tz(value: str) -> str:
    moment = datetime.fromisoformat(value)
    if _ISO.fullmatch(value):
        return value if moment.tzinfo else value + "Z"
    try:
        return (moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
    except OverflowError:
        raise ValueError from None


def _json(value: Any) -> str:
    if type(value) is str:
        value = orjson.loads(value)
    if isinstance(value, dict | list):
        # Long numbers inside become floats again.
        return orjson.dumps(value, default=float, option=orjson.OPT_PASSTHROUGH_SUBCLASS).decode()
    raise ValueError


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str) else orjson.dumps(value, default=float).decode()


def _are_plain(texts: pa.Array, kind: Kind) -> bool:
    """Whether no text needs a conversion; this is true for most columns, and checking all texts at once is fast."""
    if kind not in _PLAIN:
        return False
    pattern, kept = _PLAIN[kind]
    if not pc.all(pc.match_substring_regex(texts, f"^{pattern}$")).as_py():
        return texts.null_count == len(texts)
    if pa.types.is_temporal(kept) and pc.min(texts).as_py() < _FIRST_YEAR:
        return False
    try:
        texts.cast(kept)
    except pa.ArrowInvalid:
        return False
    return True


# Kinds whose values are texts, and not long numbers.
_MOMENTS = {Kind.DATE, Kind.TIME, Kind.TIME_TZ, Kind.TIMESTAMP, Kind.TIMESTAMP_TZ}
_CONVERT: dict[Kind, Callable[[Any], Any]] = {
    Kind.INTEGER: _integer,
    Kind.NUMBER: _number,
    Kind.DOUBLE: _double,
    Kind.BOOLEAN: _boolean,
    Kind.DATE: lambda value: date.fromisoformat(value).isoformat(),
    Kind.TIME: _time,
    Kind.TIME_TZ: _time_tz,
    Kind.TIMESTAMP: _timestamp,
    Kind.TIMESTAMP_TZ: _timestamp_tz,
    Kind.JSON: _json,
    Kind.TEXT: _text,
}

# Types of JSON values that need no conversion.
_FITS = {Kind.INTEGER: int, Kind.DOUBLE: float, Kind.BOOLEAN: bool}
