"""Stand-ins for what only dbt has, for the SQL linter: the project's variables, and macros that dispatch by adapter."""

from pathlib import Path

import yaml

PROJECT = Path(__file__).resolve().parents[3] / "dbt_transforms" / "dbt_project.yml"


def var(name, default=None):
    """A variable of the project."""
    return yaml.safe_load(PROJECT.read_text())["vars"].get(name, default)


def name(column):
    return f'"{column}"'


def names(columns):
    return ", ".join(map(name, columns))


def clean(column):
    return f"nullif(trim({column}), '')"


def hash_of(columns):
    return f"md5({' || '.join(map(name, columns))})"


def as_timestamp(column, kind):
    return f"cast({column} as timestamp)"
