"""Any table of typed values, written as CSV, JSON Lines or Parquet, arrives as it was."""

import csv
import json
import logging
import os
import sys
import uuid
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airbyte_testing import PYTHONPATH, connection_of, destination_of
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from stored_connection import stored

from airbyte_local.connectors.process import Connector
from airbyte_local.destinations.config_models import PostgresConfiguration
from airbyte_local.destinations.postgres import PostgresDestination
from airbyte_local.sync.engine import Sync
from airbyte_local.sync.outcome import Totals

EARLIEST, LATEST = datetime(1, 1, 2), datetime(9999, 12, 30)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
LEAF = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT
# Declared type, values, and the type that Parquet has for them.
KINDS = {
    "integer": ({"type": "integer"}, st.integers(-(2**63), 2**63 - 1), pa.int64()),
    "number": (
        {"type": "number"},
        st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=9),
        pa.decimal128(38, 9),
    ),
    "double": (
        {"type": "number", "format": "double"},
        st.floats(allow_nan=False, allow_infinity=False),
        pa.float64(),
    ),
    "boolean": ({"type": "boolean"}, st.booleans(), pa.bool_()),
    "date": ({"type": "string", "format": "date"}, st.dates(), pa.date32()),
    "time": ({"type": "string", "format": "time"}, st.times(), pa.time64("us")),
    "timestamp": (
        {"type": "string", "format": "date-time", "airbyte_type": "timestamp_without_timezone"},
        st.datetimes(EARLIEST, LATEST),
        pa.timestamp("us"),
    ),
    "moment": (
        {"type": "string", "format": "date-time"},
        st.datetimes(EARLIEST, LATEST, timezones=st.just(UTC)),
        pa.timestamp("us", tz="UTC"),
    ),
    "text": (
        {"type": "string"},
        TEXT | st.sampled_from(["00123", "1e5", "", "NULL", r"\N", '"', ",", "\r\n"]),
        pa.string(),
    ),
    "object": ({"type": "object"}, st.dictionaries(TEXT, LEAF | st.lists(LEAF, max_size=3), max_size=3), None),
}
ROWS = st.lists(
    st.fixed_dictionaries({name: st.none() | values for name, (_, values, _) in KINDS.items()}),
    min_size=60,
    max_size=100,
)


def as_text(value):
    """A value as a file of text has it."""
    match value:
        case None:
            return None
        case bool():
            return str(value).lower()
        case dict():
            return json.dumps(value)
        case date() | time():
            return value.isoformat()
        case float():
            return repr(value)
    return str(value)


def write_csv(path, rows):
    """A file whose nulls are empty and whose text is quoted."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow(["row", *KINDS])
        for number, row in enumerate(rows):
            texts = (as_text(row[name]) for name in KINDS)
            fields = ("" if text is None else '"' + text.replace('"', '""') + '"' for text in texts)
            file.write(",".join([str(number), *fields]) + "\n")


def write_jsonl(path, rows):
    """A line a row: what JSON has no type for is text; a number has all its digits."""

    def written(value):
        if isinstance(value, Decimal):
            return str(value)
        is_plain = value is None or isinstance(value, bool | int | float | str | dict)
        return json.dumps(value if is_plain else as_text(value))

    lines = [", ".join(f'"{name}": {written(value)}' for name, value in row.items()) for row in rows]
    text = "".join(f'{{"row": {number}, {line}}}\n' for number, line in enumerate(lines))
    path.write_text(text, encoding="utf-8")


def write_parquet(path, rows):
    """Parquet's own types, and text where it has none."""
    columns = {"row": pa.array(range(len(rows)), pa.int64())}
    for name, (_, _, kind) in KINDS.items():
        values = [row[name] for row in rows]
        columns[name] = pa.array(values, kind) if kind else pa.array(map(as_text, values), pa.string())
    pq.write_table(pa.table(columns), path)


WRITERS = {"csv": write_csv, "jsonl": write_jsonl, "parquet": write_parquet}


@pytest.mark.parametrize("form", WRITERS)
def test_any_table_arrives_as_it_was(database, query, tmp_path, form, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(PYTHONPATH))
    path = tmp_path / f"table.{form}"
    schema = {"type": "object", "properties": {"row": {"type": "integer"}} | {k: v[0] for k, v in KINDS.items()}}
    stream = {"name": "any", "url": str(path), "format": form, "json_schema": schema}
    declared = stored(connection_of("any"))
    configuration = PostgresConfiguration.model_validate(destination_of(database))
    log = logging.getLogger("any")

    # Few tables of many rows, since each is a sync; a smaller one that fails is not looked for.
    @settings(
        max_examples=3,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
    )
    @given(ROWS)
    def arrives(rows):
        WRITERS[form](path, rows)
        connector = Connector(
            [sys.executable, "-m", "source_files"],
            {"streams": [stream]},
            is_ours=True,
            run=str(uuid.uuid4()),
            folder=tmp_path,
            log=log,
        )
        totals = Totals()
        destination, run = partial(PostgresDestination, configuration, sync_id=1), str(uuid.uuid4())
        Sync(declared, connector, destination, totals, log, sync_id=1, run_id=run).run()
        assert totals.nulled == {}
        selected = ", ".join(f'"{name}"' for name in KINDS)
        assert [same(row) for row in query(f"select {selected} from raw.any order by row")] == [
            same(row[name] for name in KINDS) for row in rows
        ]

    arrives()


def same(values):
    """Values in a form in which equal ones are equal, and others are not."""
    return [(Decimal(repr(v)) if isinstance(v, float) else v) for v in values]
