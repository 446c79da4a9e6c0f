"""What every destination does with rows and states: the same facts for PostgreSQL and BigQuery."""

import json
import os
import subprocess
import sys
import threading
import uuid
from contextlib import closing
from datetime import UTC, date, datetime, time
from decimal import Decimal

import pyarrow as pa
import pytest
from airbyte_testing import PYTHONPATH, connection_of, declare, record, records, stream, wait_until
from destination_testing import (
    CONNECTION,
    DATED,
    DEDUP,
    OVERWRITE,
    TEXTS,
    OnBigQuery,
    OnPostgres,
    state,
    table_of,
)
from google.api_core.exceptions import Cancelled
from google.cloud.bigquery import QueryJob
from pydantic import SecretStr

from airbyte_local.columns import Column, Kind
from airbyte_local.destinations import bigquery, bigquery_client, bigquery_sql
from airbyte_local.destinations.bigquery_files import staged
from airbyte_local.destinations.contract import DestinationError, DestinationUnavailableError, State, Table
from airbyte_local.destinations.factory import open_destination


class DestinationFacts:
    def test_reading_the_states_for_display_does_not_disturb_an_attempt(self, attempt, configuration):
        with closing(open_destination(configuration, sync_id=0)) as onlooker:
            assert onlooker.peek(CONNECTION) == []
            goes_on = attempt(table_of())
            assert onlooker.peek(CONNECTION) == []
            goes_on.commit(CONNECTION, [state(1, "numbers"), state(1, "letters")], final=False)
            assert onlooker.peek(CONNECTION) == [state(1, "letters"), state(1, "numbers")]
            goes_on.commit(CONNECTION, [state(2, "numbers")], final=True)
            assert onlooker.peek(CONNECTION) == [state(1, "letters"), state(2, "numbers")]

    def test_values_of_every_kind_arrive(self, load, select):
        values = {
            Kind.INTEGER: -(2**63),
            Kind.NUMBER: "12.50",
            Kind.DOUBLE: 0.1,
            Kind.BOOLEAN: False,
            Kind.DATE: "2024-01-31",
            Kind.TIME: "10:00:00.5",
            Kind.TIMESTAMP: "2024-01-31T10:00:00.123456",
            Kind.TIMESTAMP_TZ: "2024-01-31 10:00:00+05:30",
            Kind.JSON: '{"a": [1, "ü"]}',
            Kind.TEXT: '00123\t\\N\n"quoted" \'ü€😀',
        }
        table = table_of(columns=tuple(Column(kind.name.lower(), kind) for kind in values))
        load(table, tuple(values.values()), (None,) * len(values))
        names = ", ".join(column.name for column in table.columns)
        first, second = select(f"select {names} from raw.numbers order by text is null")
        assert first == (
            -(2**63),
            Decimal("12.5"),
            0.1,
            False,
            date(2024, 1, 31),
            time(10, 0, 0, 500000),
            datetime(2024, 1, 31, 10, 0, 0, 123456),
            datetime(2024, 1, 31, 4, 30, tzinfo=UTC),
            {"a": [1, "ü"]},
            values[Kind.TEXT],
        )
        assert second == (None,) * len(values)

    @pytest.mark.parametrize(
        ("text", "number"), [("1e5", 100000), ("-0.0000001", Decimal("-0.0000001")), (".5", Decimal("0.5"))]
    )
    def test_numbers_are_exact(self, load, select, text, number):
        load(table_of(columns=(Column("n", Kind.NUMBER),)), (text,))
        assert select("select n from raw.numbers") == [(number,)]

    def test_moments_of_the_first_and_last_year_arrive(self, load, select):
        table = table_of(columns=(Column("moment", Kind.TIMESTAMP_TZ), Column("d", Kind.DATE)))
        load(table, ("0001-01-01T00:00:00Z", "0001-01-01"), ("9999-12-31T23:59:59.999999Z", "9999-12-31"))
        assert select("select moment, d from raw.numbers order by moment") == [
            (datetime(1, 1, 1, tzinfo=UTC), date(1, 1, 1)),
            (datetime(9999, 12, 31, 23, 59, 59, 999999, UTC), date(9999, 12, 31)),
        ]

    def test_rows_have_the_columns_of_airbyte(self, load, select):
        note = {"field": "text", "change": "NULLED", "reason": "SOURCE_FIELD_SIZE_LIMITATION"}
        load(table_of(), (1, "a"), (2, None), emitted_at=1582180998123, changes={1: [note]})
        own = "_airbyte_raw_id, _airbyte_extracted_at, _airbyte_meta"
        (one, at, meta), (other, _, noted) = select(f"select {own} from raw.numbers order by id")
        assert (len(one), len({one, other})) == (36, 2)
        assert at == datetime(2020, 2, 20, 6, 43, 18, 123000, UTC)
        assert (meta, noted) == ({"sync_id": 1, "changes": []}, {"sync_id": 1, "changes": [note]})

    def test_appended_rows_are_added(self, load, select):
        load(table_of(), (1, "a"))
        load(table_of(), (1, "a"), (2, "b"))
        assert select("select id, text from raw.numbers order by id") == [(1, "a"), (1, "a"), (2, "b")]

    def test_overwritten_rows_are_gone_and_views_keep_working(self, load, select):
        load(table_of(OVERWRITE), (1, "a"), (2, "b"))
        select("create view raw.seen as select id from raw.numbers")
        load(table_of(OVERWRITE), (3, "c"))
        assert select("select id from raw.seen") == [(3,)]
        load(table_of(OVERWRITE))
        assert select("select id from raw.seen") == []

    def test_a_table_without_rows_is_created(self, load, select):
        load(table_of(OVERWRITE))
        assert select("select id, text from raw.numbers") == []

    def test_rows_are_visible_after_the_commit_and_not_before(self, load, attempt, select):
        load(table_of(OVERWRITE), (1, "a"))
        destination = attempt(table_of(OVERWRITE))
        self.write(destination, table_of(OVERWRITE), (2, "b"))
        assert select("select id from raw.numbers") == [(1,)]
        destination.commit(CONNECTION, [], final=True)
        assert select("select id from raw.numbers") == [(2,)]

    def test_rows_that_a_failed_attempt_began_to_replace_stay(self, load, attempt, select):
        load(table_of(OVERWRITE), (1, "a"))
        for ends in (lambda fails: fails.close(), lambda goes_on: goes_on.commit(CONNECTION, [], final=True)):
            destination = attempt(table_of(OVERWRITE))
            destination.begin()
            assert select("select id from raw.numbers") == [(1,)]
            ends(destination)
        assert select("select id from raw.numbers") == []

    def test_rows_that_were_not_committed_are_gone(self, load, attempt, select):
        load(table_of(), (1, "a"))
        destination = attempt(table_of())
        self.write(destination, table_of(), (2, "b"))
        destination.close()
        load(table_of(), (3, "c"))
        assert select("select id from raw.numbers order by id") == [(1,), (3,)]

    def test_each_commit_shows_its_rows_and_a_full_refresh_waits_for_the_last(self, attempt, select):
        news, anew = table_of(), table_of(OVERWRITE, name="others")
        destination = attempt(news, anew)
        self.write(destination, news, (1, "a"))
        self.write(destination, anew, (9, "z"))
        destination.commit(CONNECTION, [state("one")], final=False)
        assert select("select id from raw.numbers") == [(1,)]
        self.write(destination, news, (2, "b"))
        self.write(destination, anew, (8, "y"))
        destination.commit(CONNECTION, [state("two")], final=False)
        assert select("select id from raw.numbers order by id") == [(1,), (2,)]
        destination.commit(CONNECTION, [], final=True)
        assert select("select id from raw.others order by id") == [(8,), (9,)]
        assert select("select id from raw.numbers order by id") == [(1,), (2,)]

    def test_the_next_attempt_finds_the_states_of_its_connection(self, attempt):
        odd = State("name space", "it's \"\\ ü", b'{"at":"it\'s \\"\\n\xc3\xbc"}')
        destination = attempt()
        assert destination.found == []
        destination.commit(CONNECTION, [state("one"), state("a", "others"), odd], final=False)
        destination.commit(CONNECTION, [state("two"), State("", "others", None)], final=True)
        destination.close()
        assert sorted(attempt().found, key=lambda s: s.stream) == [odd, state("two")]
        assert attempt(connection=uuid.UUID(int=2)).found == []

    def test_without_a_commit_neither_rows_nor_state_are_stored(self, load, attempt, select):
        load(table_of(), (1, "a"), states=[state("one")])
        destination = attempt(table_of())
        self.write(destination, table_of(), (2, "b"))
        destination.close()
        assert load(table_of()) == [state("one")]
        assert select("select id from raw.numbers") == [(1,)]

    def test_a_key_has_one_row_the_one_with_the_latest_cursor(self, load, select):
        table = table_of(DEDUP, DATED, key=("id",), cursor="moment")
        load(table, (1, "old", "2020-01-02"), (1, "older", "2020-01-01"), (2, "only", "2020-01-01"))
        assert select("select id, text from raw.numbers order by id") == [(1, "old"), (2, "only")]
        load(table, (1, "oldest", "2019-01-01"), (2, "new", "2020-02-01"), (3, "first", None))
        assert select("select id, text from raw.numbers order by id") == [(1, "old"), (2, "new"), (3, "first")]
        load(table, (3, "second", "2020-01-01"), (3, "none", None), (2, "none", None))
        assert select("select id, text from raw.numbers order by id") == [(1, "old"), (2, "new"), (3, "second")]

    def test_among_equal_cursors_and_without_one_the_last_to_arrive_wins(self, load, select):
        table = table_of(DEDUP, DATED, key=("id",), cursor="moment")
        load(table, (1, "a", "2020-01-01"), (1, "b", "2020-01-01"))
        assert select("select text from raw.numbers") == [("b",)]
        load(table, (1, "c", "2020-01-01"))
        assert select("select text from raw.numbers") == [("c",)]
        load(table_of(DEDUP, DATED, key=("id",)), (1, "z", "2020-01-01"), (1, "d", "2019-01-01"))
        assert select("select text from raw.numbers") == [("d",)]

    def test_a_number_is_a_cursor_by_its_value_and_not_by_its_text(self, load, select):
        columns = (*TEXTS, Column("moment", Kind.NUMBER))
        table = table_of(DEDUP, columns, key=("id",), cursor="moment")
        load(table, (1, "ten", "1e1"), (1, "nine", "9"))
        load(table, (1, "eight", "8"))
        assert select("select text from raw.numbers") == [("ten",)]

    def test_a_key_may_have_several_columns(self, load, select):
        table = table_of(DEDUP, DATED, key=("id", "text"), cursor="moment")
        load(table, (1, "a", "2020-01-01"), (1, "b", "2020-01-01"), (1, "a", "2020-01-02"))
        assert select("select text, moment from raw.numbers order by text") == [
            ("a", date(2020, 1, 2)),
            ("b", date(2020, 1, 1)),
        ]

    def test_a_key_without_a_value_is_refused(self, load):
        with pytest.raises(DestinationError, match=r"table raw\.numbers: a record has no value in id, a column of its"):
            load(table_of(DEDUP, key=("id",)), (1, "a"), (None, "b"))

    def test_a_key_that_is_not_unique_in_the_existing_rows_is_refused(self, load, select):
        load(table_of(), (7, "a"), (7, "b"))
        with pytest.raises(DestinationError, match=r"table raw\.numbers has rows with the same id .*7"):
            load(table_of(DEDUP, key=("id",)), (7, "c"))
        assert select("select text from raw.numbers order by text") == [("a",), ("b",)]

    def test_a_new_column_is_added_and_a_removed_one_stays_null(self, load, select):
        load(table_of(DEDUP, key=("id",)), (1, "a"), (2, "b"))
        changed = table_of(DEDUP, (Column("id", Kind.INTEGER), Column("size", Kind.NUMBER)), key=("id",))
        load(changed, (2, "2.5"), (3, "3.5"))
        assert select("select id, text, size from raw.numbers order by id") == [
            (1, "a", None),
            (2, None, Decimal("2.5")),
            (3, None, Decimal("3.5")),
        ]

    def test_a_changed_type_is_refused_before_anything_is_written(self, load, attempt, select):
        load(table_of(), (1, "a"))
        changed = table_of(columns=(Column("id", Kind.TEXT), Column("text", Kind.TEXT)))
        with pytest.raises(
            DestinationError, match=r"column id of table raw\.numbers is \w+, but the stream declares \w+; change"
        ):
            attempt(changed)
        assert select("select id from raw.numbers") == [(1,)]

    @pytest.mark.parametrize("name", ["", "_airbyte_raw_id", "_airbyte_extracted_at", "_airbyte_meta"])
    def test_columns_without_a_name_or_with_one_of_airbytes_are_refused(self, attempt, name):
        with pytest.raises(DestinationError, match=r"table raw\.numbers: column .* needs another name for"):
            attempt(table_of(columns=(*TEXTS, Column(name, Kind.TEXT))))

    def test_a_job_whose_rows_are_all_committed_appends_nothing_more(self, sync, configuration, select):
        mode = {"streams": [{"name": "numbers", "syncMode": "full_refresh_append"}]}
        more = {"connection": connection_of("numbers", configurations=mode), "to": configuration}
        for job in ("one", "one", "two"):
            totals, log = sync(*records("numbers", [1]), job=job, **more)
            log_says = "an earlier attempt has committed all rows" in log
            assert (totals.rows, log_says) in ((1, False), (0, True))
        assert [tuple(row) for row in select("select id from raw.numbers")] == [(1,), (1,)]

    def test_more_rows_than_one_write_all_arrive(self, attempt, select):
        destination = attempt(table_of())
        for first in range(0, 3000, 1000):
            self.write(destination, table_of(), *[(i, f"text {i}") for i in range(first, first + 1000)])
        destination.commit(CONNECTION, [], final=True)
        counted = "select count(*), count(distinct id), count(distinct _airbyte_raw_id), max(id) from raw.numbers"
        assert select(counted) == [(3000, 3000, 3000, 2999)]


