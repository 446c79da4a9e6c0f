"""Compare the latest runs of two instances: their code, the content of their tables, and their times."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

# Largest difference of two numbers that count as equal.
TOLERANCE = 1e-9
# Differing rows of which the first are shown, and characters of a value.
SHOWN = 3
LENGTH = 40

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Side:
    """An instance: the name of its place, its last summary, and the rows of its tables (None: a table is missing)."""

    place: str
    summary: dict[str, Any]
    tables: dict[str, Rows | None]


def show(a: Side, b: Side, ignored: Iterable[str], console: Console) -> bool:
    """Print what two runs have in common and what not; returns whether code and tables are equal.

    Args:
        a: one instance.
        b: the other.
        ignored: names of columns that are not compared; nor are those that begin with `_`.
        console: where to print.
    """
    differing = [*_code(a, b)]
    if not differing:
        console.print("[green]✓[/] the same DAG files and packages", highlight=False)
    for side in (a, b):
        if side.summary["state"] != "success":
            differing.append(
                f"the last run of {side.place} did not succeed: {side.summary.get('error') or 'see its summary'}"
            )
    for name in a.tables | b.tables:
        rows, others = a.tables.get(name), b.tables.get(name)
        if rows is None or others is None:
            lacking = ", ".join(side.place for side in (a, b) if side.tables.get(name) is None)
            differing.append(f"table {name}: missing in {lacking}")
            continue
        compared, found = _table(rows, others, set(ignored))
        differing += [f"table {name}: {each}" for each in found]
        if not found:
            console.print(f"[green]✓[/] {name}: {len(rows)} rows, equal in {', '.join(compared)}", highlight=False)
    for each in differing:
        console.print(f"[red]✗[/] {escape(each)}", highlight=False)
    console.print(_times(a, b))
    return not differing


def _code(a: Side, b: Side) -> Iterator[str]:
    for kind, what in (("dags", "DAG file"), ("packages", "packages of")):
        ours, theirs = ((side.summary.get("code") or {}).get(kind, {}) for side in (a, b))
        # An environment that only one place needs is no difference.
        for name in sorted(ours.keys() & theirs.keys()):
            if ours[name] != theirs[name]:
                yield f"{what} {name}: {ours[name]} in {a.place}, {theirs[name]} in {b.place}"
    if not (a.summary.get("code") and b.summary.get("code")):
        yield "a run did not record its code: run it again"


def _table(rows: Rows, others: Rows, ignored: set[str]) -> tuple[list[str], list[str]]:
    """The columns that were compared, and the differences."""
    if not rows or not others:
        return [], [] if rows == others else [f"{len(rows)} rows and {len(others)}"]
    names = [[name for name in side[0] if not name.startswith("_") and name not in ignored] for side in (rows, others)]
    if sorted(names[0]) != sorted(names[1]):
        return [], [f"columns {', '.join(names[0])} and {', '.join(names[1])}"]
    columns, differences = names[0], []
    if len(rows) != len(others):
        differences.append(f"{len(rows)} rows and {len(others)}")
    ours, theirs = (
        sorted(([_plain(row[name]) for name in columns] for row in side), key=repr) for side in (rows, others)
    )
    pairs = [(one, other) for one, other in zip(ours, theirs, strict=False) if not all(map(_is_equal, one, other))]
    for one, other in pairs[:SHOWN]:
        unequal = [each for each in zip(columns, one, other, strict=True) if not _is_equal(*each[1:])]
        texts = (f"{name} {_short(x)} and {_short(y)}" for name, x, y in unequal)
        differences.append(f"row {_short(one[0])}: {'; '.join(texts)}")
    if len(pairs) > SHOWN:
        differences.append(f"{len(pairs) - SHOWN} more rows differ")
    return columns, differences


def _plain(value: Any) -> Any:
    """A value as one that both kinds of warehouse have."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime) and value.tzinfo:
        # PostgreSQL gives times in the time zone of its server.
        value = value.astimezone(UTC)
    return value.isoformat() if isinstance(value, datetime | date) else value


def _is_equal(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=0, abs_tol=TOLERANCE)
    return one == other


def _short(value: Any) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= LENGTH else f"{text[:LENGTH]}…"


def _times(a: Side, b: Side) -> Table:
    """Seconds of the graphs and their tasks, side by side."""
    table = Table("seconds", a.place, b.place, box=None, header_style="dim")
    for dag_id in ("dataops", "mlops"):
        graphs = [side.summary.get(dag_id) or {"seconds": None, "tasks": {}} for side in (a, b)]
        table.add_row(f"[bold]{dag_id}[/]", *(str(graph["seconds"]) for graph in graphs))
        for task in graphs[0]["tasks"] | graphs[1]["tasks"]:
            table.add_row(f"  {task}", *(str((graph["tasks"].get(task) or {}).get("seconds")) for graph in graphs))
    return table
