"""Converts Arrow columns to RECORD messages, column by column, without creating a Python object per value."""

from collections.abc import Iterator
from dataclasses import dataclass

import orjson
import pyarrow as pa
import pyarrow.types as pt

from exact_json import has_nul
from source_files.binary_columns import uuids
from source_files.records import frame
from source_files.text_types import pc

# Rows that are converted at once.
_SLICE = 20_000
# Bytes that need no escape in JSON strings.
_PLAIN = bytes(byte for byte in range(0x20, 0x100) if byte not in b'"\\')


@dataclass(eq=False)
class NulError(ValueError):
    """A text contains a NUL character, in this row (from 0) of this column."""

    row: int
    column: str


def unfit(kind: pa.DataType) -> pa.DataType | None:
    """The type that JSON cannot represent, `kind` itself or one nested in it; None if there is none."""
    if isinstance(kind, pa.BaseExtensionType):
        return None if isinstance(kind, pa.UuidType) else unfit(kind.storage_type)
    if pt.is_dictionary(kind):
        return unfit(kind.value_type)
    if pt.is_nested(kind) and not pt.is_union(kind):
        return next(filter(None, (unfit(kind.field(i).type) for i in range(kind.num_fields))), None)
    fit = (
        pt.is_null, pt.is_boolean, pt.is_integer, pt.is_floating, pt.is_decimal,
        pt.is_date, pt.is_time, pt.is_timestamp, pt.is_string, pt.is_large_string, pt.is_string_view,
    )  # fmt: skip
    return None if any(is_it(kind) for is_it in fit) else kind


def lines(stream: str, columns: dict[str, pa.Array]) -> Iterator[pa.Buffer]:
    """Lines of RECORD messages for columns of the same length, whose types JSON can represent.

    Raises:
        NulError: a text contains a NUL character; no lines are returned then.
    """
    try:
        parts = _members(columns)
    except _FoundNulError:
        raise _nul_error(columns) from None
    for start in range(0, len(parts[1]), _SLICE):
        before, behind = frame(stream)
        rows = [part if isinstance(part, str) else part.slice(start, _SLICE) for part in parts]
        # The buffer with all strings of an Arrow array; in a new array they follow one another.
        yield _join(before.decode(), *rows, behind.decode()).buffers()[2]


class _FoundNulError(ValueError):
    pass


def _nul_error(columns: dict[str, pa.Array]) -> NulError:
    found = [
        NulError(row, name)
        for name, values in columns.items()
        if not pt.is_primitive(values.type)
        for row, value in enumerate(values.to_pylist())
        if has_nul(value)
    ]
    return min(found, key=lambda error: error.row)


def _members(columns: dict[str, pa.Array], *, are_nested: bool = False) -> list[str | pa.StringArray]:
    """Parts that form JSON objects when joined row by row; every second part is an array."""
    parts, before = [], "{"
    for name, values in columns.items():
        quote, text = _unquoted(values, are_nested=are_nested)
        parts += [f"{before}{orjson.dumps(name).decode()}:{quote}", text]
        before = f"{quote},"
    return [*parts, before[:-1] + "}"]


def _json(values: pa.Array) -> pa.StringArray:
    quote, text = _unquoted(values, are_nested=True)
    return _join(quote, text, quote) if quote else text


def _unquoted(values: pa.Array, *, are_nested: bool) -> tuple[str, pa.StringArray]:
    """The quote that encloses all values, if any, and the JSON of every value without it.

    A decimal in a list or struct is a number, as in JSON; as the value of a column it is text, which is faster.
    """
    kind, quote = values.type, ""
    if isinstance(kind, pa.UuidType):
        return _unquoted(uuids(values), are_nested=are_nested)
    if isinstance(kind, pa.BaseExtensionType):
        return _unquoted(values.storage, are_nested=are_nested)
    if pt.is_dictionary(kind):
        return _unquoted(values.dictionary_decode(), are_nested=are_nested)
    if pt.is_null(kind):
        return quote, pa.repeat("null", len(values))
    if pt.is_struct(kind):
        members = _members(dict(zip(kind.names, values.flatten(), strict=True)), are_nested=True)
        text = pc.if_else(values.is_valid(), _join(*members), None)
    elif pt.is_nested(kind):
        text = _array(values)
    elif pt.is_boolean(kind) or pt.is_integer(kind) or (are_nested and pt.is_decimal(kind)):
        text = values.cast(pa.string())
    elif pt.is_floating(kind):
        text = _number(values)
    else:
        quote, text = '"', _text(values)
    if not text.null_count:
        return quote, text
    return "", pc.fill_null(_join(quote, text, quote), "null")


def _text(values: pa.Array) -> pa.StringArray:
    """JSON of strings, decimals, dates and times, without quotes."""
    kind = values.type
    if pt.is_timestamp(kind):
        # Arrow stores only the instant of a timestamp with a zone, so it is written in UTC, with a Z.
        moments = values.cast(pa.timestamp(kind.unit, "UTC")) if kind.tz else values
        return pc.replace_substring(moments.cast(pa.string()), " ", "T")
    return _escaped(values.cast(pa.string()))


def _number(values: pa.FloatingPointArray) -> pa.StringArray:
    text = values.cast(pa.string())
    if pc.all(pc.is_finite(values), min_count=0).as_py():
        return text
    for shown, name in {"nan": '"NaN"', "inf": '"Infinity"', "-inf": '"-Infinity"'}.items():
        text = pc.if_else(pc.equal(text, shown), name, text)
    return text


def _array(values: pa.ListArray) -> pa.StringArray:
    """JSON of lists and maps; Arrow stores a map as a list of pairs."""
    is_map = pt.is_map(kind := values.type)
    if is_map:
        values = values.cast(pa.list_(pa.struct([kind.key_field, kind.item_field])))
    parts = values.flatten()
    if is_map:
        keys, items = parts.flatten()
        texts, brackets = _join(_json(keys.cast(pa.string())), ":", _json(items)), "{}"
    else:
        texts, brackets = _json(parts), "[]"
    ends = pc.cumulative_sum(pc.list_value_length(values).fill_null(0).cast(pa.int64()))
    offsets = pa.concat_arrays([pa.array([0], pa.int64()), ends]).cast(pa.int32())
    together = pc.binary_join(pa.ListArray.from_arrays(offsets, texts), ",")
    return pc.if_else(values.is_valid(), _join(brackets[0], together, brackets[1]), None)


def _escaped(text: pa.StringArray) -> pa.StringArray:
    """The text with the escapes of a JSON string, without quotes; raises _FoundNulError."""
    # Checks the whole buffer, which may be larger than a slice: an unnecessary replacement does no harm.
    found = set(bytes(text.buffers()[2] or b"").translate(None, _PLAIN))
    if 0 in found and pc.any(pc.match_substring(text, "\0")).as_py():
        raise _FoundNulError
    for byte in sorted(found, key=lambda byte: byte != ord("\\")):  # the backslash first, since escapes contain it
        text = pc.replace_substring(text, chr(byte), orjson.dumps(chr(byte))[1:-1].decode())
    return text


def _join(*parts: str | pa.StringArray) -> pa.StringArray:
    # With an explicit type, since inferring it would make Arrow look for packages each time.
    typed = [pa.scalar(part, pa.string()) if isinstance(part, str) else part for part in parts]
    return pc.binary_join_element_wise(*typed, pa.scalar("", pa.string()))
