"""Turns binary columns of Parquet into text: UUIDs as they are usually written, other values if they are UTF-8."""

from collections.abc import Iterable, Iterator

import orjson
import pyarrow as pa
import pyarrow.types as pt

from source_files.text_types import pc


def text_type(kind: pa.DataType) -> pa.DataType:
    """The type with text instead of binary values, also in lists, structs and maps."""
    if pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_fixed_size_binary(kind) or pt.is_binary_view(kind):
        return pa.string()
    if pt.is_dictionary(kind):
        return kind if (value := text_type(kind.value_type)) == kind.value_type else value
    if pt.is_struct(kind):
        return pa.struct([field.with_type(text_type(field.type)) for field in kind])
    if pt.is_map(kind):
        return pa.map_(text_type(kind.key_type), text_type(kind.item_type))
    if pt.is_list(kind):
        return pa.list_(kind.value_field.with_type(text_type(kind.value_type)))
    return kind


def as_text(values: pa.Array) -> tuple[pa.Array, list[int]]:
    """Values with text instead of binary values; those that are no UTF-8 become null, and their rows are returned."""
    kind = text_type(values.type)
    if kind == values.type:
        return values, []
    if _fit(values, kind):
        return values.cast(kind), []
    # A slice of lists would be cast with the values of all rows.
    bad = [row for row in range(len(values)) if not _fit(values.take(pa.array([row])), kind)]
    left = set(range(len(values))).difference(bad)
    return values.take(pa.array([row if row in left else None for row in range(len(values))], pa.int64())).cast(
        kind
    ), bad


def _fit(values: pa.Array, kind: pa.DataType) -> bool:
    try:
        values.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def uuids(values: pa.ExtensionArray) -> pa.StringArray:
    """UUIDs as text, such as 123e4567-e89b-12d3-a456-426614174000."""
    storage = pc.fill_null(values.storage, bytes(16))
    digits = storage.buffers()[1][16 * storage.offset :].to_pybytes()[: 16 * len(storage)].hex().encode()
    text = pa.Array.from_buffers(pa.binary(32), len(storage), [None, pa.py_buffer(digits)]).cast(pa.string())
    parts = [
        pc.utf8_slice_codeunits(text, start, end) for start, end in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
    ]
    return pc.if_else(values.is_valid(), pc.binary_join_element_wise(*parts, "-"), None)


def with_notes(records: Iterable[pa.Buffer], nulled: dict[str, list[int]]) -> Iterator[bytes]:
    """Lines of RECORD messages with notes about the values that as_text made null, given their rows by column."""
    notes: dict[int, list[dict[str, str]]] = {}
    for name, rows in nulled.items():
        for row in rows:
            note = {"field": name, "change": "NULLED", "reason": "SOURCE_SERIALIZATION_ERROR"}
            notes.setdefault(row, []).append(note)
    lines = [line for record in records for line in record.to_pybytes().split(b"\n")[:-1]]
    for row, changes in notes.items():
        lines[row] = lines[row][:-2] + b',"meta":' + orjson.dumps({"changes": changes}) + b"}}"
    yield b"\n".join([*lines, b""])