class TestPostgres(DestinationFacts, OnPostgres):
    def test_a_user_who_may_not_create_schemas_needs_existing_ones(self, postgres, configuration, query):
        other = postgres.database()
        login = {"username": other["user"], "password": SecretStr(other["password"])}
        with closing(open_destination(configuration.model_copy(update=login), sync_id=1)) as destination:
            assert "the schema raw does not exist" in destination.check()
            query("create schema raw; create schema airbyte")
            assert "may not write to airbyte.states: grant USAGE and CREATE" in destination.check()
            query(f"grant usage, create on schema airbyte to {other['user']}")
            assert destination.check() is None
            assert destination.states(CONNECTION) == destination.states(CONNECTION) == []
            query(f"revoke all on schema airbyte from {other['user']}")
            assert "may not write to airbyte.states" in destination.check()
            query(f"grant usage on schema airbyte to {other['user']}")
            assert destination.check() is None
            assert destination.states(CONNECTION) == []

    def test_a_source_may_be_slower_than_the_database_lets_others_be(self, load, attempt, query, database):
        load(table_of(OVERWRITE), (1, "a"))
        limit = f"alter database {database['database']} {{}} idle_in_transaction_session_timeout"
        query(limit.format("set") + " = '1ms'")
        try:
            destination = attempt(table_of(OVERWRITE))
            destination.begin()
            waits = "application_name = 'airbyte_local' and state = 'idle in transaction'"
            waited = "clock_timestamp() - state_change > '50ms'"
            wait_until(lambda: query(f"select 1 from pg_stat_activity where {waits} and {waited}"))
        finally:
            query(limit.format("reset"))
        self.write(destination, table_of(OVERWRITE), (2, "b"))
        destination.commit(CONNECTION, [], final=True)
        assert query("select id from raw.numbers") == [(2,)]

    @pytest.mark.parametrize("name", ["ctid", "xmin", "tableoid", "x" * 64, "ü" * 32, "a\0b"])
    def test_columns_that_postgresql_cannot_name_are_refused(self, attempt, name):
        with pytest.raises(DestinationError, match=r"table raw\.numbers: column .* needs another name for PostgreSQL"):
            attempt(table_of(columns=(*TEXTS, Column(name, Kind.TEXT))))

    @pytest.mark.parametrize("names", [("raw", "ü" * 32), ("raw", ""), ("x" * 64, "numbers")])
    def test_tables_and_schemas_that_postgresql_cannot_name_are_refused(self, attempt, names):
        with pytest.raises(DestinationError, match="PostgreSQL does not allow the name"):
            attempt(Table(*names, TEXTS))

    def test_the_longest_names_and_those_of_former_system_columns_arrive(self, load, select):
        load(table_of(name="n" * 63, columns=(Column("x" * 63, Kind.TEXT), Column("oid", Kind.TEXT))), ("a", "b"))
        assert select(f"select {'x' * 63}, oid from raw.{'n' * 63}") == [("a", "b")]


