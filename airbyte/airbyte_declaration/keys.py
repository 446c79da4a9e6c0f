"""What is wrong with the primary key and the cursor of a stream whose columns are known."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from airbyte_declaration.column_types import type_of
from airbyte_declaration.streams import StreamConfiguration


def faults(
    stream: StreamConfiguration, columns: dict[str, Any], *, allows_double: bool = True
) -> Iterator[tuple[str, str]]:
    """Each wrong column in primaryKey or cursorField: the field, and what to set; `columns` has their JSON schemas."""
    for path in stream.primary_key:
        if len(path) > 1:
            columns_alone = ", ".join(f"[{name}]" for name in path)
            yield (
                "primaryKey",
                f"[{', '.join(path)}] is one column inside of another; for a key of several columns write"
                f" primaryKey: [{columns_alone}]",
            )
        elif fault := column_fault(path[0], columns, "key", allows_double=allows_double):
            yield "primaryKey", fault
    if len(stream.cursor_field) > 1:
        yield "cursorField", f"must be one column; write cursorField: [{stream.cursor_field[0]}]"
    elif stream.cursor_field and (fault := column_fault(stream.cursor_field[0], columns, "cursor")):
        yield "cursorField", fault


def column_fault(name: str, columns: dict[str, Any], use: str, *, allows_double: bool = True) -> str | None:
    """Why a column cannot be in a key or be a cursor, as `use` says, or None."""
    if name not in columns:
        nearest = get_close_matches(name, columns, n=1)
        meant = f"; did you mean {nearest[0]}?" if nearest else ""
        return f"the stream has no column {name}, only {', '.join(columns)}{meant}"
    kind = type_of(columns[name])
    if not allows_double and kind == "number" and columns[name].get("format") == "double":
        kind = "number with format double"
    elif kind not in ("object", "array"):
        return None
    return f"the column {name} cannot be a {use}, since its type is {kind}; set another, such as an integer or a string"
