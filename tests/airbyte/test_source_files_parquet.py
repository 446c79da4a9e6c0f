"""The connector's reading of Parquet."""

import uuid
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_files_testing import SCHEMA, answer, error_of, rows_of, warnings_of

pytest_plugins = ["source_files_testing"]

UUID = uuid.UUID("123e4567-e89b-12d3-a456-426614174000")
ROME = timezone(timedelta(hours=1))


def schema_of(*names):
    """A JSON schema of these columns."""
    return {"type": "object", "properties": {name: {"type": "string"} for name in names}}


@pytest.fixture
def read(connector, tmp_path):
    """Reads a file with these columns; the exit status and the messages."""

    def run(columns, *, names=None, **options):
        table = pa.table(columns)
        pq.write_table(table, tmp_path / "texts.parquet", **options)
        return connector(
            "read", tmp_path / "texts.parquet", format="parquet", columns=schema_of(*names or table.column_names)
        )

    return run


@pytest.mark.parametrize(
    ("values", "arrived"),
    [
        (pa.array(["00123", None, "", 'a"\\\n\x01ü😀']), ["00123", None, "", 'a"\\\n\x01ü😀']),
        (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
        (pa.array(["a", None], pa.large_string()), ["a", None]),
        (pa.array([2**63 - 1, -(2**63), None]), [2**63 - 1, -(2**63), None]),
        (pa.array([2**64 - 1], pa.uint64()), [2**64 - 1]),
        (pa.array([True, None, False]), [True, None, False]),
        (pa.array([0.1, 1e300, 5e-324, -1.5, None, 1.0]), [0.1, 1e300, 5e-324, -1.5, None, 1.0]),
        (pa.array([0.1, 3.25], pa.float32()), [0.1, 3.25]),
        (
            pa.array([float("nan"), float("inf"), -float("inf"), 1.5, None]),
            ["NaN", "Infinity", "-Infinity", 1.5, None],
        ),
        (pa.array([Decimal("1.10"), None, Decimal("-0.01")]), ["1.10", None, "-0.01"]),
        (pa.array([Decimal("12345678901234567890123456789012345.678")]), ["12345678901234567890123456789012345.678"]),
        (pa.array([date(2024, 2, 29), date(1, 1, 1), None]), ["2024-02-29", "0001-01-01", None]),
        (pa.array([time(1, 2, 3, 4)]), ["01:02:03.000004"]),
        (pa.array([datetime(2024, 1, 2, 3, 4, 5, 6), None]), ["2024-01-02T03:04:05.000006", None]),
        (pa.array([datetime(2024, 1, 2)], pa.timestamp("ms")), ["2024-01-02T00:00:00.000"]),
        (pa.array([1], pa.timestamp("ns")), ["1970-01-01T00:00:00.000000001"]),
        (pa.array([datetime(2024, 1, 2, 3, tzinfo=ROME)], pa.timestamp("s", "+01:00")), ["2024-01-02T02:00:00.000Z"]),
        (pa.array([[1, None], None, []]), [[1, None], None, []]),
        (pa.array([["a"], ["b\n", None]]), [["a"], ["b\n", None]]),
        (pa.array([{"a": 1, "b": [Decimal("1.5")]}, None]), [{"a": 1, "b": [1.5]}, None]),
        (pa.array([[{"a": float("nan"), "b": date(2024, 1, 2)}]]), [[{"a": "NaN", "b": "2024-01-02"}]]),
        (pa.array([[("k", 1), ('l"', None)], []], pa.map_(pa.string(), pa.int64())), [{"k": 1, 'l"': None}, {}]),
        (pa.array([[(1, "a")]], pa.map_(pa.int32(), pa.string())), [{"1": "a"}]),
        (pa.nulls(2), [None, None]),
        (pa.array([UUID.bytes, None, UUID.bytes], pa.uuid()), [str(UUID), None, str(UUID)]),
        (pa.ListArray.from_arrays([0, 1, 1], pa.array([UUID.bytes], pa.uuid())), [[str(UUID)], []]),
        (pa.array([b"00123", None, b"", "ü".encode()]), ["00123", None, "", "ü"]),
        (pa.array([b"ab"], pa.binary(2)), ["ab"]),
        (pa.array([b"a", b"b", b"a"]).dictionary_encode(), ["a", "b", "a"]),
        (pa.array([[{"a": b"a"}], None]), [[{"a": "a"}], None]),
    ],
    ids=[
        "text", "dictionary", "large text", "integer", "unsigned", "boolean", "double", "float", "NaN", "decimal",
        "long decimal", "date", "time", "timestamp", "milliseconds", "nanoseconds", "zone", "list", "list of text",
        "struct", "list of structs", "map", "map of numbers", "null", "UUID", "list of UUIDs", "binary", "fixed size",
        "dictionary of binary", "binary within",
    ],
)  # fmt: skip
def test_values_arrive_in_the_types_of_json(read, values, arrived):
    status, messages = read({"x": values})
    assert status == 0, messages
    assert [value for (value,) in rows_of(messages)] == arrived


def test_binary_values_that_are_no_text_are_null_with_a_note_and_a_warning(read, tmp_path):
    values = [b"a"] * 2_500 + [b"\xff", b"b", b"\x80"]
    status, messages = read({"x": values, "y": [[b"b"], [b"\xff"]] + [[b"c"]] * 2_501})
    assert status == 0, messages
    assert rows_of(messages)[:3] == [("a", ["b"]), ("a", None), ("a", ["c"])]
    assert rows_of(messages)[-3:] == [(None, ["c"]), ("b", ["c"]), (None, ["c"])]
    noted = [m.record.meta.changes[0] for m in messages if m.record and m.record.meta]
    assert [(note.field, note.change.value) for note in noted] == [("y", "NULLED"), ("x", "NULLED"), ("x", "NULLED")]
    path, end = tmp_path / "texts.parquet", "binary values that are no UTF-8 text are null, in"
    assert warnings_of(messages) == [
        f"{path}, row 2, column y: {end} 1 rows",
        f"{path}, row 2501, column x: {end} 2 rows",
    ]


def test_deprecated_int96_timestamps_arrive(read):
    moments = pa.array([datetime(2024, 1, 2, 3, 4, 5), datetime(9999, 12, 31)], pa.timestamp("us"))
    _, messages = read({"x": moments}, use_deprecated_int96_timestamps=True)
    assert rows_of(messages) == [("2024-01-02T03:04:05.000000",), ("9999-12-31T00:00:00.000000",)]


def test_many_rows_of_many_groups_arrive_whole_and_in_order(read):
    ids = pa.array(range(30_000))
    _, messages = read({"id": ids, "text": ids.cast(pa.string())}, row_group_size=7_000)
    assert rows_of(messages) == [(i, str(i)) for i in range(30_000)]


def test_columns_have_the_order_of_the_catalog_and_others_are_ignored_with_a_warning(read):
    status, messages = read({"a.b": [1], "more": [b"x"], "text": ["t"]}, names=["text", "a.b"])
    assert (status, rows_of(messages)) == (0, [("t", 1)])
    assert warnings_of(messages)[0].endswith("columns that are not declared are ignored: more")


@pytest.mark.parametrize(
    ("columns", "names", "words"),
    [
        ({"x": [timedelta(1)]}, None, ", column x: values of type duration[us] cannot be loaded"),
        ({"x": [1]}, ["y"], ": no column y; add it, or correct its name; the file has: x"),
        (
            {"x": ["a"] * 4999 + ["b\0"], "y": ["\0"] * 5000},
            ["x"],
            ", row 5000, column x: the text contains a NUL byte",
        ),
        ({"x": ["a", "b\0"], "y": ["\0", "a"]}, None, ", row 1, column y: the text contains a NUL byte"),
        ({"x": [[1.5]], "y": [[{"a": ["\0"]}]]}, None, ", row 1, column y: the text contains a NUL byte"),
    ],
    ids=["duration", "missing", "NUL", "NUL in the first row", "NUL within"],
)
def test_values_that_cannot_be_loaded_are_reported(read, tmp_path, columns, names, words):
    status, messages = read(columns, names=names)
    assert status == 1
    assert error_of(messages).message.startswith(f"{tmp_path / 'texts.parquet'}{words}")


def test_two_columns_of_one_name_are_reported(connector, tmp_path):
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["id", "id"]), tmp_path / "x.parquet")
    _, messages = connector("read", tmp_path / "x.parquet", format="parquet", columns=schema_of("id"))
    assert "column id occurs twice; rename or remove one" in error_of(messages).message