class TestBigQuery(DestinationFacts, OnBigQuery):
    def test_columns_have_the_types_of_bigquery(self, load, client):
        load(table_of(columns=tuple(Column(kind.name.lower(), kind) for kind in Kind)))
        assert {field.name: field.field_type for field in client.get_table("raw.numbers").schema} == {
            "integer": "INTEGER",
            "number": "BIGNUMERIC",
            "double": "FLOAT",
            "boolean": "BOOLEAN",
            "date": "DATE",
            "time": "TIME",
            "time_tz": "STRING",
            "timestamp": "DATETIME",
            "timestamp_tz": "TIMESTAMP",
            "json": "JSON",
            "text": "STRING",
            "_airbyte_raw_id": "STRING",
            "_airbyte_extracted_at": "TIMESTAMP",
            "_airbyte_meta": "JSON",
        }

    def test_a_value_beyond_bigquerys_range_is_null_with_the_reason(self, load, select):
        note = {"field": "text", "change": "NULLED", "reason": "SOURCE_FIELD_SIZE_LIMITATION"}
        table = table_of(columns=(Column("n", Kind.NUMBER), Column("moment", Kind.TIMESTAMP_TZ), *TEXTS))
        load(
            table,
            ("1e39", None, 1, None),
            ("0." + "0" * 38 + "1", "0001-01-01T00:00:00+01:00", 2, None),
            ("7", "9999-12-31T23:59:59-01:00", 3, None),
            changes={0: [note]},
        )

        def own(field, value):
            return {"field": field, "change": "NULLED", "reason": "DESTINATION_FIELD_SIZE_LIMITATION", "value": value}

        found = select("select n, moment, _airbyte_meta from raw.numbers order by id")
        assert [(n, at, meta["changes"]) for n, at, meta in found] == [
            (None, None, [note, own("n", "1e39")]),
            (None, None, [own("n", "0." + "0" * 38 + "1"), own("moment", "0001-01-01T00:00:00+01:00")]),
            (Decimal(7), None, [own("moment", "9999-12-31T23:59:59-01:00")]),
        ]

    @pytest.mark.parametrize(
        ("kind", "text"),
        [
            (Kind.NUMBER, "1e39"),
            (Kind.NUMBER, "1e131071"),
            (Kind.NUMBER, "1e-39"),
            (Kind.NUMBER, "-" + "9" * 39),
            (Kind.JSON, '{"wei":123456789012345678901234567890}'),
            (Kind.JSON, '{"a":[1,{"v":90071992547409.93}]}'),
            (Kind.JSON, "[1e400]"),
            (Kind.JSON, "[1e-400]"),
        ],
    )
    def test_a_number_that_bigquery_would_round_is_null_when_staged(self, kind, text):
        array, wrong = staged(Column("x", kind), pa.array([None, text]))
        assert (array.to_pylist(), wrong) == ([None, None], [1])

    @pytest.mark.parametrize(
        ("kind", "text"),
        [
            (Kind.NUMBER, "0." + "1" * 38),
            (Kind.NUMBER, "1e38"),
            (Kind.NUMBER, "1e-38"),
            (Kind.NUMBER, "0." + "0" * 20_000),
            (Kind.JSON, '{"a":18446744073709551615,"b":[-9223372036854775808,0.8444218515250481,1e23]}'),
            (Kind.JSON, '{"a":"x: 123456789012345678901234567890, 1e400"}'),
        ],
    )
    def test_a_number_that_bigquery_holds_is_staged_as_it_is(self, kind, text):
        array, wrong = staged(Column("x", kind), pa.array([text]))
        assert (array.to_pylist(), wrong) == ([text], [])

    def test_a_value_beyond_bigquerys_range_is_counted(self, sync, configuration):
        schema = {"type": "object", "properties": {"n": {"type": "number"}, "o": {"type": "object"}}}
        line = record("numbers", {"n": "1e39", "o": {"n": 2**100 + 1}})
        totals, _ = sync(line, streams=[stream(schema=schema)], to=configuration)
        assert totals.nulled == {"numbers.n": 1, "numbers.o": 1}

    def test_a_second_attempt_takes_the_connection_from_the_first(self, load, attempt, select):
        load(table_of(), (1, "a"), states=[state("one")])
        first = attempt(table_of())
        self.write(first, table_of(), (2, "zombie"))
        second = attempt(table_of())
        with pytest.raises(DestinationError, match="a later attempt of this connection has started"):
            first.commit(CONNECTION, [state("zombie")], final=False)
        self.write(second, table_of(), (2, "b"))
        second.commit(CONNECTION, [state("two")], final=True)
        with pytest.raises(DestinationError, match="a later attempt of this connection has started"):
            first.commit(CONNECTION, [state("zombie")], final=True)
        assert select("select id, text from raw.numbers order by id") == [(1, "a"), (2, "b")]
        assert load(table_of()) == [state("two")]

    def test_other_connections_do_not_disturb_an_attempt(self, attempt, select):
        first = attempt(table_of())
        attempt(connection=uuid.UUID(int=2))
        self.write(first, table_of(), (1, "a"))
        first.commit(CONNECTION, [], final=True)
        assert select("select id from raw.numbers") == [(1,)]

    def test_a_commit_that_fails_halfway_changes_nothing(self, load, attempt, select, client, monkeypatch):
        load(table_of(OVERWRITE), (1, "a"), states=[state("one")])
        destination = attempt(table_of(OVERWRITE))
        self.write(destination, table_of(OVERWRITE), (2, "b"))
        keep = bigquery_sql.keep
        monkeypatch.setattr(bigquery_sql, "keep", lambda *given: [*keep(*given), "select error('out of luck')"])
        with pytest.raises(DestinationUnavailableError, match="out of luck"):
            destination.commit(CONNECTION, [state("two")], final=True)
        monkeypatch.setattr(bigquery_sql, "keep", keep)
        assert select("select id from raw.numbers") == [(1,)]
        assert attempt().found == [state("one")]

    def test_staging_tables_are_dropped_or_else_expire(self, attempt, client, monkeypatch):
        made = []
        destination = attempt(table_of())
        create = destination._project.client.create_table
        destination._project.client.create_table = lambda table, **more: made.append(table) or create(table, **more)
        self.write(destination, table_of(), (1, "a"))
        (staging,) = made
        assert 0 < (staging.expires - datetime.now(UTC)).total_seconds() <= 24 * 60 * 60
        names = [table.table_id for table in client.list_tables("raw")]
        assert staging.table_id in names
        destination.commit(CONNECTION, [], final=True)
        assert not [t.table_id for t in client.list_tables("raw") if t.table_id.startswith("airbyte_staging")]

    def test_a_large_file_is_loaded_before_the_commit(self, attempt, select, monkeypatch):
        monkeypatch.setattr(bigquery, "_FILE_BYTES", 1)
        destination = attempt(table_of())
        loads = []
        load = destination._project.client.load_table_from_file
        destination._project.client.load_table_from_file = lambda *given, **more: (
            loads.append(1) or load(*given, **more)
        )
        for i in range(3):
            self.write(destination, table_of(), (i, "a"))
        assert len(loads) == 3
        destination.commit(CONNECTION, [], final=True)
        assert select("select count(distinct id) from raw.numbers") == [(3,)]

    def test_cancel_ends_the_job_that_runs(self, attempt, monkeypatch):
        destination, runs, cancelled = attempt(table_of()), threading.Event(), threading.Event()

        def result(job, **_):
            runs.set()
            assert cancelled.wait(20)
            raise Cancelled("the job was stopped")

        monkeypatch.setattr(QueryJob, "result", result)
        monkeypatch.setattr(QueryJob, "cancel", lambda job, **_: cancelled.set())
        thread = threading.Thread(target=lambda: runs.wait(20) and destination.cancel())
        thread.start()
        with pytest.raises(DestinationUnavailableError, match="the job was stopped"):
            destination.commit(CONNECTION, [], final=True)
        thread.join()

    def test_a_bigquery_that_does_not_answer_is_unavailable(self, attempt, configuration, monkeypatch):
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", "http://127.0.0.1:9")
        monkeypatch.setattr(bigquery_client, "_RETRY", None)
        with pytest.raises(DestinationUnavailableError, match="Connection refused"):
            attempt()

    @pytest.mark.parametrize("key", ["", "[]", "{}", '{"type": "service_account"}'])
    def test_credentials_that_are_not_a_key_are_refused(self, configuration, key):
        wrong = configuration.model_copy(update={"credentials_json": SecretStr(key)})
        with pytest.raises(DestinationError, match="credentials_json is not the key of a service account"):
            open_destination(wrong, sync_id=1)

    @pytest.mark.parametrize("names", [["a b"], ["ä"], ["1st"], ["`"], ["id", "ID"], ["_airbyte_meta"]])
    def test_columns_that_bigquery_cannot_name_are_refused(self, attempt, names):
        with pytest.raises(DestinationError, match=r"table raw\.numbers: column .* needs another name for BigQuery"):
            attempt(table_of(columns=tuple(Column(name, Kind.TEXT) for name in names)))

    def test_keys_and_cursors_that_bigquery_cannot_compare_are_refused(self, attempt):
        columns = (*TEXTS, Column("x", Kind.DOUBLE), Column("j", Kind.JSON))
        for key, cursor in [("x", None), ("j", None), ("id", "j")]:
            with pytest.raises(DestinationError, match="BigQuery cannot compare"):
                attempt(table_of(DEDUP, columns, key=(key,), cursor=cursor))

    def test_records_and_state_of_a_connector_arrive_and_the_next_sync_continues_from_them(
        self, sync, configuration, select, tmp_path
    ):
        told = tmp_path / "told.json"
        mode = {"syncMode": "incremental_deduped_history", "cursorField": ["id"], "primaryKey": [["id"]]}
        connection = connection_of("numbers", configurations={"streams": [{"name": "numbers", **mode}]})
        offered = [{**stream(), "supported_sync_modes": ["full_refresh", "incremental"]}]
        for first, at in ((1, "early"), (2, "late")):
            content = {
                "type": "STREAM",
                "stream": {"stream_descriptor": {"name": "numbers"}, "stream_state": {"at": at}},
            }
            message = json.dumps({"type": "STATE", "state": content}) + "\n"
            lines = [*records("numbers", [first, first + 1]), message]
            sync(*lines, connection=connection, to=configuration, streams=offered, record_arguments=str(told))
        assert json.loads(told.read_text())["state"][0]["stream"]["stream_state"] == {"at": "early"}
        assert sorted(map(tuple, select("select id, text from raw.numbers"))) == [(i, f"text {i}") for i in (1, 2, 3)]


