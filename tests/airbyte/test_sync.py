"""The engine: what a connector prints, and what is in the database afterwards."""

import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import psycopg
import pytest
from airbyte_testing import connection_of, record, records, stream, trace_error, wait_until

from airbyte_local.connectors.messages import ConnectorError
from airbyte_local.destinations.contract import DestinationError
from airbyte_local.sync.outcome import SyncError
from airbyte_local.sync.stream_writer import BATCH_ROWS

IDS = "select id from raw.numbers order by id"


def schema_of(**properties):
    """A JSON schema with these properties."""
    return {"type": "object", "properties": properties}


def test_records_become_rows_with_the_columns_of_airbyte(sync, query):
    totals, _ = sync(record("numbers", {"id": 1, "text": "one"}, emitted_at=1582180998123), sync_id=42)
    ((row_id, text, raw_id, extracted_at, meta),) = query("select * from raw.numbers")
    assert (row_id, text) == (1, "one")
    assert len(raw_id) == 36
    assert extracted_at.isoformat() == "2020-02-20T06:43:18.123000+00:00"
    assert meta == {"sync_id": 42, "changes": []}
    assert (totals.rows, totals.nulled) == (1, {})
    assert totals.bytes == len(record("numbers", {"id": 1, "text": "one"}, emitted_at=1582180998123))


def test_columns_have_the_declared_types(sync, query):
    naive = {"type": "string", "format": "date-time", "airbyte_type": "timestamp_without_timezone"}
    schema = schema_of(
        i={"type": "integer"},
        n={"type": "number"},
        b={"type": "boolean"},
        d={"type": "string", "format": "date"},
        t={"type": "string", "format": "date-time"},
        u=naive,
        o={"type": "object"},
        s={"type": "string"},
    )
    data = {
        "i": 1,
        "n": 1.5,
        "b": True,
        "d": "2020-02-20",
        "t": "2020-02-20T06:00:00+02:00",
        "u": "2020-02-20 06:00:00",
    }
    sync(record("numbers", {**data, "o": {"a": 1}, "s": "1e5"}), streams=[stream(schema=schema)])
    columns = "select column_name, data_type from information_schema.columns where table_name = 'numbers'"
    assert {name: kind for name, kind in query(columns) if len(name) == 1} == {
        "i": "bigint",
        "n": "numeric",
        "b": "boolean",
        "d": "date",
        "t": "timestamp with time zone",
        "u": "timestamp without time zone",
        "o": "jsonb",
        "s": "text",
    }
    values = "select i, n, b, d::text, t = '2020-02-20 04:00:00+00', u::text, o, s from raw.numbers"
    assert query(values) == [(1, Decimal("1.5"), True, "2020-02-20", True, "2020-02-20 06:00:00", {"a": 1}, "1e5")]


@pytest.mark.parametrize("others", [{}, {"o": {}}])
@pytest.mark.parametrize(
    "number",
    [
        "12345678901234567.89",
        "-0.1234567890123456789",
        "123456789012345678901234567890",
        "0.30000000000000004",
        "90071992547409.93",
        "9007199254740993.0",
    ],
)
def test_a_number_keeps_its_digits(sync, query, number, others):
    schema = schema_of(n={"type": "number"}, s={"type": "string"}, i={"type": "integer"}, o={"type": "object"})
    schema["properties"] = {name: each for name, each in schema["properties"].items() if name != "o" or others}
    lines = [record("numbers", {"n": 0.5, "s": 0.5, "i": 0, **others}).replace("0.5", each) for each in ("1.5", number)]
    sync(*lines, streams=[stream(schema=schema)])
    assert query("select n, s from raw.numbers order by s = '1.5'") == [
        (Decimal(number), number),
        (Decimal("1.5"), "1.5"),
    ]


@pytest.mark.parametrize("number", ["123456789012345678901234567890", "90071992547409.93", "-9223372036854775809"])
@pytest.mark.parametrize("shape", ['{"a": %s}', "[1, %s]", '{"a": [{"b": %s}, 0.5]}'])
def test_a_number_within_json_keeps_its_digits(sync, query, number, shape):
    schema = schema_of(o={"type": ["object"]}, s={"type": "string"}, t={"type": "object"})
    value = shape % number
    line = record("numbers", {"o": "value", "s": "value", "t": value}).replace('"value"', value)
    sync(line, streams=[stream(schema=schema)])
    packed = value.replace(" ", "")
    assert query("select o::text, s, t::text from raw.numbers") == [(value, packed, value)]


