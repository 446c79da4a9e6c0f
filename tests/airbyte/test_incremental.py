"""Incremental syncs: states, keys and cursors, and tables whose streams change."""

import json
from itertools import permutations

import pytest
from airbyte_testing import NUMBERS, connection_of, record, records, stream

from airbyte_local.connectors.messages import ConnectorError
from airbyte_local.destinations.contract import DestinationError
from airbyte_local.sync import checkpoints
from airbyte_local.sync.outcome import SyncError

KINDS = ["STREAM", "GLOBAL", "LEGACY"]
BOTH = ["full_refresh", "incremental"]
DATED = {"type": "object", "properties": {**NUMBERS["properties"], "at": {"type": "string", "format": "date"}}}
ROWS = "select id, text from raw.numbers order by id, text"


def state(value, name="numbers", kind="STREAM"):
    """Line of a STATE message."""
    contents = {
        "STREAM": {"type": kind, "stream": {"stream_descriptor": {"name": name}, "stream_state": {"at": value}}},
        "GLOBAL": {"type": kind, "global": {"shared_state": {"at": value}, "stream_states": []}},
        "LEGACY": {"data": {"at": value}},
    }
    return json.dumps({"type": "STATE", "state": contents[kind]}) + "\n"


def of(mode, *names, **more):
    """A connection whose streams have this mode."""
    streams = [{"name": name, "syncMode": mode, **more} for name in names or ("numbers",)]
    return connection_of(*names or ("numbers",), configurations={"streams": streams})


@pytest.fixture
def incremental(sync, tmp_path):
    """Runs a sync of a stream that offers both modes; returns what the connector was given."""

    def run(*lines, mode="incremental_append", schema=NUMBERS, offered=BOTH, more=None, **config):
        streams = [stream(schema=schema) | {"supported_sync_modes": offered, "source_defined_cursor": True}]
        told = tmp_path / "told.json"
        connection = of(mode, **(more or {}))
        sync(*lines, connection=connection, streams=streams, record_arguments=str(told), **config)
        return json.loads(told.read_text())

    return run