def test_googles_libraries_are_not_imported_without_bigquery():
    code = "import airbyte_local.sync.runner, sys; sys.exit(any(name.startswith('google') for name in sys.modules))"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(PYTHONPATH)}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0


def test_a_sync_is_retried_if_bigquery_fails(new_service, database, query, tmp_path):
    declared = declare(tmp_path / "connections.yaml", database, [connection_of("numbers")])
    content = json.loads((tmp_path / "connections.yaml").read_text())
    fields = {"project_id": "project", "dataset_id": "raw", "dataset_location": "EU"}
    content["destinations"][0]["configuration"] = {"destinationType": "bigquery", **fields}
    (tmp_path / "connections.yaml").write_text(json.dumps(content))
    # There are no credentials, and the machine is not asked whether it is one of Google's.
    service = new_service(**declared, MLOPS_AIRBYTE__ATTEMPTS="2", NO_GCE_CHECK="true").start()
    service.sync("numbers")
    attempts = query("select number, status, failure_type, failure_reason from airbyte.attempts order by number")
    reason = "the destination failed: Your default credentials were not found"
    assert [(number, status, kind) for number, status, kind, _ in attempts] == [
        (1, "failed", None),
        (2, "failed", None),
    ]
    assert all(text.startswith(reason) for *_, text in attempts)