@pytest.mark.parametrize(
    ("kind", "text", "number"),
    [({"type": "integer"}, "9007199254740993.0", 9007199254740993), ({"type": "number"}, "1e5", 100_000)],
)
def test_an_exact_number_of_another_spelling_arrives(sync, query, kind, text, number):
    sync(record("numbers", {"n": 0.5}).replace("0.5", text), streams=[stream(schema=schema_of(n=kind))])
    assert query("select n from raw.numbers") == [(number,)]


@pytest.mark.parametrize("text", ["1e400", "-1e400", "1e-400", "90071992547409.93", "9007199254740993"])
def test_a_number_that_a_double_cannot_hold_is_null_with_a_note(sync, query, text):
    schema = schema_of(n={"type": "number", "format": "double"})
    totals, _ = sync(record("numbers", {"n": 0.5}).replace("0.5", text), streams=[stream(schema=schema)])
    ((number, meta),) = query("select n, _airbyte_meta from raw.numbers")
    reason = {"field": "n", "change": "NULLED", "reason": "DESTINATION_TYPECAST_ERROR", "value": text}
    assert (number, meta["changes"], totals.nulled) == (None, [reason], {"numbers.n": 1})


def test_nanoseconds_are_cut_with_a_note_and_counted(sync, query):
    schema = schema_of(t={"type": "string", "format": "date-time"})
    fine = "2024-01-01T00:00:00.123456789Z"
    lines = [record("numbers", {"t": text}) for text in (fine, "2024-01-01T00:00:00.123456000Z")]
    totals, log = sync(*lines, streams=[stream(schema=schema)])
    note = {"field": "t", "change": "TRUNCATED", "reason": "DESTINATION_FIELD_SIZE_LIMITATION", "value": fine}
    assert query("select t::text, _airbyte_meta->'changes' from raw.numbers order by 2 desc") == [
        ("2024-01-01 00:00:00.123456+00", [note]),
        ("2024-01-01 00:00:00.123456+00", []),
    ]
    assert (totals.nulled, totals.truncated) == ({}, {"numbers.t": 1})
    assert "WARNING numbers.t: 1 times were cut to microseconds" in log


@pytest.mark.parametrize("text", ["00123", "1e5", "a\tb\nc\r\n\\N \\", "ü€😀 ‮", '"quoted"', "", "null"])
def test_text_arrives_byte_for_byte(sync, query, text):
    sync(record("numbers", {"id": 1, "text": text}))
    assert query("select text from raw.numbers") == [(text,)]


def test_a_value_that_does_not_fit_is_null_with_the_reason_and_counted(sync, query):
    earlier = {"field": "text", "change": "NULLED", "reason": "SOURCE_FIELD_SIZE_LIMITATION"}
    totals, log = sync(
        record("numbers", {"id": "x", "text": "kept"}),
        record("numbers", {"id": "y", "text": None}, meta={"changes": [earlier]}),
        record("numbers", {"id": "3"}),
        record("numbers", {"id": ["long" * 999], "text": "listed"}),
    )
    own = {"field": "id", "change": "NULLED", "reason": "DESTINATION_TYPECAST_ERROR"}
    assert query("select id, text, _airbyte_meta->'changes' from raw.numbers order by text, id") == [
        (None, "kept", [own | {"value": "x"}]),
        (None, "listed", [own | {"value": '["' + "long" * 24 + "lo"}]),
        (3, None, []),
        (None, None, [earlier, own | {"value": "y"}]),
    ]
    # What the connector itself reports is counted, too.
    assert totals.nulled == {"numbers.id": 3, "numbers.text": 1}
    assert "WARNING numbers.id: 3 values did not fit" in log


def test_undeclared_keys_are_ignored(sync, query):
    sync(record("numbers", {"id": 1, "text": "a", "more": "b"}))
    assert query("select count(*) from information_schema.columns where column_name = 'more'") == [(0,)]


def test_a_second_sync_replaces_the_rows(sync, query):
    sync(*records("numbers", [1, 2, 3]))
    sync(*records("numbers", [3, 4]))
    assert query(IDS) == [(3,), (4,)]


def test_a_sync_without_records_leaves_an_empty_table(sync, query):
    sync(*records("numbers", [1]))
    totals, _ = sync()
    assert query(IDS) == []
    assert totals.rows == 0


def test_more_records_than_a_batch_all_arrive(sync, query, tmp_path):
    count = 2 * BATCH_ROWS + 1
    totals, _ = sync(count=count)
    assert query("select count(*), count(distinct id), min(id), max(id) from raw.numbers") == [
        (count, count, 0, count - 1)
    ]
    assert totals.rows == count


def test_views_on_the_table_keep_working(sync, query):
    sync(*records("numbers", [1]))
    query("create view numbers_seen as select id from raw.numbers")
    before = query("select 'raw.numbers'::regclass::oid")
    sync(*records("numbers", [2]))
    assert query("select id from numbers_seen") == [(2,)]
    assert query("select 'raw.numbers'::regclass::oid") == before


