"""Types of a table that exists: they stay where they fit, widen where nothing is lost, and otherwise refuse."""

import uuid
from dataclasses import replace
from decimal import Decimal

import pytest
from airbyte_testing import connection_of
from destination_testing import APPEND, CONNECTION, DEDUP, OVERWRITE, OnBigQuery, OnPostgres, table_of
from google.cloud.bigquery import SchemaField, Table

from airbyte_local.columns import Column, Kind
from airbyte_local.destinations.contract import DestinationError
from airbyte_local.destinations.fitting import Existing, fit
from airbyte_local.sync.outcome import SyncError

MODES = [OVERWRITE, APPEND, DEDUP]


def found(kind, mode=APPEND, **more):
    """A table whose types were discovered: a key and a value of this kind."""
    columns = (Column("id", Kind.INTEGER), Column("n", kind))
    key = ("id",) if mode is DEDUP else ()
    return table_of(mode, columns, discovered=frozenset(["id", "n"]), key=key, **more)


def kept(kind, other):
    """A column whose table has one kind, and whose stream has another."""
    existing = {"id": Existing("integer", Kind.INTEGER), "n": Existing(kind.value, kind)}
    return fit(found(other), existing, {each: each.value for each in Kind}, {}).table.columns[1]


@pytest.mark.parametrize(
    ("kind", "other", "value"),
    [
        (Kind.INTEGER, Kind.TEXT, "N/A"),
        (Kind.INTEGER, Kind.TEXT, "007"),
        (Kind.INTEGER, Kind.BOOLEAN, True),
        (Kind.NUMBER, Kind.TEXT, "+1.5"),
        (Kind.NUMBER, Kind.DOUBLE, "NaN"),
        (Kind.DOUBLE, Kind.INTEGER, 2**53 + 1),
        (Kind.DOUBLE, Kind.TEXT, "0.12345678901234567"),
        (Kind.DATE, Kind.TEXT, "20240131"),
        (Kind.DATE, Kind.TIMESTAMP_TZ, "2024-01-31T10:00:00Z"),
        (Kind.TIMESTAMP, Kind.TIMESTAMP_TZ, "2024-01-31T10:00:00Z"),
        (Kind.TIMESTAMP_TZ, Kind.TIMESTAMP, "2024-01-31T10:00:00"),
        (Kind.JSON, Kind.TEXT, "[broken"),
    ],
)
def test_a_value_that_the_type_cannot_hold_without_loss_fails_the_sync(kind, other, value):
    column = kept(kind, other)
    with pytest.raises(DestinationError, match=r"column n of table raw\.numbers is .* discovered type is"):
        column.convert([None, value])


@pytest.mark.parametrize(
    ("kind", "other", "value"),
    [
        (Kind.INTEGER, Kind.TEXT, "-7"),
        (Kind.NUMBER, Kind.TEXT, "1.50"),
        (Kind.NUMBER, Kind.INTEGER, 7),
        (Kind.DOUBLE, Kind.INTEGER, 7),
        (Kind.DOUBLE, Kind.TEXT, "0.1"),
        (Kind.BOOLEAN, Kind.TEXT, "TRUE"),
        (Kind.DATE, Kind.TEXT, "2024-01-31"),
        (Kind.TIMESTAMP, Kind.DATE, "2024-01-31"),
        (Kind.TIMESTAMP_TZ, Kind.TEXT, "2024-01-31 10:00:00+01:00"),
        (Kind.TEXT, Kind.INTEGER, 7),
        (Kind.TEXT, Kind.BOOLEAN, "TRUE"),
        (Kind.TEXT, Kind.NUMBER, "1.50"),
        (Kind.JSON, Kind.TEXT, '{"a": 1}'),
    ],
)
def test_a_value_that_the_type_can_hold_is_converted(kind, other, value):
    column = kept(kind, other)
    assert column.kind is kind
    converted = column.convert([None, value])
    assert (converted.array.null_count, converted.unfit) == (1, {})


