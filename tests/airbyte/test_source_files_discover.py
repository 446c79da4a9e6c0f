"""What the connector discovers: declared streams as they are, and others from a look at their files."""

import csv
import io
import json
import subprocess
import sys
from decimal import Decimal
from itertools import zip_longest

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airbyte_testing import PYTHONPATH
from source_files_testing import HEADER, SCHEMA, error_of

pytest_plugins = ["source_files_testing"]

INTEGER, NUMBER = {"type": ["null", "integer"]}, {"type": ["null", "number"]}
DOUBLE = {**NUMBER, "format": "double"}
BOOLEAN, STRING = {"type": ["null", "boolean"]}, {"type": ["null", "string"]}
OBJECT, ARRAY = {"type": ["null", "object"]}, {"type": ["null", "array"]}
DATE = {**STRING, "format": "date"}
TIMESTAMP = {**STRING, "format": "date-time", "airbyte_type": "timestamp_without_timezone"}
TIMESTAMP_TZ = {**STRING, "format": "date-time", "airbyte_type": "timestamp_with_timezone"}
TIME = {**STRING, "format": "time", "airbyte_type": "time_without_timezone"}

TEXTS = {
    "whole numbers": (["1", "0", "-5", "9223372036854775807", "-9223372036854775808"], INTEGER),
    "whole numbers and nulls": (["1", None, "2"], INTEGER),
    "leading zero": (["1", "00123"], STRING),
    "plus sign": (["1", "+2"], STRING),
    "minus zero": (["1", "-0"], STRING),
    "exponent": (["1.5", "1e5"], STRING),
    "beyond bigint": (["1", "9223372036854775808"], STRING),
    "below bigint": (["-9223372036854775809"], STRING),
    "space before": ([" 1"], STRING),
    "line break behind": (["1\n"], STRING),
    "thousands": (["1,000"], STRING),
    "other digits": (["\u0661"], STRING),
    "fractions": (["1.5", "-0.25", "3"], NUMBER),
    "whole numbers, then fractions": (["3", "1.50"], NUMBER),
    "long whole numbers, then fractions": (["9223372036854775807", "1.5"], STRING),
    "fraction with leading zero": (["01.5"], STRING),
    "fraction without digits before": ([".5"], STRING),
    "fraction without digits behind": (["5."], STRING),
    "NaN": (["1.5", "NaN"], STRING),
    "booleans": (["true", "FALSE", "True"], BOOLEAN),
    "yes and no": (["yes", "no"], STRING),
    "true and 1": (["true", "1"], STRING),
    "dates": (["2024-02-29", "0001-01-01"], DATE),
    "no such date": (["2024-02-30"], STRING),
    "other dates": (["29.02.2024"], STRING),
    "short date": (["2024-2-9"], STRING),
    "date and time": (["2024-02-29 10:00:00", "2024-02-29T10:00:00.123456", "2024-02-29 10:00"], TIMESTAMP),
    "no such time": (["2024-02-29 25:00:00"], STRING),
    "nanoseconds": (["2024-02-29 10:00:00.123456789"], STRING),
    "with zone": (["2024-02-29T10:00:00Z", "2024-02-29 10:00:00+05:30", "2024-02-29 10:00-0800"], TIMESTAMP_TZ),
    "some with zone": (["2024-02-29T10:00:00Z", "2024-02-29T10:00:00"], STRING),
    "dates and times": (["2024-02-29", "2024-02-29 10:00:00"], STRING),
    "time alone": (["10:00:00"], STRING),
    "text": (["a", "1"], STRING),
    "quoted empty": (["1", ""], STRING),
    "nulls alone": ([None, None], STRING),
    "JSON": (['{"a":1}'], STRING),
}  # fmt: skip


@pytest.fixture
def discover(connector):
    """Discovers the files of a URL; the types of the columns."""

    def run(url, **stream):
        status, messages = connector("discover", url, json_schema=None, **stream)
        assert status == 0, messages
        (found,) = messages[-1].catalog.streams
        assert found.json_schema["type"] == "object"
        return found.json_schema["properties"]

    return run


@pytest.fixture
def refusal(connector):
    """Discovers the files of a URL, which must fail; the message."""

    def run(url, **stream):
        status, messages = connector("discover", url, json_schema=None, **stream)
        assert status == 1
        return error_of(messages).message

    return run


def csv_of(columns):
    """CSV bytes of columns of texts and nulls, of any lengths."""
    quoted = io.StringIO()
    csv.writer(quoted, quoting=csv.QUOTE_ALL).writerow(columns)
    for row in zip_longest(*columns.values()):
        values = ("" if value is None else '"' + value.replace('"', '""') + '"' for value in row)
        quoted.write(",".join(values) + "\n")
    return quoted.getvalue().encode()