@pytest.mark.parametrize("made", ["create schema raw", "create table raw.numbers (id bigint, text text)"])
def test_a_sync_waits_for_another_that_makes_the_same_schema_or_table(sync, query, database, made):
    address = {key: database[key] for key in ("host", "port", "user", "password")}
    if "table" in made:
        query("create schema raw")
    with psycopg.connect(**address, dbname=database["database"]) as other, ThreadPoolExecutor(1) as pool:
        other.execute(made)
        outcome = pool.submit(sync, *records("numbers", [1]))
        waits = "select count(*) from pg_locks where not granted"
        wait_until(lambda: query(waits) != [(0,)])
        other.commit()
        assert outcome.result(timeout=20)[0].rows == 1
    assert query(IDS) == [(1,)]


def test_streams_whose_records_alternate_each_reach_their_table(sync, query):
    lines = [line for i in range(50) for line in (*records("numbers", [i]), *records("others", [100 + i]))]
    sync(*lines, names=("numbers", "others"))
    assert query("select count(*), max(id) from raw.numbers") == [(50, 49)]
    assert query("select count(*), max(id) from raw.others") == [(50, 149)]


def test_prefix_and_namespace_name_the_table(sync, query):
    more = {"prefix": "my_", "namespaceDefinition": "custom_format", "namespaceFormat": "own Schema"}
    sync(*records("numbers", [1]), connection=connection_of("numbers", **more))
    assert query('select id from "own Schema".my_numbers') == [(1,)]


def test_a_new_column_is_added_and_a_removed_one_stays_null(sync, query):
    sync(*records("numbers", [1]))
    schema = schema_of(id={"type": "integer"}, size={"type": "number"})
    sync(record("numbers", {"id": 2, "size": 2}), streams=[stream(schema=schema)])
    assert query("select id, text, size from raw.numbers") == [(2, None, 2)]


def test_a_changed_type_stops_the_sync_and_keeps_the_rows(sync, query):
    sync(*records("numbers", [1]))
    schema = schema_of(id={"type": "string"}, text={"type": "string"})
    with pytest.raises(
        DestinationError, match=r"column id of table raw\.numbers is bigint, but the stream declares text"
    ):
        sync(*records("numbers", [2]), streams=[stream(schema=schema)])
    assert query(IDS) == [(1,)]


def test_lines_that_are_not_json_are_logged_and_ignored(sync, query):
    lines = ["Starting…\n", *records("numbers", [1]), "[1, 2]\n", '"text"\n', "\n", *records("numbers", [2])]
    _, log = sync(*lines)
    assert query(IDS) == [(1,), (2,)]
    assert "connector output: Starting…" in log
    assert "connector output: [1, 2]" in log


def test_messages_of_all_other_kinds_are_logged_or_ignored(sync, query):
    descriptor = {"name": "numbers"}
    messages = [
        {"type": "LOG", "log": {"level": "WARN", "message": "slow today"}},
        {"type": "STATE", "state": {"type": "STREAM", "stream": {"stream_descriptor": descriptor}}},
        {"type": "STATE", "state": {"data": {"legacy": 1}}},
        {
            "type": "TRACE",
            "trace": {
                "type": "STREAM_STATUS",
                "emitted_at": 1,
                "stream_status": {"stream_descriptor": descriptor, "status": "COMPLETE"},
            },
        },
        {
            "type": "CONTROL",
            "control": {"type": "CONNECTOR_CONFIG", "emitted_at": 1, "connectorConfig": {"config": {"token": "new"}}},
        },
        {"type": "SOMETHING_NEW", "content": 1},
    ]
    _, log = sync(*[json.dumps(message) + "\n" for message in messages], *records("numbers", [1]))
    assert query(IDS) == [(1,)]
    assert "WARNING connector: slow today" in log
    assert "INFO connector: stream numbers is COMPLETE" in log
    assert "connections.yaml is not changed" in log
    assert "SOMETHING_NEW" in log


def test_a_last_line_without_newline_counts(sync, query):
    first, second = records("numbers", [1, 2])
    sync(first, second.rstrip())
    assert query(IDS) == [(1,), (2,)]


def test_a_trace_error_fails_the_sync_with_its_message_and_keeps_the_rows(sync, query):
    sync(*records("numbers", [1]))
    with pytest.raises(ConnectorError, match=r"^the door is locked$"):
        sync(*records("numbers", [2]), trace_error("the door is locked", stack_trace="deep"), trace_error("later"))
    assert query(IDS) == [(1,)]


