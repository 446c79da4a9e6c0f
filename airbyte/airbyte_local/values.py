"""Converts a JSON value to a type, if it has exactly one meaning there that the type can hold; else ValueError."""

import re
from datetime import UTC, date, datetime, time, timedelta
from math import isfinite
from typing import Any

import orjson

import exact_json
from exact_json import Number, is_double, parts

# Timestamps that every database can read; other ISO 8601 timestamps are rewritten.
_PLAIN_TIME = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
_ISO = re.compile(rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[T ]{_PLAIN_TIME}(Z|[+-](0[0-9]|1[0-3]):[0-9]{{2}})?")
# A zone whose minutes are no minutes, which Python reads.
_NO_ZONE = re.compile(r"[+-][0-9]{2}:?[6-9]")
# Numbers that are no time in digits (20240102, 1530, 153059). Python reads some of them, such as milliseconds since
# 1970: 1712102400000 as the year 1712.
_NUMBER = re.compile(r"(?!([0-9]{4}|[0-9]{6}|[0-9]{8})$|[0-9]{6}[.,])[+-]?[0-9]+([.,][0-9]*)?(E[+-]?[0-9]+)?")
# Databases hold the time of zones that are nearer to UTC.
_FARTHEST = timedelta(hours=16)
# Times with more than the six digits that all types hold.
_FINER = re.compile(r"[.,][0-9]{6}[0-9]*[1-9]")
# Spellings of booleans, as PostgreSQL reads them, in lower case.
TRUE, FALSE = ("true", "t", "yes", "y", "on", "1"), ("false", "f", "no", "n", "off", "0")
_BIGINT = range(-(2**63), 2**63)
# Digits of PostgreSQL's numeric before and after the point.
_BEFORE, _AFTER = 131_072, 16_383
# Characters of numbers that are loaded as they are written, unless their power of ten is longer.
_SHORT = 1_000
# No double has more digits.
_DOUBLE_DIGITS = 767


def integer(value: Any) -> int:
    """A 64-bit integer, also of a text such as 3.0 or 3e2."""
    if type(value) is not int:
        sign, digits, power = parts(_spelled(value))
        if power < 0 or len(digits) + power > len(str(_BIGINT.stop)):
            raise ValueError
        value = int(f"{sign}{digits or 0}") * 10**power
    if value in _BIGINT:
        return value
    raise ValueError


def number(value: Any) -> str:
    """The text of a number that PostgreSQL's numeric can hold, with all digits."""
    text = _spelled(value)
    sign, digits, power = parts(text)
    if len(digits) + power > _BEFORE or -power > _AFTER:
        raise ValueError
    if len(text) <= _SHORT and abs(power) <= _SHORT and digits:
        return text.removesuffix(".0")
    # Without zeros that do not fit, and without a power that a database refuses although the number is small.
    return f"{sign}{digits}e{power}" if digits else "0"


def double(value: Any) -> float:
    """A double that is the number when it is written with as many digits; NaN and the infinities only by name."""
    if type(value) is float:
        return value
    text = _spelled(value)
    if text in ("NaN", "Infinity", "-Infinity"):
        return float(text)
    same = parts(text)
    found, digits = float(text), len(same[1])
    if is_double(text) or not digits:
        return found
    # 0.10000000000000001, as many programs write 0.1, is no other number.
    if digits <= _DOUBLE_DIGITS and isfinite(found) and parts(f"{found:.{digits - 1}e}") == same:
        return found
    raise ValueError


def boolean(value: Any) -> bool:
    """A boolean, also of 0 and 1, and of PostgreSQL's spellings."""
    spelled = value.strip().lower() if isinstance(value, str) else str(value) if type(value) is int else None
    if type(value) is bool or spelled in TRUE or spelled in FALSE:
        return value is True or spelled in TRUE
    raise ValueError


def day(value: Any) -> str:
    """A date, also of a timestamp at midnight; a zone must be UTC, since elsewhere the date may be another."""
    text = _moment(value)
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        moment = datetime.fromisoformat(text)
    if moment.time() != time.min or moment.utcoffset() or is_finer(text):
        raise ValueError
    return moment.date().isoformat()


def time_of_day(value: Any) -> str:
    """A time without a zone."""
    if (moment := time.fromisoformat(_moment(value))).tzinfo is None:
        return moment.isoformat()
    raise ValueError


def time_tz(value: Any) -> str:
    """A time with a zone; as in Airbyte, a time without one is in UTC."""
    moment = time.fromisoformat(_moment(value))
    if abs(moment.utcoffset() or timedelta()) >= _FARTHEST:
        raise ValueError
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()


def timestamp(value: Any) -> str:
    """A timestamp without a zone."""
    text = _moment(value)
    if (moment := datetime.fromisoformat(text)).tzinfo is None:
        return text if _ISO.fullmatch(text) else moment.isoformat()
    raise ValueError


def timestamp_tz(value: Any) -> str:
    """A timestamp with a zone; one without is in UTC."""
    text = _moment(value)
    moment = datetime.fromisoformat(text)
    if _ISO.fullmatch(text):
        return text if moment.tzinfo else text + "Z"
    try:
        return (moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
    except OverflowError:
        raise ValueError from None


def is_finer(text: str) -> bool:
    """Whether a time has digits after the microseconds, which are cut."""
    return bool(_FINER.search(text))


def json(value: Any) -> str:
    """JSON of an object or array, also of its text, with the digits of each number."""
    if type(value) is str:
        value = exact_json.parse(value)
    if not isinstance(value, dict | list):
        raise ValueError
    try:
        return orjson.dumps(value, default=_numeric, option=orjson.OPT_PASSTHROUGH_SUBCLASS).decode()
    except TypeError:  # a number that does not fit, or nested too deeply
        raise ValueError from None


def text(value: Any) -> str:
    """The text, or the JSON of another value."""
    if type(value) is str:
        return value
    try:
        return exact_json.dumps(value).decode()
    except TypeError:
        raise ValueError from None


def _spelled(value: Any) -> str:
    """A number as it is written."""
    if isinstance(value, str):
        return value.strip()
    if type(value) is int or type(value) is float:
        return repr(value)
    raise ValueError


def _moment(value: Any) -> str:
    if type(value) is str and not _NO_ZONE.search(value) and not _NUMBER.fullmatch(text := value.strip().upper()):
        return text
    raise ValueError


def _numeric(value: Any) -> orjson.Fragment:
    if type(value) is Number:
        text = number(value)
        value = value if len(value) <= _SHORT else Number(text)
    return exact_json.written(value)
