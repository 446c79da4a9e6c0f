"""What a declared JSON schema makes of a value: the kinds of columns, and the values that fit each.

Every destination shares these rules. A value that fits is handed on without loss; one that does not raises ValueError,
and its column becomes null with a note in the record's metadata, as Airbyte does.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import StrEnum
from typing import Any

import orjson

# Moments as every database reads them; others that ISO 8601 knows are written anew.
_PLAIN_TIME = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
_PLAIN = re.compile(rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[T ]{_PLAIN_TIME}(Z|[+-](0[0-9]|1[0-3]):[0-9]{{2}})?")

_INTEGER = re.compile(r"[+-]?[0-9]{1,100}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,1000}(\.[0-9]{0,1000})?|\.[0-9]{1,1000})([eE][+-]?[0-9]{1,3})?")
_DECIMALS = re.compile(r"[0-9.-]*")
# Digits that every integer or number may have.
_DIGITS = 18
_BIGINT = range(-(2**63), 2**63)


class Kind(StrEnum):
    """Types of columns, for a destination to give its own names."""

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


@dataclass(frozen=True)
class Column:
    """A column of a stream."""

    name: str
    kind: Kind

    def convert(self, values: Sequence[Any]) -> tuple[Sequence[Any], dict[int, Any]]:
        """Values as they are loaded.

        Args:
            values: JSON values.

        Returns:
            As many: null, or int (integer, number), float (number, double), bool, or str (all other kinds, and integers
            and numbers that were text); and, by index, the values that did not fit, which are null in these.
        """
        present = values if None not in values else [value for value in values if value is not None]
        types = set(map(type, present))
        if types <= _AS_IT_IS[self.kind]:
            return values, {}
        if self.kind is Kind.INTEGER and types == {int} and min(present) in _BIGINT and max(present) in _BIGINT:
            return values, {}
        if types == {str} and self.kind in _ARE_PLAIN and _ARE_PLAIN[self.kind](present):
            return values, {}
        convert = _CONVERT[self.kind]
        if types == {str} and self.kind is not Kind.JSON:
            # Many values are the same, and nearly always all fit.
            try:
                converted = {value: convert(value) for value in set(present)}
            except ValueError:
                pass
            else:
                return list(map(converted.get, values)), {}
        wrong, found = {}, []
        for index, value in enumerate(values):
            try:
                found.append(None if value is None else convert(value))
            except ValueError:
                wrong[index] = value
                found.append(None)
        return found, wrong


def columns(json_schema: dict[str, Any]) -> tuple[Column, ...]:
    """The columns that a stream's JSON schema declares, in its order."""
    return tuple(Column(name, _kind(schema)) for name, schema in json_schema.get("properties", {}).items())


def _kind(schema: dict[str, Any]) -> Kind:
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


def _number(value: Any) -> Any:
    if type(value) is int or type(value) is float:
        return value
    if type(value) is str and _NUMBER.fullmatch(value):
        return value
    raise ValueError


def _boolean(value: Any) -> bool:
    if type(value) is bool:
        return value
    if type(value) is str and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise ValueError


def _double(value: Any) -> float:
    if type(value) is str and (value in ("NaN", "Infinity", "-Infinity") or _NUMBER.fullmatch(value)):
        return float(value)
    return float(_number(value))


def _date(value: Any) -> str:
    if type(value) is str:
        return date.fromisoformat(value).isoformat()
    raise ValueError


def _time(value: Any) -> str:
    if type(value) is str and (moment := time.fromisoformat(value)).tzinfo is None:
        return moment.isoformat()
    raise ValueError


def _time_tz(value: Any) -> str:
    if type(value) is str:
        moment = time.fromisoformat(value)
        # As Airbyte: without a zone it is UTC.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
    raise ValueError


def _timestamp(value: Any) -> str:
    if type(value) is str and (moment := datetime.fromisoformat(value)).tzinfo is None:
        return value if _PLAIN.fullmatch(value) else moment.isoformat()
    raise ValueError


def _timestamp_tz(value: Any) -> str:
    if type(value) is not str:
        raise ValueError
    moment = datetime.fromisoformat(value)
    if _PLAIN.fullmatch(value):
        return value if moment.tzinfo else value + "Z"
    try:
        return (moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
    except OverflowError:
        raise ValueError from None


def _json(value: Any) -> str:
    if type(value) is str:
        value = orjson.loads(value)
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode()
    raise ValueError


def _text(value: Any) -> str:
    return value if type(value) is str else orjson.dumps(value).decode()


def _are_digits(texts: Sequence[str]) -> bool:
    together = "".join(texts)
    return together.isascii() and together.isdecimal() and "" not in texts and len(max(texts, key=len)) <= _DIGITS


def _are_decimals(texts: Sequence[str]) -> bool:
    if not _DECIMALS.fullmatch("".join(texts)) or len(max(texts, key=len)) > _DIGITS:
        return False
    try:
        # The quickest way to see that each is one number.
        list(map(float, texts))
    except ValueError:
        return False
    return True


def _are_timestamps(texts: Sequence[str]) -> bool:
    """Whether all are a date, a T or a space, and a time to the second."""
    # Of the valid texts of 19 characters, these have two dashes and two colons.
    if set(map(len, texts)) != {19}:
        return False
    together = "".join(texts)
    if "W" in together or together.count("-") != 2 * len(texts) or together.count(":") != 2 * len(texts):
        return False
    try:
        list(map(datetime.fromisoformat, texts))
    except ValueError:
        return False
    return True


# Whether texts of a kind are all good as they are; most columns are, and to look at them together is quick.
_ARE_PLAIN: dict[Kind, Callable[[Sequence[str]], bool]] = {
    Kind.INTEGER: _are_digits,
    Kind.NUMBER: _are_decimals,
    Kind.TIMESTAMP: _are_timestamps,
}
_CONVERT: dict[Kind, Callable[[Any], Any]] = {
    Kind.INTEGER: _integer,
    Kind.NUMBER: _number,
    Kind.DOUBLE: _double,
    Kind.BOOLEAN: _boolean,
    Kind.DATE: _date,
    Kind.TIME: _time,
    Kind.TIME_TZ: _time_tz,
    Kind.TIMESTAMP: _timestamp,
    Kind.TIMESTAMP_TZ: _timestamp_tz,
    Kind.JSON: _json,
    Kind.TEXT: _text,
}

# Types of JSON values that fit a kind, whatever the value.
_AS_IT_IS: dict[Kind, set[type]] = {kind: set() for kind in Kind} | {
    Kind.NUMBER: {int, float},
    Kind.DOUBLE: {float},
    Kind.BOOLEAN: {bool},
    Kind.TEXT: {str},
}
