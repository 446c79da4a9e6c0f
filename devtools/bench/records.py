"""Generated records, the same on every machine, as a CSV file and as prepared messages."""

import csv
import io
import json
import random
from collections.abc import Iterable
from datetime import date, timedelta
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any

# Name, JSON schema of the value, and type in PostgreSQL.
COLUMNS = (
    ("id", {"type": "integer"}, "bigint"),
    ("quantity", {"type": "integer"}, "bigint"),
    ("price", {"type": "number"}, "numeric"),
    ("active", {"type": "boolean"}, "boolean"),
    ("released", {"type": "string", "format": "date"}, "date"),
    (
        "updated",
        {"type": "string", "format": "date-time", "airbyte_type": "timestamp_without_timezone"},
        "timestamp without time zone",
    ),
    ("name", {"type": "string"}, "text"),
    ("note", {"type": "string"}, "text"),
)
NAMES = tuple(name for name, _, _ in COLUMNS)
JSON_SCHEMA = {"type": "object", "properties": {name: schema for name, schema, _ in COLUMNS}}
SEED = 4
# All ids have eight digits, so that all records are equally long.
FIRST_ID = 10_000_000
# Number of records after which all values but the ids repeat.
PERIOD = 100_000
DAYS = tuple((date(2000, 1, 1) + timedelta(days)).isoformat() for days in range(8192))
TEXTS = ("tokens", "plain text", "baseline", "dataset", "1e5", "007")
# Texts that are hard to read correctly: a fifth of all.
HARD_TEXTS = ('"yes", twice', "Ünïcødé, 数据", '"quoted"', "a, b, c", "naïve 😀")


def write_csv(path: Path, count: int) -> None:
    """Write records as a CSV file with a header: UTF-8, 82 bytes a record; a longer file begins like a shorter one."""
    rows = io.StringIO(newline="")
    csv.writer(rows, lineterminator="\n").writerows(
        (*values[:2], "true" if values[2] else "false", *values[3:]) for values in _values()
    )
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(f"{','.join(NAMES)}\n")
        file.writelines(f"{number},{row}\n" for number, row in _numbered(count, rows.getvalue().split("\n")[:-1]))


def write_messages(path: Path, count: int, stream: str) -> None:
    """Write the output of a connector that reads the same records as a stream: a RECORD message each, two statuses."""
    record = {"stream": stream, "emitted_at": 1_700_000_000_000, "data": {}}
    start = _message("RECORD", record).removesuffix("}}}")
    rows = [_json(dict(zip(NAMES[1:], values, strict=True)))[1:] for values in _values()]
    with path.open("w", encoding="utf-8") as file:
        file.write(_status(stream, "STARTED"))
        file.writelines(f'{start}"id":{number},{row}}}}}\n' for number, row in _numbered(count, rows))
        file.write(_status(stream, "COMPLETE"))


@cache
def _values() -> list[tuple[Any, ...]]:
    """All columns but the id, as JSON values, of the records of one period."""
    chance = random.Random(SEED)  # noqa: S311 - no secret
    found = []
    for _ in range(PERIOD):
        numbers = chance.randrange(10_000), chance.randrange(100_000) / 100, chance.random() < 0.5
        second = chance.randrange(86_400)
        updated = f"{chance.choice(DAYS)}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
        found.append((*numbers, chance.choice(DAYS), updated, _text(chance), _text(chance)))
    return found


def _text(chance: random.Random) -> str:
    return f"{chance.choice(HARD_TEXTS if chance.random() < 0.2 else TEXTS)} {chance.randrange(1000)}"


def _numbered(count: int, rows: list[str]) -> Iterable[tuple[int, str]]:
    return zip(range(FIRST_ID, FIRST_ID + count), cycle(rows), strict=False)


def _status(stream: str, status: str) -> str:
    told = {"stream_descriptor": {"name": stream}, "status": status}
    return _message("TRACE", {"type": "STREAM_STATUS", "emitted_at": 1_700_000_000_000, "stream_status": told}) + "\n"


def _message(kind: str, content: dict[str, Any]) -> str:
    return _json({"type": kind, kind.lower(): content})


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))