class TypeFacts:
    @pytest.mark.parametrize("mode", MODES)
    def test_a_column_without_values_keeps_its_type(self, load, select, mode):
        load(found(Kind.INTEGER, mode), (1, 10))
        load(found(Kind.TEXT, mode), (2, None), (3, None))
        load(found(Kind.INTEGER, mode), (4, 11))
        values = [n for (n,) in select("select n from raw.numbers where n is not null order by n")]
        assert values == ([11] if mode is OVERWRITE else [10, 11])

    @pytest.mark.parametrize("mode", MODES)
    def test_a_file_with_a_header_only_keeps_all_types(self, load, select, mode):
        load(found(Kind.INTEGER, mode), (1, 10))
        header = (Column("id", Kind.TEXT), Column("n", Kind.TEXT))
        load(table_of(mode, header, discovered=frozenset(["id", "n"]), key=("id",) if mode is DEDUP else ()))
        load(found(Kind.INTEGER, mode), (2, 11))
        assert (2, 11) in [tuple(row) for row in select("select id, n from raw.numbers")]

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("kind", [Kind.NUMBER, Kind.DOUBLE])
    def test_a_column_of_integers_gets_decimals(self, load, select, mode, kind):
        load(found(Kind.INTEGER, mode), (1, 10), (2, 2**62))
        load(found(kind, mode), (3, 10.5))
        load(found(Kind.INTEGER, mode), (4, 11))
        values = [n for (n,) in select("select n from raw.numbers order by n")]
        assert values == ([11] if mode is OVERWRITE else [10, Decimal("10.5"), 11, 2**62])

    @pytest.mark.parametrize(("kind", "other"), [(Kind.INTEGER, Kind.NUMBER), (Kind.NUMBER, Kind.INTEGER)])
    def test_a_declared_type_never_widens(self, attempt, load, kind, other):
        load(found(kind), (1, 1))
        with pytest.raises(DestinationError, match=r"but the stream declares .*; change the declaration back"):
            attempt(replace(found(other), discovered=frozenset()))

    @pytest.mark.parametrize("mode", MODES)
    def test_a_stream_that_shares_no_column_with_its_table_is_refused(self, attempt, load, select, mode):
        load(found(Kind.INTEGER, mode), (1, 10))
        page = table_of(mode, (Column("error", Kind.TEXT),), key=("error",) if mode is DEDUP else ())
        with pytest.raises(
            DestinationError, match=r"table raw\.numbers has the columns id, n, but the stream has only error: this may"
        ):
            attempt(page)
        assert [tuple(row) for row in select("select id, n from raw.numbers")] == [(1, 10)]

    def test_a_column_of_the_user_stays_as_it_is_and_one_that_the_stream_drops_becomes_null(self, load, select):
        more = (*found(Kind.INTEGER).columns, Column("dropped", Kind.TEXT))
        load(table_of(DEDUP, more, key=("id",)), (1, 10, "made"), (2, 20, "made"))
        self.add_own(select)
        load(found(Kind.INTEGER, DEDUP), (1, 11), (3, 30))
        rows = [tuple(row) for row in select("select id, n, dropped, own from raw.numbers order by id")]
        assert rows == [(1, 11, None, "mine"), (2, 20, "made", "mine"), (3, 30, None, None)]

    def test_a_column_that_was_dropped_and_comes_again_is_the_users_own(self, load, select):
        more = (*found(Kind.INTEGER).columns, Column("own", Kind.TEXT))
        load(table_of(DEDUP, more, key=("id",)), (1, 10, "made"))
        self.drop(select, "own")
        load(found(Kind.INTEGER, DEDUP), (1, 11))
        self.add_own(select)
        load(found(Kind.INTEGER, DEDUP), (1, 12))
        assert [tuple(row) for row in select("select id, n, own from raw.numbers")] == [(1, 12, "mine")]

    def test_a_connection_that_is_made_again_knows_the_columns_of_the_one_before(self, load, select, attempt):
        load(table_of(DEDUP, key=("id",)), (1, "a"))
        destination = attempt(found(Kind.INTEGER, DEDUP), connection=uuid.UUID(int=7))
        self.write(destination, *destination.tables, (1, 5))
        destination.commit(CONNECTION, [], final=True)
        assert [tuple(row) for row in select("select id, text, n from raw.numbers")] == [(1, None, 5)]


