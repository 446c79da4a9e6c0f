"""What the values of each column look like."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pipeline.labels import WHITE_SPACE

# Different values that are counted of a column; beyond, it is only known that there are many.
COUNTED = 200_000
EXAMPLES = 3


def text_of(value: Any) -> str:
    """A value as a column of texts has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


@dataclass
class Column:
    """The values of a column.

    Attributes:
        type: as an application's file names it; None: one that it does not know.
        filled: rows with a value that is not blank.
        values: rows by value.
        characters: of all values together.
        low: the smallest whole number.
        high: the largest one.
    """

    type: str | None
    filled: int = 0
    values: Counter[str] = field(default_factory=Counter)
    characters: int = 0
    words: int = 0
    low: int | None = None
    high: int | None = None

    def add(self, value: Any) -> None:
        """Count a value."""
        text = text_of(value)
        if not text.strip(WHITE_SPACE):
            return
        if self.type == "integer":
            self._add_whole(text.strip())
        self.filled += 1
        self.characters += len(text)
        self.words += len(text.split())
        if len(self.values) < COUNTED or text in self.values:
            self.values[text] += 1

    def _add_whole(self, text: str) -> None:
        # Types are told by the first rows; what a later one adds, such as 007, may be no number.
        if not re.fullmatch("0|-?[1-9][0-9]*", text):
            self.type = "text"
            return
        whole = int(text)
        self.low = whole if self.low is None else min(self.low, whole)
        self.high = whole if self.high is None else max(self.high, whole)

    @property
    def distinct(self) -> int:
        """Different values, of more than `COUNTED` a lower bound."""
        return len(self.values)

    @property
    def length(self) -> float:
        """Mean number of characters."""
        return self.characters / self.filled if self.filled else 0.0

    def is_unique(self, rows: int) -> bool:
        """Whether each row has a value of its own."""
        return self.filled == rows > 0 and self.distinct == min(rows, COUNTED)

    def examples(self) -> list[str]:
        """A few frequent values."""
        return [value for value, _ in self.values.most_common(EXAMPLES)]


@dataclass
class Profile:
    """The columns of a file by name, and the number of its rows."""

    columns: dict[str, Column]
    rows: int = 0


def profile(types: dict[str, str | None], rows: Iterable[dict[str, Any]]) -> Profile:
    """Count the values of all rows."""
    found = Profile({name: Column(kind) for name, kind in types.items()})
    for row in rows:
        found.rows += 1
        for name, column in found.columns.items():
            column.add(row.get(name))
    return found