def test_an_exit_status_fails_the_sync_with_the_last_output_and_keeps_the_rows(sync, query):
    sync(*records("numbers", [1]))
    with pytest.raises(ConnectorError, match=r"(?s)source_scripted ended with exit status 3 on read: .*no such thing"):
        sync(*records("numbers", [2]), stderr="no such thing\n", exit=3)
    assert query(IDS) == [(1,)]


@pytest.mark.parametrize(
    "line",
    [
        '{"type": "RECORD", "record": {"stream": "numbers", "data": {"id": NaN}, "emitted_at": 1}}\n',
        '{"type": "RECORD", "record": {"stream": "num',
        '{"type": "RECORD", "record": {"stream": "numbers", "emitted_at": 1}}\n',
        '{"type": "RECORD"}\n',
    ],
    ids=["NaN", "cut off", "without data", "without record"],
)
def test_a_broken_record_fails_the_sync_instead_of_losing_a_row(sync, query, line):
    sync(*records("numbers", [1]))
    with pytest.raises((SyncError, ConnectorError), match=r"printed a broken .*RECORD"):
        sync(*records("numbers", [2]), line)
    assert query(IDS) == [(1,)]


def test_a_nul_character_is_refused_with_record_and_column(sync, query):
    sync(*records("numbers", [1]))
    with pytest.raises(SyncError, match="record 2 of stream numbers, column text: contains a NUL character"):
        sync(*records("numbers", [1]), record("numbers", {"id": 2, "text": "a\0b"}))
    assert query(IDS) == [(1,)]


@pytest.mark.parametrize("value", [r'{"a": ["\u0000"]}', {"a": {"b\0": 1}}, "a\0b"])
def test_a_nul_character_within_json_is_refused_with_record_and_column(sync, value):
    streams = [stream(schema=schema_of(id={"type": "integer"}, o={"type": "object"}))]
    with pytest.raises(SyncError, match="record 1 of stream numbers, column o: contains a NUL character"):
        sync(record("numbers", {"id": 1, "o": value}), streams=streams)


def test_the_text_of_an_escaped_nul_within_json_is_only_text(sync, query):
    streams = [stream(schema=schema_of(id={"type": "integer"}, o={"type": "object"}))]
    sync(record("numbers", {"id": 1, "o": r'{"a": "\\u0000"}'}), streams=streams)
    assert query("select o->>'a' from raw.numbers") == [(r"\u0000",)]


def test_the_text_of_an_escaped_nul_is_only_text(sync, query):
    sync(record("numbers", {"id": 1, "text": r"\u0000"}))
    assert query("select text from raw.numbers") == [(r"\u0000",)]


def test_a_stream_that_the_source_does_not_offer_is_reported(sync):
    with pytest.raises(SyncError, match="connection absent: the source offers no stream absent, only numbers"):
        sync(connection=connection_of("absent"))


def test_a_stream_that_the_source_offers_in_two_namespaces_is_refused_with_both(sync, query):
    twins = [{**stream(), "namespace": namespace} for namespace in ("shop", "crm")]
    with pytest.raises(SyncError, match="the source offers numbers in the namespaces shop, crm; make it offer only"):
        sync(*records("numbers", [1]), streams=twins)
    sync(streams=[*twins, stream("others")], names=("others",))
    assert query("select to_regclass('raw.others')") == [("raw.others",)]


def test_records_of_a_stream_that_is_not_selected_are_ignored(sync, query):
    totals, log = sync(*records("numbers", [1]), *records("others", [2]))
    assert totals.rows == 1
    assert "streams that are not selected were ignored: others" in log
    assert query("select to_regclass('raw.others')") == [(None,)]


def test_the_connector_gets_its_configuration_and_catalog_and_no_secret_of_the_stack(sync, tmp_path, monkeypatch):
    for name in ("MLOPS_WAREHOUSE__PASSWORD", "MLFLOW_TRACKING_PASSWORD", "SHOP_TOKEN"):
        monkeypatch.setenv(name, "a secret")
    path = tmp_path / "arguments.json"
    sync(record_arguments=str(path))
    given = json.loads(path.read_text())
    assert given["config"]["record_arguments"] == str(path)
    (configured,) = given["catalog"]["streams"]
    assert (configured["sync_mode"], configured["destination_sync_mode"]) == ("full_refresh", "overwrite")
    assert configured["stream"]["name"] == "numbers"
    assert [name for name in given["environment"] if name.startswith("MLOPS_")] == []
    assert "a secret" not in given["environment"].values()


def test_rows_that_the_database_refuses_change_nothing(sync, query):
    sync(*records("numbers", [1]))
    query("alter table raw.numbers add constraint small check (id < 5)")
    with pytest.raises(psycopg.Error, match="small"):
        sync(*records("numbers", [9]))
    assert query(IDS) == [(1,)]