@pytest.fixture
def commits_every_state(monkeypatch):
    """Commits as often as there is a state to keep."""
    monkeypatch.setattr(checkpoints, "COMMIT_ROWS", 0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_next_sync_gets_the_last_state(incremental, query, kind):
    assert incremental(*records("numbers", [1]), state("early", kind=kind), state("late", kind=kind))["state"] is None
    told = incremental(*records("numbers", [2]), state("later", kind=kind))["state"]
    message = json.loads(state("late", kind=kind))["state"]
    assert told == (message["data"] if kind == "LEGACY" else [message])
    assert query(ROWS) == [(1, "text 1"), (2, "text 2")]


@pytest.mark.parametrize(
    "number", ["123456789012345678901234567890", "-9223372036854775809", "90071992547409.93", "1e400"]
)
def test_a_number_in_a_state_keeps_its_digits(incremental, number):
    incremental(state(["here"]).replace('"here"', number))
    assert number in incremental()["text_of_state"]


def test_after_a_failure_exactly_the_rows_that_the_state_covers_exist(incremental, query, commits_every_state):
    with pytest.raises(ConnectorError, match="exit status 3"):
        incremental(*records("numbers", [1, 2]), state("two"), *records("numbers", [3]), exit=3)
    assert query(ROWS) == [(1, "text 1"), (2, "text 2")]
    told = incremental(*records("numbers", [3]), state("three"))["state"]
    assert told[0]["stream"]["stream_state"] == {"at": "two"}
    assert query(ROWS) == [(1, "text 1"), (2, "text 2"), (3, "text 3")]


def test_a_state_before_any_record_is_kept(incremental, query, commits_every_state):
    incremental(state("start"))
    assert incremental()["state"][0]["stream"]["stream_state"] == {"at": "start"}
    assert query(ROWS) == []


@pytest.mark.parametrize(("before", "after"), [*permutations(KINDS, 2)])
def test_a_state_of_another_kind_replaces_the_old_one(incremental, before, after):
    incremental(state("early", kind=before))
    incremental(state("late", kind=after))
    message = json.loads(state("late", kind=after))["state"]
    assert incremental()["state"] == (message["data"] if after == "LEGACY" else [message])


def test_a_state_of_the_whole_source_is_kept_until_each_stream_has_one(sync, query, tmp_path, commits_every_state):
    told = tmp_path / "told.json"
    streams = [stream(name) | {"supported_sync_modes": BOTH, "source_defined_cursor": True} for name in ("a", "b")]
    more = {"connection": of("incremental_append", "a", "b"), "streams": streams, "record_arguments": str(told)}
    sync(state("whole", kind="LEGACY"), **more)
    with pytest.raises(ConnectorError):
        sync(*records("a", [1]), state("one", "a"), exit=1, **more)
    assert query("select count(*) from raw.a") == [(0,)]
    with pytest.raises(ConnectorError):
        sync(*records("a", [1]), state("one", "a"), *records("b", [2]), state("two", "b"), exit=1, **more)
    assert json.loads(told.read_text())["state"] == {"at": "whole"}
    assert query("select id from raw.a union all select id from raw.b") == [(1,), (2,)]
    sync(**more)
    assert [each["stream"]["stream_state"] for each in json.loads(told.read_text())["state"]] == [
        {"at": "one"},
        {"at": "two"},
    ]


def test_a_state_of_a_stream_that_is_not_selected_does_not_replace_that_of_the_source(incremental):
    incremental(*records("numbers", [1]), state("whole", kind="GLOBAL"), state("late", "others"))
    assert incremental()["state"][0]["global"]["shared_state"] == {"at": "whole"}


def test_a_state_of_a_stream_that_is_not_selected_is_not_kept(incremental, query):
    incremental(*records("numbers", [1]), state("late"), state("late", "others"))
    assert query("select stream from airbyte.states where namespace = ''") == [("numbers",)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_refresh_gets_no_state_and_deletes_the_stored_one(incremental, kind):
    incremental(*records("numbers", [1]), state("late", kind=kind))
    assert incremental(state("odd"), mode="full_refresh_overwrite")["state"] is None
    assert incremental()["state"] is None


def test_a_full_refresh_that_appends_adds_all_rows_or_none(incremental, query, commits_every_state):
    mode = "full_refresh_append"
    incremental(*records("numbers", [1]), mode=mode)
    with pytest.raises(ConnectorError):
        incremental(*records("numbers", [2]), state("two"), mode=mode, exit=1)
    incremental(*records("numbers", [1, 3]), mode=mode)
    assert query("select id from raw.numbers order by id") == [(1,), (1,), (3,)]


def test_generation_ids_are_sent_as_in_airbyte(incremental):
    told = incremental(mode="full_refresh_overwrite", sync_id=7)["catalog"]["streams"][0]
    assert (told["generation_id"], told["minimum_generation_id"], told["sync_id"]) == (7, 7, 7)
    told = incremental(sync_id=8)["catalog"]["streams"][0]
    assert (told["generation_id"], told["minimum_generation_id"], told["sync_id"]) == (0, 0, 8)


class TestDedup:
    """One row a key."""

    @pytest.fixture
    def dedup(self, incremental):
        """Runs a sync that keeps one row an id, the one of the latest date."""

        def run(*rows, cursor=("at",), more=None, **config):
            lines = [record("numbers", {"id": i, "text": text, "at": at}) for i, text, at in rows]
            more = {"primaryKey": [["id"]], "cursorField": list(cursor), **(more or {})}
            return incremental(*lines, mode="incremental_deduped_history", schema=DATED, more=more, **config)

        return run

    def test_the_row_with_the_latest_cursor_wins_within_and_between_syncs(self, dedup, query):
        dedup((1, "old", "2020-01-02"), (1, "older", "2020-01-01"), (2, "only", "2020-01-01"))
        assert query(ROWS) == [(1, "old"), (2, "only")]
        dedup((1, "oldest", "2019-01-01"), (2, "new", "2020-02-01"), (3, "first", None))
        assert query(ROWS) == [(1, "old"), (2, "new"), (3, "first")]
        dedup((3, "second", "2020-01-01"))
        assert query(ROWS) == [(1, "old"), (2, "new"), (3, "second")]

    def test_among_equal_cursors_the_last_to_arrive_wins(self, dedup, query):
        dedup((1, "a", "2020-01-01"), (1, "b", "2020-01-01"))
        assert query(ROWS) == [(1, "b")]
        dedup((1, "c", "2020-01-01"))
        assert query(ROWS) == [(1, "c")]

    def test_without_a_cursor_the_last_to_arrive_wins(self, dedup, query):
        dedup((1, "a", "2020-01-02"), (1, "b", "2020-01-01"), cursor=())
        assert query(ROWS) == [(1, "b")]

    def test_a_record_without_its_key_is_refused_with_the_column(self, dedup, query):
        dedup((1, "a", "2020-01-01"))
        with pytest.raises(DestinationError, match="no value in id, a column of its primary key"):
            dedup((2, "b", "2020-01-01"), (None, "c", "2020-01-01"))
        assert query(ROWS) == [(1, "a")]

    def test_existing_rows_with_the_same_key_are_refused_with_an_example(self, dedup, incremental):
        incremental(*records("numbers", [1, 1]), schema=DATED)
        with pytest.raises(DestinationError, match=r"raw\.numbers has rows with the same id .*\(id\)=\(1\)"):
            dedup((1, "a", "2020-01-01"))

    def test_another_key_or_none_may_be_chosen_later(self, dedup, incremental, query):
        dedup((1, "a", "2020-01-01"))
        dedup((1, "b", "2020-01-01"), more={"primaryKey": [["text"]]})
        assert query(ROWS) == [(1, "a"), (1, "b")]
        incremental(*records("numbers", [1]), schema=DATED)
        assert query(ROWS) == [(1, "a"), (1, "b"), (1, "text 1")]

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            ({"primaryKey": []}, "stream numbers: incremental_deduped_history needs a primaryKey"),
            ({"primaryKey": [["id", "deep"]]}, "id.deep is not a column of the stream, which has id, text, at"),
            ({"primaryKey": [["name"]]}, "name is not a column"),
            ({"cursorField": ["when"]}, "when is not a column"),
        ],
    )
    def test_a_wrong_key_or_cursor_is_refused(self, dedup, more, words):
        with pytest.raises(SyncError, match=words):
            dedup(more=more)


def test_a_mode_that_the_source_does_not_offer_is_refused(incremental):
    with pytest.raises(SyncError, match="stream numbers: the source offers full_refresh, not incremental_append"):
        incremental(offered=["full_refresh"])


def test_an_incremental_stream_without_any_cursor_is_refused(sync):
    offered = [stream() | {"supported_sync_modes": BOTH}]
    with pytest.raises(SyncError, match="incremental_append needs a cursorField"):
        sync(connection=of("incremental_append"), streams=offered)


def test_a_stream_that_the_source_did_not_complete_fails_the_attempt(sync, query):
    status = {"stream_descriptor": {"name": "numbers"}, "status": "INCOMPLETE"}
    trace = {"type": "TRACE", "trace": {"type": "STREAM_STATUS", "emitted_at": 1.0, "stream_status": status}}
    with pytest.raises(ConnectorError, match="did not complete the stream numbers"):
        sync(*records("numbers", [1]), json.dumps(trace) + "\n")
    assert query("select to_regclass('raw.numbers')") == [(None,)]
