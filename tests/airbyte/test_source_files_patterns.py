"""Files of a pattern that differ from the others, and columns from the names of files; in all formats."""

import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_files_testing import error_of, rows_of, states_of, warnings_of

pytest_plugins = ["source_files_testing"]

COLUMNS = {name: {"type": "string"} for name in ("id", "name", "city")}
SCHEMA = {"type": "object", "properties": COLUMNS}


@pytest.fixture(params=["csv", "jsonl", "parquet"])
def format(request):
    return request.param


@pytest.fixture
def write(tmp_path, format):
    """Writes a file with these columns of text, without any an empty one; the files have different times."""
    written = []

    def run(where, /, **columns):
        path = tmp_path / where
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        if format == "parquet" and columns:
            pq.write_table(pa.table({name: pa.array(column, pa.string()) for name, column in columns.items()}), path)
        elif format == "jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        else:
            path.write_text("".join(",".join(row) + "\n" for row in [columns, *map(dict.values, rows)] if columns))
        written.append(path)
        os.utime(path, (len(written), len(written)))

    return run


@pytest.fixture
def run(connector, tmp_path, format):
    """Runs a command on a pattern of the files."""

    def command(command, pattern="*", **more):
        stream = {"format": format, "json_schema": SCHEMA, "columns": SCHEMA, **more}
        return connector(command, tmp_path / "data" / pattern, **stream)

    return command


def by_name(messages):
    """The rows with all columns; a column that a record lacks is null."""
    return [tuple(m.record.data.get(name) for name in COLUMNS) for m in messages if m.record]


def test_a_column_that_a_file_lacks_is_null_with_a_warning(write, run, tmp_path):
    write("data/2024-01", id=["1"], name=["a"])
    write("data/2024-02", id=["2"], name=["b"], city=["Bonn"])
    status, messages = run("read")
    assert status == 0, messages
    assert by_name(messages) == [("1", "a", None), ("2", "b", "Bonn")]
    assert warnings_of(messages) == [f"{tmp_path}/data/2024-01: no column city, so it is null in all rows of this file"]
    assert run("check")[1][0].connectionStatus.status.value == "SUCCEEDED"


@pytest.mark.parametrize(
    "stream", [{"json_schema": {**SCHEMA, "required": ["city"]}}, {"primary_key": ["city"]}], ids=["required", "key"]
)
def test_a_required_column_stops_the_load(write, run, tmp_path, stream):
    write("data/2024-01", id=["1"], name=["a"])
    status, messages = run("read", **stream)
    assert status == 1
    assert error_of(messages).message.startswith(f"{tmp_path}/data/2024-01")
    assert "city" in error_of(messages).message


def test_a_file_without_any_of_the_columns_loads_nothing(write, run, tmp_path):
    write("data/2024-01", error=["rate limit exceeded"])
    status, messages = run("read")
    assert (status, rows_of(messages)) == (1, [])
    assert error_of(messages).message.startswith(f"{tmp_path}/data/2024-01")
    assert run("check")[1][0].connectionStatus.status.value == "FAILED"


def test_an_empty_file_beside_files_with_rows_has_no_rows(write, run, tmp_path):
    write("data/1")
    write("data/2", id=["1"], name=["a"], city=["Bonn"])
    write("data/3")
    status, messages = run("read", sync_mode="incremental")
    assert status == 0, messages
    assert by_name(messages) == [("1", "a", "Bonn")]
    assert [w.partition(": ")[0] for w in warnings_of(messages)] == [f"{tmp_path}/data/1", f"{tmp_path}/data/3"]
    assert all(w.endswith("it counts as a file without rows") for w in warnings_of(messages))
    assert len(states_of(messages)[-1]["stream"]["stream_state"]["files"]) == 3
    assert run("check")[1][0].connectionStatus.status.value == "SUCCEEDED"
    assert run("discover", json_schema=None)[0] == 0


@pytest.mark.parametrize("names", [["1"], ["1", "2"]], ids=["one", "all"])
def test_empty_files_alone_fail(write, run, format, names):
    for name in names:
        write(f"data/{name}")
    status, messages = run("read", sync_mode="incremental")
    # An empty JSON Lines file is a good file without rows.
    assert status == (0 if format == "jsonl" else 1)
    assert bool(states_of(messages)) == (format == "jsonl")


@pytest.mark.parametrize("format", ["csv", "parquet"], indirect=True)
def test_the_only_file_fails_if_it_becomes_empty(write, run):
    write("data/1", id=["1"], name=["a"], city=["Bonn"])
    state = states_of(run("read", sync_mode="incremental")[1])
    write("data/1")
    status, messages = run("read", sync_mode="incremental", state=state)
    assert (status, states_of(messages)) == (1, [])


def test_a_stream_that_was_read_may_find_no_file(write, run, tmp_path):
    write("data/1", id=["1"], name=["a"], city=["Bonn"])
    _, messages = run("read", sync_mode="incremental")
    state = states_of(messages)
    (tmp_path / "data" / "1").unlink()
    status, messages = run("read", sync_mode="incremental", state=state)
    assert status == 0, messages
    (warning,) = warnings_of(messages)
    assert "no file matches the pattern" in warning
    assert run("read", sync_mode="incremental")[0] == 1
    assert run("read", state=state)[0] == 1


def test_file_names_and_partitions_are_columns_on_request(write, run):
    write("data/year=2024/city=K%C3%B6ln/1.x", id=["1"], name=["a"])
    write("data/year=2025/city=__HIVE_DEFAULT_PARTITION__/2.x", id=["2"], name=["b"])
    names = {name: {"type": "string"} for name in ("file", "id", "year", "name", "city")}
    more = {"file_name_column": "file", "hive_partitions": True, "columns": {"type": "object", "properties": names}}
    status, messages = run("read", "**/*.x", **more)
    assert status == 0, messages
    assert warnings_of(messages) == []
    assert [m.record.data for m in messages if m.record] == [
        {"file": "year=2024/city=K%C3%B6ln/1.x", "id": "1", "year": "2024", "name": "a", "city": "Köln"},
        {
            "file": "year=2025/city=__HIVE_DEFAULT_PARTITION__/2.x", "id": "2", "year": "2025", "name": "b",
            "city": None,
        },
    ]  # fmt: skip
    _, messages = run("read", "year=2024/city=K%C3%B6ln/1.x", **more)
    assert [m.record.data["file"] for m in messages if m.record] == ["1.x"]