class TestPostgres(TypeFacts, OnPostgres):
    def add_own(self, select):
        select("alter table raw.numbers add own text, add twice bigint generated always as (n * 2) stored")
        select("alter table raw.numbers add number bigint generated always as identity")
        select("update raw.numbers set own = 'mine'")

    def drop(self, select, column):
        select(f"alter table raw.numbers drop column {column}")

    @pytest.mark.parametrize(
        ("kind", "other", "old", "new", "values"),
        [
            (Kind.DATE, Kind.TIMESTAMP, "2024-01-31", "2024-01-31T10:00:00", "2024-01-31 00:00:00"),
            (Kind.DOUBLE, Kind.NUMBER, 0.30000000000000004, "0.12345678901234567890", "0.30000000000000004"),
        ],
    )
    def test_a_type_widens_without_loss(self, load, select, kind, other, old, new, values):
        load(found(kind), (1, old))
        load(found(other), (2, new))
        assert select("select n::text from raw.numbers where id = 1") == [(values,)]
        assert select("select count(*) from raw.numbers where n is not null") == [(2,)]

    @pytest.mark.parametrize("mode", ["full_refresh_overwrite", "incremental_append", "incremental_deduped_history"])
    def test_files_without_a_declared_schema_widen_and_empty_no_table(self, sync, select, tmp_path, mode):
        streams = {"streams": [{"name": "numbers", "syncMode": mode, "primaryKey": [["id"]]}]}
        connection = connection_of("numbers", configurations=streams)
        files = [{"name": "numbers", "url": f"{tmp_path}/*.jsonl", "format": "jsonl"}]
        for number, value in enumerate(["10", "10.5", "null"]):
            (tmp_path / f"{number}.jsonl").write_text(f'{{"id": {number}, "n": {value}}}\n')
            sync(connection=connection, files=files)
            if mode != "full_refresh_overwrite":  # incremental syncs find what the file before made
                (tmp_path / f"{number}.jsonl").unlink()
        expected = [(0, 10), (1, Decimal("10.5")), (2, None)]
        assert select("select id, n from raw.numbers order by id") == expected
        for path in tmp_path.glob("*.jsonl"):
            path.unlink()
        (tmp_path / "page.jsonl").write_text('{"error": "rate limit exceeded"}\n')
        is_refused = r"table raw\.numbers has the columns id, n|id is not a column of the stream"
        with pytest.raises((DestinationError, SyncError), match=is_refused):
            sync(connection=connection, files=files)
        assert select("select id, n from raw.numbers order by id") == expected
        declared = {"properties": {"id": {"type": "integer"}, "n": {"type": "integer"}}}
        with pytest.raises(DestinationError, match=r"column n of table .* is numeric, but the stream declares bigint"):
            sync(connection=connection, files=[{**files[0], "json_schema": declared}])

    def test_a_declared_type_never_widens_beside_columns_of_the_files_names(self, sync, select, tmp_path):
        def load(part, kind):
            (tmp_path / part).mkdir()
            (tmp_path / part / "x.jsonl").write_text('{"id": 1, "n": 1}\n')
            declared = {"properties": {"id": {"type": "integer"}, "n": {"type": kind}}}
            file = {"name": "numbers", "url": f"{tmp_path}/*/x.jsonl", "format": "jsonl", "json_schema": declared}
            sync(files=[{**file, "hive_partitions": True, "file_name_column": "file"}])

        load("part=7", "integer")
        load("part=7.5", "integer")
        assert select("select part, file from raw.numbers order by part") == [
            (7, "part=7/x.jsonl"),
            (Decimal("7.5"), "part=7.5/x.jsonl"),
        ]
        with pytest.raises(DestinationError, match=r"column n of table .* is bigint, but the stream declares numeric"):
            load("part=8", "number")

    def test_views_on_a_column_that_widens_are_made_again_with_all_that_belongs_to_them(self, load, select, database):
        load(found(Kind.INTEGER), (1, 10))
        me = database["user"]
        select("create view raw.base with (security_barrier=true) as select id, n as amount from raw.numbers")
        select('create view raw."Top" as select amount from raw.base where amount > 0 with local check option')
        select("create view raw.unconcerned as select id from raw.numbers")
        select("comment on view raw.base is 'it''s base'; comment on column raw.base.amount is 'in cents'")
        select("alter view raw.base alter column amount set default 7")
        select("grant select on raw.base to public; grant insert (amount) on raw.base to public")
        select(f"alter default privileges for role {me} in schema raw grant update on tables to public")
        select("create rule quiet as on delete to raw.base do instead nothing")
        parts = (
            "select relname, relacl::text, reloptions, obj_description(c.oid, 'pg_class'), col_description(c.oid, 2),"
            " (select array_agg(attacl::text) from pg_attribute where attrelid = c.oid),"
            " (select array_agg(pg_get_ruledef(oid) order by rulename) from pg_rewrite"
            "  where ev_class = c.oid and rulename <> '_RETURN'),"
            " (select array_agg(pg_get_expr(adbin, adrelid)) from pg_attrdef where adrelid = c.oid)"
            " from pg_class c where relkind = 'v' and relnamespace = 'raw'::regnamespace order by relname"
        )
        before = select(parts)
        load(found(Kind.NUMBER), (2, "10.5"))
        assert [row[2:] for row in select(parts)] == [row[2:] for row in before]
        grants = "select table_name, grantee, privilege_type, is_grantable from information_schema.table_privileges"
        assert select(f"{grants} where table_name = 'base' and grantee = 'PUBLIC'") == [
            ("base", "PUBLIC", "SELECT", "NO")
        ]
        assert select('select * from raw."Top" order by 1') == [(10,), (Decimal("10.5"),)]

    @pytest.mark.parametrize(
        ("made", "named"),
        [
            ("create materialized view raw.seen as select n from raw.numbers", "materialized view raw.seen"),
            (
                "create view raw.seen as select n from raw.numbers;"
                " create materialized view raw.above as select n from raw.seen",
                "materialized view raw.above",
            ),
            (
                "create function raw.f(bigint) returns bigint language sql as 'select 1';"
                " create view raw.seen as select raw.f(n) as x from raw.numbers",
                r"view raw\.seen cannot be made again: function raw\.f\(numeric\) does not exist",
            ),
            (
                "alter table raw.numbers add twice bigint generated always as (n * 2) stored",
                "generated column",
            ),
            (
                "alter table raw.numbers alter n set not null, alter n add generated by default as identity",
                "identity column type must be smallint, integer, or bigint",
            ),
            ("alter table raw.numbers add check (pg_typeof(n) = 'bigint'::regtype)", "check constraint"),
            (
                "create view raw.seen as select n from raw.numbers; create view raw.above as select n from raw.seen;"
                " create rule circle as on insert to raw.seen do instead update raw.numbers set n = 1 where exists"
                " (select from raw.above)",
                "cannot drop view .* because other objects depend on it",
            ),
            (
                "create view raw.seen as select n from raw.numbers;"
                " create rule quiet as on delete to raw.seen do instead nothing;"
                " comment on rule quiet on raw.seen is 'why'",
                "its comments of triggers and rules would be lost",
            ),
        ],
    )
    def test_what_cannot_be_made_again_is_named_and_nothing_changes(self, load, attempt, select, made, named):
        load(found(Kind.INTEGER), (1, 10))
        select(made)
        everything = "select oid::regclass::text, relkind from pg_class where relnamespace = 'raw'::regnamespace"
        before = select(everything)
        with pytest.raises(
            DestinationError, match=rf"the type of n in table raw\.numbers has to change, but .*{named}"
        ):
            attempt(found(Kind.NUMBER))
        assert select(everything) == before
        assert select("select pg_typeof(n)::text from raw.numbers") == [("bigint",)]

    def test_a_table_of_airbyte_is_taken_over(self, load, select):
        select(
            "create schema raw; create table raw.numbers (_airbyte_raw_id varchar(36) not null,"
            " _airbyte_extracted_at timestamptz not null, _airbyte_meta jsonb not null,"
            " _airbyte_generation_id bigint not null, id bigint, text varchar, short varchar(3), n numeric(38, 9))"
        )
        select("insert into raw.numbers values ('x', now(), '{}', 4, 1, 'old', 'abc', 1.5)")
        select("insert into raw.numbers values ('y', now(), '{}', 4, 2)")
        columns = (*found(Kind.NUMBER).columns, Column("text", Kind.TEXT), Column("short", Kind.TEXT))
        for discovered in ([], [column.name for column in columns]):
            table = table_of(DEDUP, columns, key=("id",), discovered=frozenset(discovered))
            load(table, (1, "0.12345678901234567890", "new", "longer"), (3, None, None, None))
        assert select("select id, n::text, text, short, _airbyte_generation_id from raw.numbers order by id") == [
            (1, "0.12345678901234567890", "new", "longer", 0),
            (2, None, None, None, 4),
            (3, None, None, None, 0),
        ]

    def test_a_required_column_of_the_user_is_named_before_anything_is_written(self, load, attempt, select):
        load(found(Kind.INTEGER))
        select("alter table raw.numbers add own text not null, add other text not null default 'x'")
        with pytest.raises(DestinationError, match=r"column own of table raw\.numbers is NOT NULL without a default"):
            attempt(found(Kind.INTEGER))

    @pytest.mark.parametrize("mode", MODES)
    def test_a_record_without_a_value_that_the_user_requires_is_explained(self, load, select, mode):
        load(found(Kind.INTEGER, mode))
        select("alter table raw.numbers alter n set not null")
        with pytest.raises(DestinationError, match="a record has no value in n, which is NOT NULL in the table"):
            load(found(Kind.INTEGER, mode), (1, None))

    def test_a_generated_column_with_the_name_of_one_of_the_stream_is_refused(self, load, attempt, select):
        load(table_of(), (1, "a"))
        select("alter table raw.numbers add n bigint generated always as (id * 2) stored")
        with pytest.raises(DestinationError, match=r"column n of table raw\.numbers is generated by the database"):
            attempt(found(Kind.INTEGER))


