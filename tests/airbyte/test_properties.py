"""Any table of typed values, written as CSV, JSON Lines or Parquet, arrives as it was."""

import csv
import json
import logging
import os
import re
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

from airbyte_local.columns import Column, Kind
from airbyte_local.connectors.process import Connector
from airbyte_local.destinations.bigquery_files import staged
from airbyte_local.destinations.config_models import PostgresConfiguration
from airbyte_local.destinations.postgres import PostgresDestination
from airbyte_local.sync.engine import Sync
from airbyte_local.sync.outcome import Totals

EARLIEST, LATEST = datetime(1, 1, 2), datetime(9999, 12, 30)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
# Of any length and exponent, within PostgreSQL's numeric.
WIDE = st.builds(
    lambda number, power: Decimal(f"{number}e{power}"), st.integers(-(10**60), 10**60), st.integers(-400, 400)
)
NUMBERS = WIDE | st.integers() | st.floats(allow_nan=False, allow_infinity=False).map(lambda each: Decimal(repr(each)))
LEAF = st.none() | st.booleans() | NUMBERS | TEXT
# Declared type, values, and the type that Parquet has for them.
KINDS = {
    "integer": ({"type": "integer"}, st.integers(-(2**63), 2**63 - 1), pa.int64()),
    "number": (
        {"type": "number"},
        st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=9),
        pa.decimal128(38, 9),
    ),
    "wide": ({"type": "number"}, NUMBERS, None),
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
        case dict() | list():
            return json_of(value)
        case date() | time():
            return value.isoformat()
        case float():
            return repr(value)
    return str(value)


def json_of(value):
    """JSON with all digits of each number."""
    match value:
        case Decimal():
            return str(value)
        case dict():
            return "{" + ", ".join(f"{json.dumps(name)}: {json_of(each)}" for name, each in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(json_of, value)) + "]"
    return json.dumps(value)


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
        is_plain = value is None or isinstance(value, bool | int | float | str | dict | Decimal)
        return json_of(value if is_plain else as_text(value))

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


@pytest.fixture
def load(database, tmp_path, monkeypatch):
    """Loads a file into raw.any with a new connector; returns the totals."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(PYTHONPATH))
    declared = stored(connection_of("any"))
    configuration = PostgresConfiguration.model_validate(destination_of(database))
    log = logging.getLogger("any")

    def run(path, form, properties):
        schema = {"type": "object", "properties": properties}
        stream = {"name": "any", "url": str(path), "format": form, "json_schema": schema}
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
        return totals

    return run


@pytest.mark.parametrize("form", WRITERS)
def test_any_table_arrives_as_it_was(load, query, tmp_path, form):
    path = tmp_path / f"table.{form}"
    declared = {"row": {"type": "integer"}} | {name: schema for name, (schema, _, _) in KINDS.items()}

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
        assert load(path, form, declared).nulled == {}
        selected = ", ".join(f'"{name}"' if name != "object" else '"object"::text' for name in KINDS)
        found = query(f"select {selected} from raw.any order by row")
        assert [same(map(parsed, KINDS, row)) for row in found] == [same(row[name] for name in KINDS) for row in rows]

    arrives()


def last_place(number):
    """The power of ten of a number's last digit that is not 0."""
    _, digits, exponent = number.as_tuple()
    text = "".join(map(str, digits))
    return exponent + len(text) - len(text.rstrip("0")) if number else 0


@given(st.lists(st.none() | NUMBERS))
@settings(deadline=None, derandomize=True)
def test_what_is_staged_for_bigquery_is_the_number_or_null(numbers):
    column = Column("n", Kind.NUMBER)
    values = column.convert([number if number is None else str(number) for number in numbers]).array
    array, wrong = staged(column, values)
    for index, (number, text) in enumerate(zip(numbers, array.to_pylist(), strict=True)):
        if number is None or index in wrong:
            assert text is None
            assert number is None or abs(number) > 5 * 10**38 or last_place(number) < -38
        else:
            assert Decimal(text) == number


@given(st.dictionaries(TEXT, NUMBERS | st.lists(NUMBERS | TEXT), max_size=3))
@settings(deadline=None, derandomize=True)
def test_json_that_is_staged_for_bigquery_comes_back_from_doubles_or_is_null(value):
    column = Column("o", Kind.JSON)
    array, wrong = staged(column, column.convert([json_of(value)]).array)
    rounded = json.loads(json_of(value), parse_float=lambda text: Decimal(repr(float(text))), parse_int=stored_integer)
    assert wrong == ([] if rounded == value else [0])
    assert array.to_pylist() == [None] if wrong else parsed("object", array[0].as_py()) == value


def stored_integer(text):
    """As BigQuery's JSON holds it."""
    return int(text) if int(text) in range(-(2**63), 2**64) else Decimal(repr(float(text)))


def parsed(name, value):
    """A column's value; JSON has all digits of its numbers."""
    return json.loads(value, parse_float=Decimal) if name == "object" and value is not None else value


def same(values):
    """Values in a form in which equal ones are equal, and others are not."""
    return [(Decimal(repr(v)) if isinstance(v, float) else v) for v in values]