def test_csv_columns_get_the_narrowest_type_that_loses_nothing(discover, tmp_path):
    (tmp_path / "x.csv").write_bytes(csv_of({name: values for name, (values, _) in TEXTS.items()}))
    found = discover(tmp_path / "x.csv")
    assert list(found) == list(TEXTS)
    assert {name: (TEXTS[name][0], kind) for name, kind in found.items()} == TEXTS


def test_later_values_count_too(discover, tmp_path):
    rows = [f'{i},"{i}\n{"x" * 100}",\n' for i in range(40_000)]  # 4 MB
    (tmp_path / "x.csv").write_text("id,text,late\n" + "".join(rows) + "007,b,2024-01-01\n")
    assert discover(tmp_path / "x.csv") == {"id": STRING, "text": STRING, "late": DATE}


def test_a_header_alone_gives_columns_of_text(discover, tmp_path):
    (tmp_path / "x.csv").write_bytes(HEADER)
    assert discover(tmp_path / "x.csv") == {"id": STRING, "text": STRING}


def test_discovery_reads_files_as_they_are_declared(discover, tmp_path):
    (tmp_path / "x.csv").write_bytes("id;text\n1;-\n-;'2;é'\n".encode("utf-16"))
    settings = {"delimiter": ";", "quote": "'", "encoding": "utf-16", "null": "-"}
    assert discover(tmp_path / "x.csv", csv=settings) == {"id": INTEGER, "text": STRING}


def test_all_files_of_a_pattern_count(discover, tmp_path):
    (tmp_path / "1.csv").write_bytes(b"id,text\n1,2024-01-01\n")
    (tmp_path / "2.csv").write_bytes(b"text,more,id\n,1,2.5\n")
    assert discover(tmp_path / "*.csv") == {"id": NUMBER, "text": DATE, "more": INTEGER}


def test_json_lines_keep_their_types(discover, tmp_path):
    rows = [
        {"i": 1, "n": 1, "f": 1.5, "b": True, "s": "a", "d": "2024-01-01", "o": {"a": 1}, "a": [1], "digits": "1"},
        {"i": 2**63 - 1, "n": 2.5, "f": None, "b": None, "s": "2024-01-01", "d": None, "o": {}, "a": None},
        {"big": 2**63, "bigger": 10**30, "long": 2**53 + 1, "t": "2024-01-01T00:00:00", "z": "2024-01-01 00:00Z"},
        {"mixed": 1, "mixed too": {}, "null": None, "long": 0.5, "float": 1e300},
        {"mixed": "1", "mixed too": [], "true": "true"},
    ]
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert discover(tmp_path / "x.jsonl", format="jsonl") == {
        "i": INTEGER, "n": NUMBER, "f": NUMBER, "b": BOOLEAN, "s": STRING, "d": DATE, "o": OBJECT, "a": ARRAY,
        "digits": STRING, "big": STRING, "bigger": STRING, "long": STRING, "t": TIMESTAMP, "z": TIMESTAMP_TZ,
        "mixed": STRING, "mixed too": STRING, "null": STRING, "float": STRING, "true": STRING,
    }  # fmt: skip


def test_parquet_has_a_schema_of_its_own(discover, tmp_path):
    types = {
        "int8": (pa.int8(), INTEGER), "uint32": (pa.uint32(), INTEGER), "uint64": (pa.uint64(), STRING),
        "float": (pa.float32(), DOUBLE), "decimal": (pa.decimal128(10, 2), NUMBER), "bool": (pa.bool_(), BOOLEAN),
        "date": (pa.date32(), DATE), "timestamp": (pa.timestamp("ms"), TIMESTAMP), "time": (pa.time64("us"), TIME),
        "zone": (pa.timestamp("us", "UTC"), TIMESTAMP_TZ), "text": (pa.string(), STRING), "null": (pa.null(), STRING),
        "dictionary": (pa.dictionary(pa.int32(), pa.string()), STRING), "list": (pa.list_(pa.int64()), ARRAY),
        "uuid": (pa.uuid(), STRING),
        "binary": (pa.binary(), STRING), "struct": (pa.struct({"a": pa.int64()}), OBJECT),
        "map": (pa.map_(pa.string(), pa.int64()), OBJECT),
    }  # fmt: skip
    pq.write_table(pa.schema({name: kind for name, (kind, _) in types.items()}).empty_table(), tmp_path / "x.parquet")
    assert discover(tmp_path / "x.parquet", format="parquet") == {name: kind for name, (_, kind) in types.items()}


def test_parquet_files_of_one_pattern_may_differ_in_their_numbers(discover, tmp_path):
    files = [
        {"id": [1], "n": [1], "d": [1.5], "m": [1], "x": ["a"], "l": pa.nulls(1)},
        {"id": pa.array([1], pa.int16()), "n": [Decimal("1.5")], "d": [0.5], "m": [0.5], "x": [1], "l": [[1]]},
    ]
    for i, columns in enumerate(files):
        pq.write_table(pa.table(columns), tmp_path / f"{i}.parquet")
    found = {"id": INTEGER, "n": NUMBER, "d": DOUBLE, "m": NUMBER, "x": STRING, "l": ARRAY}
    assert discover(tmp_path / "*.parquet", format="parquet") == found


