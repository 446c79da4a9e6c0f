"""Which files the connector reads: patterns of paths, their order, and incremental reading file by file."""

import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_files_testing import HEADER, SCHEMA, answer, error_of, rows_of, states_of, warnings_of

from source_files import state as state_module
from source_files.state import State, key_of

pytest_plugins = ["source_files_testing"]


def write(path, *ids, at):
    """A CSV file with these ids, modified at a time in seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(HEADER + b"".join(b"%d,a\n" % i for i in ids))
    os.utime(path, (at, at))


@pytest.fixture
def sync(connector):
    """Reads incrementally; the ids of the rows, and the last state, which is the one before where there is none."""

    def run(url, state=None, **stream):
        status, messages = connector("read", url, sync_mode="incremental", state=state, **stream)
        assert status == 0, messages
        states = states_of(messages)
        return [int(row[0]) for row in rows_of(messages)], states[-1:] or state

    return run


def test_a_pattern_names_files_in_the_order_of_time_then_name(connector, tmp_path):
    write(tmp_path / "2024-3.csv", 4, at=100)
    write(tmp_path / "2024-2.csv", 1, at=50)
    write(tmp_path / "2024-1.csv", 2, 3, at=100)
    write(tmp_path / "2023-1.csv", 9, at=10)
    (tmp_path / "2024-folder.csv").mkdir()
    _, messages = connector("read", tmp_path / "2024-*.csv")
    assert [row[0] for row in rows_of(messages)] == ["1", "2", "3", "4"]
    assert states_of(messages) == []


def test_two_stars_reach_into_folders(connector, tmp_path):
    for i, name in enumerate(["a.csv", "x/b.csv", "x/y/c.csv", "x/y/d.txt"]):
        write(tmp_path / name, i, at=i)
    _, messages = connector("read", tmp_path / "**" / "*.csv")
    assert [row[0] for row in rows_of(messages)] == ["0", "1", "2"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(connector, tmp_path):
    write(tmp_path / "data[1].csv", 1, at=1)
    write(tmp_path / "data1.csv", 2, at=1)
    _, messages = connector("read", tmp_path / "data[1].csv")
    assert [row[0] for row in rows_of(messages)] == ["1"]


@pytest.mark.parametrize("command", ["check", "discover", "read"])
def test_a_pattern_that_matches_nothing_is_reported(connector, tmp_path, command):
    _, messages = connector(command, tmp_path / "*.csv", json_schema=None)
    said = messages[-1].connectionStatus.message if command == "check" else error_of(messages).message
    assert said == f"{tmp_path}/*.csv: no file matches the pattern; check the path in SOURCE or connections.yaml"


def test_a_message_names_the_file_of_a_pattern(connector, tmp_path):
    write(tmp_path / "1.csv", 1, at=1)
    (tmp_path / "2.csv").write_bytes(b"id,more,text\n1,x,a\n")
    (tmp_path / "3.csv").write_bytes(b"id\n1\n")
    os.utime(tmp_path / "2.csv", (2, 2))
    schema = {**SCHEMA, "required": ["text"]}
    status, messages = connector("read", tmp_path / "*.csv", json_schema=schema)
    assert status == 1
    assert [row[0] for row in rows_of(messages)] == ["1", "1"]
    assert warnings_of(messages) == [f"{tmp_path}/2.csv: columns that are not declared are ignored: more"]
    assert error_of(messages).message.startswith(f"{tmp_path}/3.csv, row 1: no column text")
    _, (checked,) = connector("check", tmp_path / "*.csv", json_schema=schema)
    assert checked.connectionStatus.message.startswith(f"{tmp_path}/3.csv, row 1: no column text")


def test_each_file_that_was_read_is_followed_by_a_state(connector, tmp_path):
    write(tmp_path / "1.csv", 1, 2, at=1)
    write(tmp_path / "2.csv", 3, at=2)
    _, messages = connector("read", tmp_path / "*.csv", sync_mode="incremental")
    kinds = [m.trace.stream_status.status.value if m.trace else m.type.value for m in messages]
    assert kinds == ["STARTED", "RECORD", "RECORD", "STATE", "RECORD", "STATE", "COMPLETE"]
    first = {f"{tmp_path}/1.csv": {"size": 16, "mtime_ns": 1_000_000_000}}
    second = {f"{tmp_path}/2.csv": {"size": 12, "mtime_ns": 2_000_000_000}}
    texts = {"type": "STREAM", "stream": {"stream_descriptor": {"name": "texts"}}}
    assert states_of(messages) == [
        {**texts, "stream": {**texts["stream"], "stream_state": {"files": files}}}
        for files in (first, {**first, **second})
    ]


def test_only_new_and_changed_files_are_read_again(sync, tmp_path):
    write(tmp_path / "1.csv", 1, at=10)
    write(tmp_path / "2.csv", 2, at=20)
    ids, state = sync(tmp_path / "*.csv", [])
    assert ids == [1, 2]
    assert sync(tmp_path / "*.csv", state) == ([], state)
    write(tmp_path / "0.csv", 3, at=5)  # new, though older than those read
    write(tmp_path / "1.csv", 4, 5, at=10)  # another size
    ids, state = sync(tmp_path / "*.csv", state)
    assert ids == [3, 4, 5]
    write(tmp_path / "2.csv", 6, at=15)  # another time, though an earlier one
    ids, state = sync(tmp_path / "*.csv", state)
    assert ids == [6]
    (tmp_path / "1.csv").rename(tmp_path / "moved")
    assert sync(tmp_path / "*.csv", state) == ([], state)
    (tmp_path / "moved").rename(tmp_path / "1.csv")
    assert sync(tmp_path / "*.csv", state) == ([], state)


def test_an_interrupted_sync_continues_after_the_last_complete_file(connector, sync, tmp_path):
    write(tmp_path / "1.csv", 1, at=1)
    (tmp_path / "2.csv").write_bytes(HEADER + b"2,a\n3\n")
    write(tmp_path / "3.csv", 4, at=3)
    os.utime(tmp_path / "2.csv", (2, 2))
    status, messages = connector("read", tmp_path / "*.csv", sync_mode="incremental")
    assert status == 1
    (state,) = states_of(messages)
    assert list(state["stream"]["stream_state"]["files"]) == [f"{tmp_path}/1.csv"]
    write(tmp_path / "2.csv", 2, 3, at=2)
    assert sync(tmp_path / "*.csv", [state])[0] == [2, 3, 4]


def test_full_refresh_reads_everything_whatever_the_state(connector, sync, tmp_path):
    write(tmp_path / "1.csv", 1, at=1)
    _, state = sync(tmp_path / "1.csv")
    _, messages = connector("read", tmp_path / "1.csv", state=state)
    assert [row[0] for row in rows_of(messages)] == ["1"]
    assert states_of(messages) == []


@pytest.mark.parametrize(
    ("format", "write_rows"),
    [
        ("jsonl", lambda path, i: path.write_text(f'{{"id":{i},"text":"a"}}\n')),
        ("parquet", lambda path, i: pq.write_table(pa.table({"id": [i], "text": ["a"]}), path)),
    ],
)
def test_other_formats_are_incremental_in_the_same_way(sync, tmp_path, format, write_rows):
    write_rows(tmp_path / "1", 1)
    ids, state = sync(tmp_path / "[12]", format=format)
    write_rows(tmp_path / "2", 2)
    assert (ids, sync(tmp_path / "[12]", state, format=format)[0]) == ([1], [2])


def test_a_state_belongs_only_to_its_stream(sync, tmp_path):
    write(tmp_path / "1.csv", 1, at=1)
    _, (state,) = sync(tmp_path / "1.csv")
    other = {**state, "stream": {**state["stream"], "stream_descriptor": {"name": "other"}}}
    assert sync(tmp_path / "1.csv", [other])[0] == [1]
    assert sync(tmp_path / "1.csv", [other, state])[0] == []
    empty = {**state, "stream": {"stream_descriptor": {"name": "texts"}, "stream_state": {}}}
    assert sync(tmp_path / "1.csv", [empty])[0] == [1]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ([{"type": "LEGACY", "data": {"x": 1}}], "the state is not per stream; sync once with full_refresh_overwrite"),
        (
            [{"type": "STREAM", "stream": {"stream_descriptor": {"name": "texts"}, "stream_state": {"cursor": 1}}}],
            "cursor",
        ),
        ({"files": {}}, "the state is not one of source_files: "),
    ],
    ids=["legacy", "another connector's", "no list"],
)
def test_a_state_that_is_not_the_connectors_is_reported(connector, tmp_path, state, words):
    write(tmp_path / "1.csv", 1, at=1)
    status, messages = connector("read", tmp_path / "1.csv", sync_mode="incremental", state=state)
    assert status == 1
    assert words in error_of(messages).message
    assert "full_refresh_overwrite" in error_of(messages).message


def test_a_state_has_a_size_limit_and_no_file_is_read_twice(monkeypatch):
    monkeypatch.setattr(state_module, "HISTORY", 3)
    state, versions = State(), {f"{i}.csv": {"size": i, "mtime_ns": 10 * (i // 2)} for i in range(10)}
    for path, version in versions.items():
        assert not state.has(path, version)
        state.add(path, version)
        state = State.model_validate_json(state.model_dump_json())
        assert len(state.files) <= 3
    assert all(state.has(path, version) for path, version in versions.items())
    assert state.until == (30, "6.csv")
    # Changed ones are read again, whether or not they are among the last.
    assert not state.has("0.csv", {"size": 0, "mtime_ns": 41})
    assert not state.has("9.csv", {"size": 8, "mtime_ns": 5})
    assert not state.has("91.csv", {"size": 1, "mtime_ns": 40})
    state.add("5.csv", {"size": 0, "mtime_ns": 1})
    assert state.until == (30, "6.csv")


ETAG, MODIFIED = {"ETag": '"1"'}, {"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}


@pytest.mark.parametrize(
    ("headers", "version", "again"),
    [
        (ETAG, {"etag": '"1"'}, []),
        (MODIFIED, {"last_modified": "Wed, 21 Oct 2015 07:28:00 GMT"}, []),
        ({**ETAG, **MODIFIED}, {"etag": '"1"'}, []),
        ({}, {}, [1]),
    ],
    ids=["ETag", "Last-Modified", "both", "neither"],
)
def test_a_url_is_read_again_unless_the_server_names_the_same_version(sync, server, headers, version, again):
    server.answers["/x.csv?token=s3cret"] = answer(200, HEADER + b"1,a\n", **headers)
    url = f"{server.url}/x.csv?token=s3cret"
    ids, state = sync(url)
    assert ids == [1]
    assert state[0]["stream"]["stream_state"] == {"files": {f"{server.url}/x.csv?": version}}
    assert sync(url, state)[0] == again


@pytest.mark.parametrize(
    ("headers", "condition"),
    [(ETAG, ("If-None-Match", '"1"')), (MODIFIED, ("If-Modified-Since", MODIFIED["Last-Modified"]))],
)
def test_the_server_need_not_send_what_was_read(sync, server, headers, condition):
    name, value = condition

    def conditional(handler):
        unchanged = handler.headers[name] == value
        answer(304 if unchanged else 200, b"" if unchanged else HEADER + b"1,a\n", **headers)(handler)

    server.answers["/x.csv"] = conditional
    ids, state = sync(f"{server.url}/x.csv")
    assert (ids, sync(f"{server.url}/x.csv", state)) == ([1], ([], state))
    server.answers["/x.csv"] = answer(200, HEADER + b"2,a\n", ETag='"2"')
    ids, state = sync(f"{server.url}/x.csv", state)
    assert ids == [2]
    assert state[0]["stream"]["stream_state"]["files"] == {f"{server.url}/x.csv?": {"etag": '"2"'}}


def test_two_streams_of_one_name_are_reported(tmp_path):
    from source_files.config import load
    from source_files.errors import SourceError

    (tmp_path / "config").write_text('{"streams": [{"name": "a", "url": "x"}, {"name": "a", "url": "y"}]}')
    with pytest.raises(SourceError, match="two streams have the name a"):
        load(tmp_path / "config")


def test_the_columns_of_a_read_need_not_be_declared(connector, tmp_path):
    write(tmp_path / "1.csv", 1, at=1)
    _, messages = connector("read", tmp_path / "1.csv", json_schema=None, columns=SCHEMA)
    assert rows_of(messages) == [("1", "a")]


@pytest.mark.parametrize(
    ("before", "after", "is_same"),
    [
        ("month=1", "month=2", False),
        ("", "month=2", False),
        ("a=1&b=2", "b=2&a=1", True),
        ("month=1&token=s3cret", "month=1&token=other", True),
        ("month=1&token=s3cret", "month=2&token=s3cret", False),
        ("access_token=s3cret", "", True),
        ("X-Amz-Date=1&X-Amz-Signature=s3cret&v=1", "X-Amz-Date=2&X-Amz-Signature=x&v=1", True),
        ("X-Goog-Date=1&X-Goog-Signature=s3cret", "X-Goog-Date=2&X-Goog-Signature=x", True),
        ("Expires=1&Signature=s3cret&Key-Pair-Id=1", "Expires=2&Signature=x&Key-Pair-Id=2", True),
        ("Expires=1", "Expires=2", False),
        ("sv=1&se=1&sp=r&sr=b&sig=s3cret", "sv=1&se=2&sp=r&sr=b&sig=x", True),
        ("se=1&sp=r", "se=2&sp=r", False),
        ("pageToken=1", "pageToken=2", False),
    ],
)
def test_another_query_is_another_file_unless_only_its_signature_differs(before, after, is_same):
    keys = {key_of(f"https://user:s3cret@example.com/x.csv?{query}") for query in (before, after)}
    assert len(keys) == (1 if is_same else 2)
    assert not any("s3cret" in key or "month" in key for key in keys)


def test_a_changed_query_is_read_although_the_version_is_the_same(sync, server):
    for month in "12":
        server.answers[f"/x.csv?month={month}"] = answer(200, HEADER + f"{month},a\n".encode(), ETag='"1"')
    ids, state = sync(f"{server.url}/x.csv?month=1")
    assert (ids, sync(f"{server.url}/x.csv?month=1", state)[0]) == ([1], [])
    ids, state = sync(f"{server.url}/x.csv?month=2", state)
    assert (ids, sync(f"{server.url}/x.csv?month=1", state)[0]) == ([2], [])


@pytest.mark.parametrize("query", ["", "?month=1", "?month=1&token=s3cret"])
def test_a_state_of_an_earlier_release_which_lacks_queries_is_continued(sync, server, query):
    server.answers[f"/x.csv{query}"] = server.answers["/x.csv?month=2"] = answer(200, HEADER + b"1,a\n", ETag='"1"')
    texts = {
        "stream_descriptor": {"name": "texts"},
        "stream_state": {"files": {f"{server.url}/x.csv": {"etag": '"1"'}}},
    }
    ids, state = sync(f"{server.url}/x.csv{query}", [{"type": "STREAM", "stream": texts}])
    assert ids == []
    assert sync(f"{server.url}/x.csv{query}", state)[0] == []
    assert sync(f"{server.url}/x.csv?month=2", state)[0] == [1]
