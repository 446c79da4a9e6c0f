"""Which columns a file must have, and columns whose values are in its name."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

# Hive's name of the folder for null.
_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class FileColumns:
    """What is known of a file's columns before it is read."""

    # Columns with the same value in all rows, which are not read from the file.
    constants: dict[str, str | None] = field(default_factory=dict)
    # The columns that the file must have; None means all.
    required: Collection[str] | None = None

    def own(self, columns: Collection[str]) -> list[str]:
        """Those of the columns that are read from the file."""
        return [name for name in columns if name not in self.constants]

    def missing(self, columns: Collection[str], names: Collection[str]) -> list[str]:
        """Those of the columns that the file must have, but are not among its `names`.

        A file with none of the columns is certainly a wrong one.
        """
        own = self.own(columns)
        if self.required is None or not any(name in names for name in own):
            return [name for name in own if name not in names]
        return [name for name in own if name in self.required and name not in names]

    def present(self, file: str, columns: Collection[str], names: Collection[str], warn: Callable[[str], None]) -> list:
        """Those of the columns to read from a file with these names; warns of the others, which become null."""
        own = self.own(columns)
        if absent := [name for name in own if name not in names]:
            warn(f"{file}: no column {', '.join(absent)}, so it is null in all rows of this file")
        return [name for name in own if name in names]

    def complete(self, columns: Collection[str], values: dict[str, Any], count: int) -> dict[str, Any]:
        """Arrow arrays of all columns, given those that were read from `count` rows."""
        import pyarrow as pa

        def constant(name: str) -> pa.Array:
            return pa.repeat(pa.scalar(self.constants.get(name), pa.string()), count)

        return {name: values[name] if name in values else constant(name) for name in columns}


def name_of(file: str, pattern: str | None) -> str:
    """The last part of a path or URL; of a file of a pattern, all that follows the pattern's first fixed folders."""
    fixed = re.split(r"[*?\[]", pattern)[0] if pattern else file
    return _shown(file[fixed.rfind("/") + 1 :])


def partitions_of(file: str) -> dict[str, str | None]:
    """The values of Hive partitions, such as year=2024, in the folders of a path or URL."""
    pairs = [folder.split("=", 1) for folder in file.split("/")[:-1] if re.match("[^=]+=", folder)]
    return {unquote(name): None if value == _NULL else _shown(unquote(value)) for name, value in pairs}


def _shown(text: str) -> str:
    """Text of a path, whose bytes may be no UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
