"""Connectors that do not behave."""

import json
from pathlib import Path

import pytest
from airbyte_testing import record, records, stream

from airbyte_local.connectors import process as connector
from airbyte_local.connectors.messages import ConnectorError
from airbyte_local.sync.outcome import SyncError

IDS = "select id from raw.numbers order by id"


def test_a_line_that_is_too_long_fails_the_attempt(sync, query, monkeypatch):
    monkeypatch.setattr(connector, "_LINE", 1 << 20)
    with pytest.raises(ConnectorError, match="printed a line of over 1 MB: xxx"):
        sync(*records("numbers", [1]), "x" * (3 << 20))
    assert query("select to_regclass('raw.numbers')") == [(None,)]


def test_a_last_line_without_a_newline_counts(sync, query):
    sync(*records("numbers", [1]), record("numbers", {"id": 2}).rstrip("\n"))
    assert query(IDS) == [(1,), (2,)]


def test_bytes_that_are_not_text_are_logged(sync, query):
    _, log = sync(*records("numbers", [1]), bytes=b"\xff\xfe is not UTF-8\n".hex())
    assert query(IDS) == [(1,)]
    assert r"connector output: \xff\xfe is not UTF-8" in log


def test_a_record_that_is_not_utf_8_fails_the_attempt(sync):
    line = record("numbers", {"id": 2, "text": "?"}).encode().replace(b"?", b"\xff")
    with pytest.raises(ConnectorError, match=r"printed a broken message .*xff"):
        sync(*records("numbers", [1]), bytes=line.hex())


@pytest.mark.parametrize(
    "record",
    [
        {"data": {"id": 1}, "emitted_at": 1},
        {"stream": "numbers", "emitted_at": 1},
        {"stream": "numbers", "data": [1], "emitted_at": 1},
        {"stream": "numbers", "data": {"id": 1}},
        {"stream": "numbers", "data": {"id": 1}, "emitted_at": "x"},
        {"stream": "numbers", "data": {"id": 1}, "emitted_at": 10**18},
        {"stream": ["numbers"], "data": {"id": 1}, "emitted_at": 1},
    ],
)
def test_a_record_with_missing_fields_is_reported_or_ignored(sync, query, record):
    line = json.dumps({"type": "RECORD", "record": record}) + "\n"
    if record.get("stream"):
        with pytest.raises(SyncError, match="printed a broken RECORD"):
            sync(*records("numbers", [7]), line)
    else:
        _, log = sync(*records("numbers", [7]), line)
        assert "records of streams that are not selected were ignored: None" in log
        assert query(IDS) == [(7,)]


@pytest.mark.parametrize(
    "line",
    [
        '{"type":"RECORD","record":5}',
        '{"type":"STATE"}',
        '{"type":"STATE","state":[]}',
        '{"type":"STATE","state":{"type":"STREAM"}}',
        '{"type":"STATE","state":{"type":"STREAM","stream":{"stream_descriptor":{"name":[]}}}}',
    ],
)
def test_a_message_without_its_content_fails_the_attempt(sync, line):
    with pytest.raises((ConnectorError, SyncError), match=r"printed a broken (RECORD|STATE): "):
        sync(line + "\n")


@pytest.mark.parametrize("line", ["7", "[]", '{"type":7}', '{"type":[]}', '{"no":"type"}', "", "null", "1,2"])
def test_json_that_is_not_a_message_is_text(sync, query, line):
    sync(*records("numbers", [1]), line + "\n", *records("numbers", [2]))
    assert query(IDS) == [(1,), (2,)]


@pytest.mark.parametrize(
    ("streams", "words"),
    [
        (None, r"source_scripted printed a broken CATALOG: streams: "),
        ([{"name": "numbers"}], r"printed a broken CATALOG: streams\.0\.json_schema: "),
        ([stream(schema={"properties": []})], "source_scripted printed a broken schema of the stream numbers: "),
        ([stream(schema={"properties": {"id": None}})], "printed a broken schema of the stream numbers: "),
        ([stream(schema={"properties": {"id": {"type": 5}}})], "printed a broken schema of the stream numbers: "),
    ],
)
def test_a_broken_catalog_fails_the_attempt(sync, streams, words):
    with pytest.raises(ConnectorError, match=words):
        sync(streams=streams)


def test_a_property_that_may_be_anything_is_text(sync, query):
    sync(record("numbers", {"id": 1}), streams=[stream(schema={"properties": {"id": True}})])
    assert query(IDS) == [("1",)]


def test_if_a_log_grows_too_large_the_oldest_lines_are_dropped(scripted_service, query):
    service = scripted_service(lines=["x" * 1000 + "\n", *records("numbers", [1])], times=25_000)
    job = service.sync("numbers")
    assert (job["status"], query("select count(*) from raw.numbers")) == ("succeeded", [(25_000,)])
    logs = Path(job["logFile"]).parent
    assert sum(path.stat().st_size for path in logs.glob("job-*")) < 21 << 20
    assert "succeeded" in Path(job["logFile"]).read_text()
