"""Google's analyser on the queries that BigQuery's stand-in has received; standard library only, as conftest.py."""

import json
import re
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ANALYSER = [ROOT / "var" / "env" / "zetasql" / "bin" / "python", ROOT / "tests" / "sql" / "analyser.py"]
FALSE_ALARMS = ROOT / "tests" / "sql" / "false_alarms.toml"
# What differs between two queries of one shape: text, numbers that begin no name, and random parts of names.
_VARYING = re.compile(r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"|\b[0-9][0-9.]*\b|[0-9a-f]{12,}")


@dataclass(frozen=True)
class Refused:
    """A query that the analyser refuses, and why."""

    sql: str
    message: str

    def __str__(self) -> str:
        return f"{self.message}\n{self.sql.strip()}"


def false_alarms() -> list[dict[str, Any]]:
    """The analyser's known errors about correct statements; see the file."""
    return tomllib.loads(FALSE_ALARMS.read_text()).get("alarm", [])


def is_explained(found: Refused, alarm: dict[str, Any]) -> bool:
    """Whether an error is a known false alarm."""
    return bool(re.search(alarm["statement"], found.sql) and re.search(alarm["message"], found.message))


def analyse(queries: list[dict[str, Any]]) -> list[Refused]:
    """What the analyser refuses of queries, which are as `emulators.bigquery --statements` writes them."""
    lines = "".join(json.dumps(query) + "\n" for query in queries)
    done = subprocess.run(ANALYSER, input=lines, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return [Refused(query["sql"], error) for query, error in zip(queries, answers, strict=True) if error]


def refused(statements: Path) -> list[Refused]:
    """What the analyser refuses of a file of queries, without those that failed and without known false alarms.

    Of queries that differ only in values, the first is analysed.
    """
    queries = [json.loads(line) for line in statements.read_text().splitlines()]
    distinct = {_VARYING.sub("?", query["sql"]): query for query in reversed(queries) if not query["error"]}
    known = false_alarms()
    return [found for found in analyse(list(distinct.values())) if not any(is_explained(found, each) for each in known)]