def test_streams_are_incremental_by_themselves_and_have_the_declared_key(connector, tmp_path):
    (tmp_path / "x.csv").write_bytes(HEADER)
    for schema in (SCHEMA, None):
        _, (message,) = connector("discover", tmp_path / "x.csv", json_schema=schema, primary_key=["id", "text"])
        (stream,) = message.catalog.streams
        assert [mode.value for mode in stream.supported_sync_modes] == ["full_refresh", "incremental"]
        assert (stream.source_defined_cursor, stream.default_cursor_field) == (True, None)
        assert stream.source_defined_primary_key == [["id"], ["text"]]


@pytest.mark.parametrize(
    ("content", "stream", "words"),
    [
        (b"", {}, "the file is empty; it needs a header row"),
        (b"id,,text\n", {}, "stream texts: a column has no name; name it, or declare json_schema"),
        (b"id,text,id\n", {}, "row 1: column id occurs twice; rename or remove one"),
        (b"id,text\n1,a\n2\n", {}, "row 3: 1 values, but the header has 2 columns"),
        (b"id,text\n", {"primary_key": ["key"]}, "stream texts: no column key, although it is in primary_key"),
        (b"", {"format": "jsonl"}, "stream texts: there are no rows to discover the columns from; add one, or declare"),
        (b'{"id":1}\n{"id"', {"format": "jsonl"}, "line 2: invalid JSON at character "),
    ],
    ids=["empty", "no name", "twice", "short row", "no key", "no lines", "bad line"],
)
def test_files_that_give_no_schema_are_reported(refusal, tmp_path, content, stream, words):
    (tmp_path / "x").write_bytes(content)
    assert words in refusal(tmp_path / "x", **stream)


def test_a_primary_key_that_the_declared_schema_lacks_is_reported(connector):
    _, messages = connector("discover", "unused", primary_key=["key"])
    assert "primary_key has columns that json_schema lacks: key" in error_of(messages).message


def test_discovery_reads_only_its_share_of_a_long_file(tmp_path, monkeypatch):
    from source_files import reading
    from source_files.config import Stream

    for name in "123":
        (tmp_path / name).write_bytes(b"id,text\n" + b"1,a\n" * 50_000 + b"a,b,c\n")  # a bad row behind 200 kB
    (tmp_path / "1").rename(tmp_path / "0")
    monkeypatch.setattr(reading, "LOOK", 3 << 16)
    found = reading.discover(Stream(name="x", url=str(tmp_path / "[0-9]")))
    assert found["properties"] == {"id": INTEGER, "text": STRING}


def test_of_very_many_files_the_last_are_examined(tmp_path, monkeypatch):
    from source_files import reading
    from source_files.config import Stream

    for i in range(5):
        (tmp_path / f"{i}.csv").write_text(f"column{i}\n1\n")
    monkeypatch.setattr(reading, "FILES", 2)
    assert set(reading.discover(Stream(name="x", url=str(tmp_path / "*")))["properties"]) == {"column3", "column4"}


@pytest.mark.parametrize("command", ["spec", "discover"])
def test_a_declared_schema_needs_no_arrow(tmp_path, command):
    config = {"streams": [{"name": "x", "url": "x.csv", "json_schema": SCHEMA}]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    arguments = ["--config", "config.json"] if command == "discover" else []
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "source_files", command, *arguments],
        env={"PYTHONPATH": PYTHONPATH[0]},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert "pydantic" in done.stderr
    assert "pyarrow" not in done.stderr
    assert "httpx" not in done.stderr
    assert "fsspec" not in done.stderr


@pytest.mark.parametrize("declared", [SCHEMA, None], ids=["declared", "found"])
def test_columns_of_file_names_are_discovered(connector, tmp_path, declared):
    for folder, content in {"year=2024/part=a": b"1,a\n", "year=2025/part=01": b"2,b\n"}.items():
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "x.csv").write_bytes(HEADER + content)
    more = {"file_name_column": "file", "hive_partitions": True, "primary_key": ["id"] if declared else ["id", "year"]}
    _, (message,) = connector("discover", tmp_path / "**" / "*.csv", json_schema=declared, **more)
    found = message.catalog.streams[0].json_schema["properties"]
    own = declared["properties"] if declared else {"id": INTEGER, "text": STRING}
    assert found == {**own, "year": INTEGER, "part": STRING, "file": STRING}


def test_a_declared_type_of_a_partition_is_kept(connector, tmp_path):
    (tmp_path / "id=7").mkdir()
    (tmp_path / "id=7" / "x.csv").write_bytes(b"text\na\n")
    _, (message,) = connector("discover", tmp_path / "*" / "x.csv", hive_partitions=True)
    assert message.catalog.streams[0].json_schema == SCHEMA