@pytest.mark.parametrize("command", ["check", "discover", "read"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a Parquet file, since it starts with b''; correct the stream's format"),
        (b"<html>", "not a Parquet file, since it starts with b'<html>'"),
        (b"PAR1 and no more", "the Parquet file cannot be read: "),
    ],
    ids=["empty", "HTML", "broken off"],
)
def test_a_file_that_is_no_parquet_is_reported(connector, tmp_path, command, content, words):
    path = tmp_path / "x.parquet"
    path.write_bytes(content)
    _, messages = connector(command, path, format="parquet", json_schema=None)
    said = messages[-1].connectionStatus.message if command == "check" else error_of(messages).message
    assert said.startswith(f"{path}: {words}")


def test_a_broken_page_is_reported(connector, tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"id": range(1000), "text": ["a"] * 1000}), path)
    content = bytearray(path.read_bytes())
    content[10:200] = b"\xff" * 190
    path.write_bytes(content)
    status, messages = connector("read", path, format="parquet")
    assert status == 1
    assert error_of(messages).message.startswith(f"{path}: the Parquet file cannot be read: ")


def test_a_file_behind_http_is_read_as_a_whole_and_checked_by_its_beginning(connector, server, tmp_path):
    pq.write_table(pa.table({"id": [1, 2], "text": ["a", None]}), tmp_path / "x.parquet")
    server.answers["/x.parquet"] = answer(200, (tmp_path / "x.parquet").read_bytes())
    server.answers["/y.parquet"] = answer(200, b"none")
    url = f"{server.url}/x.parquet"
    assert rows_of(connector("read", url, format="parquet")[1]) == [(1, "a"), (2, None)]
    assert connector("check", url, format="parquet")[1][0].connectionStatus.status.value == "SUCCEEDED"
    _, (bad,) = connector("check", f"{server.url}/y.parquet", format="parquet")
    assert "not a Parquet file" in bad.connectionStatus.message


def test_check_requires_the_declared_columns(connector, tmp_path):
    pq.write_table(pa.table({"id": [1]}), tmp_path / "x.parquet")
    _, (bad,) = connector("check", tmp_path / "x.parquet", format="parquet", json_schema=SCHEMA)
    assert bad.connectionStatus.message.startswith(f"{tmp_path / 'x.parquet'}: no column text")
