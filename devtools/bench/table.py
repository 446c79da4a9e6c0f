"""The rows of `make bench`: merged into bench.json one by one as they are measured, and printed as a table."""

import fcntl
import json
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from stack.errors import StackError
from stack.settings import write_private


@dataclass(frozen=True)
class Row:
    """A measured number and its limit.

    Attributes:
        bound: highest ratio to the rival or, without a rival, highest value that is ok.
        rival: what the value is compared with, in words.
        rival_value: the rival's value, of the same unit and measured in the same run.
        rounds: number of rounds, where it is not the number that the group asks for.
    """

    name: str
    value: float
    unit: str
    bound: float
    rival: str | None = None
    rival_value: float | None = None
    rounds: int | None = None

    def facts(self, group: str) -> dict[str, Any]:
        """The row as it is stored in bench.json."""
        value = round(self.value, 2)
        ratio = round(self.value / self.rival_value, 2) if self.rival_value else None
        facts = {"name": f"{group}/{self.name}", "value": value, "unit": self.unit, "rival": self.rival}
        facts |= {"ratio": ratio, "bound": self.bound, "ok": (value if ratio is None else ratio) <= self.bound}
        return facts | ({"rounds": self.rounds} if self.rounds else {})


@dataclass(frozen=True)
class Options:
    """Options of a group, which writes to `var`/bench/ only; rounds None: the group's own number."""

    var: Path
    console: Console
    source: str | None = None
    config: Path | None = None
    rounds: int | None = None


# A row yielded again, as the median of more rounds, replaces the earlier one.
Group = Callable[[Options], Generator[Row]]


def measure(groups: Mapping[str, Group], options: Options, *, only: str | None = None) -> bool:
    """Measure all groups or one, and print a table; returns whether every measured row is ok.

    Each row is merged into `var`/bench.json at once, so that an interrupted bench loses none.
    """
    if only and only not in groups:
        raise StackError(f"unknown group {only}; ONLY=… takes one of: {', '.join(groups)}")
    measured: dict[str, dict[str, Any]] = {}
    try:
        with _alone(options.var / "bench"):
            for group in [only] if only else groups:
                with closing(groups[group](options)) as rows:
                    for row in rows:
                        facts = row.facts(group)
                        merge(facts, options.var / "bench.json")
                        measured[facts["name"]] = facts
                        options.console.print(_progress(facts), highlight=False)
    finally:
        if measured:
            show(measured.values(), options.console)
    return all(facts["ok"] for facts in measured.values())


def merge(facts: dict[str, Any], path: Path) -> None:
    """Replace the row of the same name, or append one; the file is replaced in one step."""
    rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    by_name = {row["name"]: row for row in rows} | {facts["name"]: facts}
    write_private(path, json.dumps(list(by_name.values()), indent=2, ensure_ascii=False) + "\n")


def show(rows: Iterable[dict[str, Any]], console: Console) -> None:
    """Print rows as a table."""
    table = Table(box=None, header_style="dim")
    for column in ("name", "value", "unit", "rival", "ratio", "bound", "ok", "rounds"):
        number = column in ("value", "ratio", "bound", "rounds")
        table.add_column(column, justify="right" if number else "left", no_wrap=column == "name")
    for row in rows:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        judged = [f"{row['bound']:g}", "[green]✓[/]" if row["ok"] else "[red]✗[/]", str(row.get("rounds", ""))]
        table.add_row(row["name"], f"{row['value']:.2f}", row["unit"], row["rival"] or "", ratio, *judged)
    console.print(table)


def _progress(facts: dict[str, Any]) -> str:
    text = f"  {facts['name']:30}{facts['value']:8.2f} {facts['unit']}"
    return f"{text:44}after {facts['rounds']}" if "rounds" in facts else text


@contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Lock out other benches of this instance, which would disturb each other."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StackError(f"another bench is running in {folder}: wait until it ends") from None
        yield
