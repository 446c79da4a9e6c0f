"""Finds the schema of files without a declared one: the narrowest type that all values of a column fit."""

from collections.abc import Set
from typing import Any

from source_files.errors import SourceError

_NULLABLE_TEXT: dict[str, Any] = {"type": ["null", "string"]}
# JSON schemas of the types, narrower types first; a string can hold any value.
TYPES: dict[str, dict[str, Any]] = {
    "integer": {"type": ["null", "integer"]},
    "double": {"type": ["null", "number"], "format": "double"},
    "number": {"type": ["null", "number"]},
    "boolean": {"type": ["null", "boolean"]},
    "date": {**_NULLABLE_TEXT, "format": "date"},
    "timestamp": {**_NULLABLE_TEXT, "format": "date-time", "airbyte_type": "timestamp_without_timezone"},
    "timestamp_tz": {**_NULLABLE_TEXT, "format": "date-time", "airbyte_type": "timestamp_with_timezone"},
    "time": {**_NULLABLE_TEXT, "format": "time", "airbyte_type": "time_without_timezone"},
    "object": {"type": ["null", "object"]},
    "array": {"type": ["null", "array"]},
    "string": _NULLABLE_TEXT,
}
BIGINT = range(-(2**63), 2**63)


class Columns:
    """The columns found so far, each with the types that all its values fit."""

    def __init__(self) -> None:
        self._fitting: dict[str, set[str]] = {}

    def fitting(self, name: str) -> set[str]:
        """Types that all values of a column found so far fit. Adds the column if it is new, with all types."""
        return self._fitting.setdefault(name, set(TYPES))

    def narrow(self, name: str, types: Set[str]) -> None:
        """Reduce the types of a column to `types`, and string, which can hold any value."""
        self._fitting[name] = self.fitting(name) & {*types, "string"}

    def json_schema(self, primary_key: list[str]) -> dict[str, Any]:
        """JSON schema of the columns, in the order in which they were found."""
        if not self._fitting:
            raise SourceError("there are no rows to discover the columns from; add one, or declare json_schema")
        if "" in self._fitting:
            raise SourceError("a column has no name; name it, or declare json_schema with the columns to load")
        if missing := [name for name in primary_key if name not in self._fitting]:
            raise SourceError(
                f"no column {', '.join(missing)}, although it is in primary_key; correct the file or primary_key"
            )
        found = {
            # Without any values, the type is unknown.
            name: "string" if len(types) == len(TYPES) else next(kind for kind in TYPES if kind in types)
            for name, types in self._fitting.items()
        }
        return {"type": "object", "properties": {name: TYPES[kind] for name, kind in found.items()}}
