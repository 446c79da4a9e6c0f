"""Stand-ins for what only dbt has, for the SQL linter: the project's variables, and macros that dispatch by adapter."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parents[2] / "dbt_transforms" / "dbt_project.yml"


def var(name: str, default: Any = None) -> Any:
    """A variable of the project."""
    return yaml.safe_load(PROJECT.read_text(encoding="utf-8"))["vars"].get(name, default)


def name(column: str) -> str:
    """A quoted name."""
    return f'"{column}"'


def names(columns: Sequence[str]) -> str:
    """Quoted names with commas between them."""
    return ", ".join(map(name, columns))


def clean(column: str) -> str:
    """A cleaned text."""
    return f"nullif(trim({column}), '')"


def hash_of(columns: Sequence[str]) -> str:
    """The hash of texts."""
    return f"md5({' || '.join(map(name, columns))})"


def as_timestamp(column: str, kind: str) -> str:
    """A timestamp."""
    return f"cast({column} as timestamp)"