# Spellings of a column, and what each means in its type; null: it does not fit.
SPELLINGS = {
    "i": (
        {"type": "integer"},
        {"3.0": 3, " 7 ": 7, "9007199254740993.0": 9007199254740993, "1e2": 100, "7.5": None, "9e18": 9 * 10**18},
    ),
    "n": (
        {"type": "number"},
        {text: Decimal(text) for text in ("90071992547409.93", "1e400", "-1e-400", " 1.5 ", "1E5", "-0.0", "1.0")},
    ),
    "d": (
        {"type": "number", "format": "double"},
        {"1e400": None, "1e-400": None, "0.1": 0.1, " 2.5 ": 2.5, "90071992547409.93": None, "9007199254740993": None},
    ),
    "b": (
        {"type": "boolean"},
        {"t": True, "f": False, "yes": True, "no": False, "1": True, "0": False, " TRUE ": True, "2": None},
    ),
    "day": (
        {"type": "string", "format": "date"},
        {
            "2024-01-01T00:00:00": date(2024, 1, 1),
            "2024-01-02 00:00:00": date(2024, 1, 2),
            " 2024-01-03 ": date(2024, 1, 3),
            "2024-01-04T00:00:01": None,
        },
    ),
    "at": (
        {"type": "string", "format": "date-time", "airbyte_type": "timestamp_without_timezone"},
        {
            " 2024-01-01T10:00:00 ": datetime(2024, 1, 1, 10),
            "2024-01-01T10:00:00.123456789": datetime(2024, 1, 1, 10, 0, 0, 123456),
            "2024-01-01T10:00:00.123456000": datetime(2024, 1, 1, 10, 0, 0, 123456),
        },
    ),
    "o": (
        {"type": "object"},
        {
            text: text
            for text in (
                '{"wei": 123456789012345678901234567890}',
                '{"v": [90071992547409.93, {"w": -9223372036854775809}]}',
            )
        },
    ),
    "t": ({"type": "string"}, {text: text for text in ("123456789012345678901234567890", "90071992547409.93", " 1 ")}),
}
JSON_VALUE = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?|\{.*", re.DOTALL)


@pytest.mark.parametrize("form", WRITERS)
def test_a_spelling_means_the_same_in_every_format(load, query, tmp_path, form):
    path = tmp_path / f"table.{form}"
    names, count = ["row", *SPELLINGS], max(len(meanings) for _, meanings in SPELLINGS.values())
    columns = {name: [*meanings, *[None] * (count - len(meanings))] for name, (_, meanings) in SPELLINGS.items()}
    rows = [dict(zip(names, row, strict=True)) for row in zip(map(str, range(count)), *columns.values(), strict=True)]
    if form == "csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
    elif form == "jsonl":
        # A number or an object is one in JSON, too; all else is text.
        for row in rows:
            is_json = {name: text and JSON_VALUE.fullmatch(text) for name, text in row.items()}
            members = (f'"{name}": {text if is_json[name] else json.dumps(text)}' for name, text in row.items())
            with path.open("a") as file:
                file.write(f"{{{', '.join(members)}}}\n")
    else:
        pq.write_table(pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in names}), path)
    totals = load(path, form, {"row": {"type": "integer"}} | {name: schema for name, (schema, _) in SPELLINGS.items()})
    for name, (_, meanings) in SPELLINGS.items():
        is_json = "::text" if name == "o" else ""
        found = query(f'select "{name}"{is_json} from raw.any order by row limit {len(meanings)}')
        assert dict(zip(meanings, (value for (value,) in found), strict=True)) == meanings
    nulled = {f"any.{name}": list(each.values()).count(None) for name, (_, each) in SPELLINGS.items()}
    assert (totals.nulled, totals.truncated) == ({k: v for k, v in nulled.items() if v}, {"any.at": 1})


def test_parquets_own_types_fit_other_declared_ones(load, query, tmp_path):
    path = tmp_path / "table.parquet"
    moments = [1704067200_000_000_000, 1704067200_000_000_001]
    wei = Decimal("123456789012345678901234567890.12")
    columns = {
        "i": (pa.array([Decimal("3.00"), Decimal("7.50")], pa.decimal128(10, 2)), {"type": "integer"}, [3, None]),
        "b": (pa.array([1, 0]), {"type": "boolean"}, [True, False]),
        "day": (pa.array(moments, pa.timestamp("ns")), SPELLINGS["day"][0], [date(2024, 1, 1), None]),
        "at": (pa.array(moments, pa.timestamp("ns")), SPELLINGS["at"][0], [datetime(2024, 1, 1)] * 2),
        "o": (
            pa.array([{"wei": [wei]}, None], pa.struct([("wei", pa.list_(pa.decimal128(38, 2)))])),
            {"type": "object"},
            [f'{{"wei": [{wei}]}}', None],
        ),
    }
    pq.write_table(pa.table({name: values for name, (values, _, _) in columns.items()}), path)
    totals = load(path, "parquet", {name: schema for name, (_, schema, _) in columns.items()})
    found = query("select i, b, day, at, o::text from raw.any order by b desc")
    assert list(map(list, zip(*found, strict=True))) == [expected for _, _, expected in columns.values()]
    assert (totals.nulled, totals.truncated) == ({"any.i": 1, "any.day": 1}, {"any.at": 1})
