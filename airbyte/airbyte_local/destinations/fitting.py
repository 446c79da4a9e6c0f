"""How the columns of a stream fit a table that exists: types that stay or widen, and columns that are not ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pyarrow as pa

from airbyte_local.columns import Column, Converted, Kind, pc
from airbyte_local.destinations.contract import GENERATION, OWN, DestinationError, Table

# Kinds that hold every value of two others, by the kind of the table and the discovered one. Text holds every value
# too, but whoever computes with the table's numbers and dates could no longer do so.
WIDER = {
    (Kind.INTEGER, Kind.NUMBER): Kind.NUMBER,
    (Kind.INTEGER, Kind.DOUBLE): Kind.NUMBER,
    (Kind.DOUBLE, Kind.NUMBER): Kind.NUMBER,
    (Kind.DATE, Kind.TIMESTAMP): Kind.TIMESTAMP,
}
_DAY, _CLOCK, _ZONE = (
    "[0-9]{4}-[0-9]{2}-[0-9]{2}",
    r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?",
    "(Z|[+-][0-9:]{5,6})",
)
_DECIMAL = r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?"
# Texts that lose nothing but formatting when they are converted; 007 would lose its zeros.
_LOSSLESS = {
    Kind.INTEGER: "0|-?[1-9][0-9]*",
    Kind.NUMBER: _DECIMAL,
    Kind.DOUBLE: _DECIMAL,
    Kind.BOOLEAN: "(?i)true|false",
    Kind.DATE: _DAY,
    Kind.TIME: _CLOCK,
    Kind.TIME_TZ: _CLOCK + _ZONE,
    Kind.TIMESTAMP: f"{_DAY}([T ]{_CLOCK})?",
    Kind.TIMESTAMP_TZ: f"{_DAY}[T ]{_CLOCK}{_ZONE}",
}
# Names of columns that a message shows.
_SHOWN = 5


@dataclass(frozen=True)
class Existing:
    """A column of a table that exists."""

    # As the database names it.
    type: str
    # What the column can hold; None: a type that no stream has.
    kind: Kind | None
    # Whether it holds only some values of its kind, as numeric(38,9) and varchar(10) do.
    is_narrow: bool = False
    # Whether a row has to give a value, because the column is NOT NULL without a default.
    is_required: bool = False
    # Whether only the database gives the values.
    is_generated: bool = False


@dataclass(frozen=True)
class Fit:
    """What has to be done to a table before the rows of a stream fit it."""

    # The table with the kinds that its columns will have.
    table: Table
    # Columns to add, and columns whose type has to change.
    missing: dict[str, Kind]
    changed: dict[str, Kind]


@dataclass(frozen=True)
class Kept(Column):
    """A column whose kind is that of the table, and not the discovered one: every value has to fit it without loss."""

    table: str
    # Names of the types.
    type: str
    discovered: str

    def convert(self, values: Sequence[Any] | pa.Array) -> Converted:
        """Convert as `Column` does; raises DestinationError for a value that does not fit."""
        converted = super().convert(values)
        unfit = next(iter(converted.unfit.values()), None)
        if unfit is None and converted.array.null_count < len(converted.array):
            unfit = _changed(self.kind, values, converted.array)
        if unfit is not None:
            raise DestinationError(
                f"column {self.name} of table {self.table} is {self.type}, but the stream's discovered type is"
                f" {self.discovered}, and {unfit!r:.100} does not fit {self.type} without loss; correct the value,"
                " declare json_schema in the source's configuration, or drop the column and sync again"
            )
        return converted


def fit(
    table: Table,
    existing: Mapping[str, Existing],
    types: Mapping[Kind, str],
    wider: Mapping[tuple[Kind, Kind], Kind],
) -> Fit:
    """Compare a stream with the columns of its table.

    Args:
        table: the stream's table.
        existing: the columns that the table has.
        types: names of the database's types.
        wider: the members of WIDER to which the database can change a column.

    Raises:
        DestinationError: the table is another stream's, or a column does not fit.
    """
    _check_others(table, existing)
    columns, changed = [], {}
    for column in table.columns:
        found, wanted = existing.get(column.name), types[column.kind]
        if found is None or found.type == wanted:
            columns.append(column)
            continue
        is_discovered = column.name in table.discovered
        if found.kind is None or (found.kind is not column.kind and not is_discovered):
            says = f"the stream declares {wanted}; change the declaration back"
            if is_discovered:
                says = f"the stream's discovered type is {wanted}; declare another one as json_schema of the source"
            raise DestinationError(
                f"column {column.name} of table {table} is {found.type}, but {says}, or drop the column and sync again"
            )
        kind = wider.get((found.kind, column.kind), found.kind)
        if kind is not found.kind or found.is_narrow:
            changed[column.name] = kind
        columns.append(column if kind is column.kind else Kept(column.name, kind, str(table), types[kind], wanted))
    fitted = replace(table, columns=tuple(columns), has_generation=GENERATION in existing)
    for name, kind in OWN.items():
        if name in existing and existing[name].kind is not kind:
            raise DestinationError(
                f"column {name} of table {table} is {existing[name].type}, but has to be {types[kind]}; rename it"
            )
    return Fit(fitted, {name: kind for name, kind in fitted.kinds.items() if name not in existing}, changed)


def _check_others(table: Table, existing: Mapping[str, Existing]) -> None:
    """Check that a table is the stream's, and that the columns of others do no harm."""
    given = [column.name for column in table.columns]
    others = [name for name in existing if name not in table.kinds and not name.startswith("_airbyte_")]
    if others and not existing.keys() & set(given):
        raise DestinationError(
            f"table {table} has the columns {_shown(others)}, but the stream has only {_shown(given)}: this may be an"
            " error page, or the stream of another table; nothing was written. Correct the source, set another prefix,"
            " or drop the table and sync again"
        )
    for name in others:
        if existing[name].is_required:
            raise DestinationError(
                f"column {name} of table {table} is NOT NULL without a default, and the stream has no such column; give"
                " it a default, or let it be null"
            )
    for name in given:
        if name in existing and existing[name].is_generated:
            raise DestinationError(
                f"column {name} of table {table} is generated by the database, but the stream has a column of this"
                " name; rename one of them"
            )


def _changed(kind: Kind, values: Sequence[Any] | pa.Array, converted: pa.Array) -> Any:
    """The first of the values that lost something when it was converted, or None."""
    if kind not in _LOSSLESS:
        return None
    if isinstance(values, pa.Array):
        texts = values if pa.types.is_string(values.type) else pa.array([], pa.string())
    else:
        texts = pa.array([value for value in values if isinstance(value, str)], pa.string())
    odd = texts.filter(pc.invert(pc.match_substring_regex(texts, f"^({_LOSSLESS[kind]})$")).fill_null(False))
    if len(odd):
        return odd[0].as_py()
    if kind is Kind.DOUBLE:
        given = values.to_pylist() if isinstance(values, pa.Array) else values
        pairs = zip(given, converted.to_pylist(), strict=True)
        return next((value for value, found in pairs if found is not None and not _is_exact(value, found)), None)
    return None


def _is_exact(value: Any, found: float) -> bool:
    return isinstance(value, float) or Decimal(str(value)) == Decimal(repr(found))


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