class TestBigQuery(TypeFacts, OnBigQuery):
    @pytest.fixture(autouse=True)
    def set_client(self, client):
        self.client = client

    def add_own(self, select):
        select("alter table raw.numbers add column own STRING")
        select("update raw.numbers set own = 'mine' where true")

    def drop(self, select, column):
        select(f"alter table raw.numbers drop column {column}")

    def test_a_table_of_airbyte_is_taken_over(self, load, select, client):
        client.create_dataset("raw")
        own = {"raw_id": "STRING", "extracted_at": "TIMESTAMP", "meta": "JSON"}
        fields = [SchemaField(f"_airbyte_{name}", kind, "REQUIRED") for name, kind in own.items()]
        others = {"_airbyte_generation_id": "INT64", "id": "INT64", "n": "NUMERIC"}
        fields += [SchemaField(name, kind) for name, kind in others.items()]
        client.create_table(Table(f"{client.project}.raw.numbers", fields))
        load(found(Kind.NUMBER, DEDUP), (1, "0.123456789012"), (2, None))
        rows = select("select id, n, _airbyte_generation_id from raw.numbers order by id")
        assert [tuple(row) for row in rows] == [(1, Decimal("0.123456789012"), 0), (2, None, 0)]

    def test_a_required_column_of_the_user_is_named_before_anything_is_written(self, attempt, select, client):
        client.create_dataset("raw")
        select("create table raw.numbers (id INT64, n INT64, own STRING not null)")
        with pytest.raises(DestinationError, match=r"column own of table raw\.numbers is NOT NULL without a default"):
            attempt(found(Kind.INTEGER))
