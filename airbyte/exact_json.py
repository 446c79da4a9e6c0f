"""JSON without a change of its numbers: those that neither a 64-bit integer nor a double holds are kept as text."""

import json
import re
from collections.abc import Callable
from typing import Any, NoReturn

import orjson

_64_BITS = range(-(2**63), 2**64)
# A number, also as files write it: with a plus, or without digits on one side of the point.
_NUMBER = re.compile(r"([+-]?)(?=\.?[0-9])([0-9]*)\.?([0-9]*)(?:[eE]([+-]?[0-9]+))?")
# A number in JSON that orjson may change: with an exponent, a point and 16 digits, or too long for 64 bits. All other
# doubles have at most 15 digits, and these come back from a double as they were.
_POINTS = "|".join([*(rf"[0-9]{{{count}}}\.[0-9]{{{16 - count}}}" for count in range(1, 16)), r"[0-9]{16,}\."])
_WIDE = rf"(?:^|[:,\[])[ \t\r\n]*(-[0-9]{{19}}[0-9.eE+-]*|-?(?:[0-9]{{20}}|[0-9.]+[eE]|{_POINTS})[0-9.eE+-]*)"
_WIDE_NUMBERS = re.compile(_WIDE.encode())
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class Number(str):
    """The text of a number in JSON."""

    __slots__ = ()


def loads(text: bytes) -> Any:
    """Parse JSON; if a number needs it, those with a point or an exponent and the longest integers become `Number`.

    Raises:
        ValueError: the text is not JSON.
    """
    return loader(text)(text)


def loader(text: bytes) -> Callable[[bytes], Any]:
    """What `loads` does with this text, also for parts of it: looking at each small part would take longer."""
    return (lambda part: parse(part.decode())) if has_wide(text) else orjson.loads


def parse(text: str) -> Any:
    """Parse JSON; every number with a point or an exponent becomes a `Number`, and so do the longest integers.

    Raises:
        ValueError: the text is not JSON.
    """
    try:
        value = _DECODER.decode(text)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()  # fails for half of a pair
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def dumps(value: Any, option: int = 0) -> bytes:
    """JSON of a parsed value, with the digits of each `Number`; raises TypeError if it is nested too deeply."""
    return orjson.dumps(value, default=written, option=option | orjson.OPT_PASSTHROUGH_SUBCLASS)


def written(value: Any) -> orjson.Fragment:
    """The JSON of a `Number`, for orjson: as it would be if it had been parsed as a double, or as it is."""
    if type(value) is Number:
        return orjson.Fragment(orjson.dumps(float(value)) if _is_kept(value) else str(value))
    raise TypeError


def has_wide(text: bytes) -> bool:
    """Whether JSON text may contain a number that orjson would change; a text in it may look like one."""
    import pyarrow as pa  # slow to import, and reading JSON Lines does not need it
    from pyarrow import compute

    pc: Any = compute  # creates its functions at import, so type checkers do not see them
    # Several times as fast as Python's own search.
    if not pc.match_substring_regex(pa.scalar(text, pa.large_binary()), _WIDE).as_py():
        return False
    return not all(_is_kept(found.decode()) for found in _WIDE_NUMBERS.findall(text))


def is_exact(text: str) -> bool:
    """Whether doubles and 64-bit integers hold every number in JSON text."""
    if not _WIDE_NUMBERS.search(text.encode()):
        return True
    found: list[int | str] = []
    json.loads(text, parse_float=found.append, parse_int=lambda digits: found.append(_integer(digits)))
    return all(isinstance(number, int) or is_double(number) for number in found)


def has_nul(value: Any) -> bool:
    """Whether a text, or any text in an object or array, contains a NUL character."""
    left = [value]  # values may be nested too deeply for recursion
    while left:
        match left.pop():
            case str(text) if "\0" in text:
                return True
            case dict(members):
                left += [*members, *members.values()]
            case list(parts) | tuple(parts):
                left += parts
    return False


def _is_kept(text: str) -> bool:
    """Whether orjson keeps a number: it turns an integer beyond 64 bits into a double, even if that is equal."""
    return not text.removeprefix("-").isdigit() and is_double(text)


def is_double(text: str) -> bool:
    """Whether a number comes back from a double as it was."""
    try:
        short = repr(float(text))
        return short == text or parts(short) == parts(text)
    except ValueError:
        return False


def parts(text: str) -> tuple[str, str, int]:
    """Sign, digits and power of ten of a number: equal numbers have equal parts; zero has no sign and no digits.

    Raises:
        ValueError: not a number.
    """
    found = _NUMBER.fullmatch(text)
    if not found:
        raise ValueError(text)
    sign, whole, fraction, power = found.groups()
    digits = (whole + fraction).lstrip("0")
    kept = digits.rstrip("0")
    if not kept:
        return "", "", 0
    return sign.replace("+", ""), kept, int(power or 0) - len(fraction) + len(digits) - len(kept)


def _integer(text: str) -> int | Number:
    # Python is slow at converting very long integers, and refuses the longest.
    return int(text) if len(text) <= 20 and int(text) in _64_BITS else Number(text)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_float=Number, parse_int=_integer, parse_constant=_refuse)
