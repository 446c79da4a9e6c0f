import os
import time

import psycopg2
import pytest

PUBLISHED = "select * from marts.labeled_projects order by id"
# Seconds.
BOUND = 120


@pytest.fixture
def candidate(warehouse):
    """A warehouse with candidates of two rows."""
    warehouse.sql("""
        create schema candidate;
        create table candidate.labeled_projects (
            id bigint, created_on timestamp, title text, description text, tag text);
        insert into candidate.labeled_projects values
            (1, '2020-01-01', 'a', 'b', 'mlops'), (2, null, 'c', null, 'mlops');
        create table candidate.projects_to_predict as
            select id, title, description, true as is_labeled from candidate.labeled_projects;
    """)
    return warehouse


@pytest.fixture
def published(candidate):
    """The same rows published, and a view of a consumer on the published table."""
    candidate.sql("""
        create schema marts;
        create table marts.labeled_projects as table candidate.labeled_projects;
        create schema consumer;
        create view consumer.tags as select id, tag from marts.labeled_projects;
    """)
    return candidate


def connect(warehouse):
    database = dict(warehouse.database)
    connection = psycopg2.connect(dbname=database.pop("database"), **database)
    connection.autocommit = True
    return connection.cursor()


def ask(cursor, sql):
    cursor.execute(sql)
    return cursor.fetchall()


def wait_for(cursor, sql):
    """Wait until `sql` answers at least one row."""
    deadline = time.monotonic() + BOUND
    while not ask(cursor, sql):
        assert time.monotonic() < deadline, sql
        ask(cursor, "select pg_sleep(0.02)")


def test_the_first_publication_creates_the_tables(candidate):
    candidate.sql("insert into candidate.projects_to_predict values (3, 'e', 'f', false)")
    note = "published: labeled_projects 2, projects_to_predict 3"
    assert candidate.run("publish") == {
        "rows": {"labeled_projects": 2, "projects_to_predict": 3},
        "report": {"rows_in": 2, "rows_out": 2, "note": note},
    }
    for table in ("labeled_projects", "projects_to_predict"):
        rows = f"select * from {{}}.{table} order by id"
        assert candidate.sql(rows.format("marts")) == candidate.sql(rows.format("candidate"))


def test_readers_see_the_old_rows_or_the_new_ones_and_two_writers_do_not_duplicate_rows(published):
    # Publishing waits between its delete and its inserts until the test lets it go on.
    published.sql("""
        create function pause() returns trigger language plpgsql as
            $$ begin perform pg_advisory_xact_lock(1); return null; end $$;
        create trigger pause after delete on marts.labeled_projects execute function pause();
        insert into candidate.labeled_projects values (3, null, 'e', 'f', 'graph-learning');
    """)
    reader, holder = connect(published), connect(published)
    ask(holder, "select pg_advisory_lock(1)")
    first = published.start("publish")
    wait_for(reader, "select 1 from pg_locks where locktype = 'advisory' and not granted")
    second = published.start("publish")
    wait_for(reader, "select 1 from pg_locks where locktype = 'relation' and not granted")
    assert ask(reader, "select id from marts.labeled_projects order by id") == [(1,), (2,)]
    assert ask(reader, "select id from consumer.tags order by id") == [(1,), (2,)]
    ask(holder, "select pg_advisory_unlock(1)")
    for process in (first, second):
        output, errors = process.communicate(timeout=BOUND)
        assert process.returncode == 0, output + errors
    assert ask(reader, "select id from marts.labeled_projects order by id") == [(1,), (2,), (3,)]
    assert ask(reader, "select id from consumer.tags order by id") == [(1,), (2,), (3,)]


def test_columns_follow_the_candidate_and_views_stay_unless_a_view_forbids_the_change(published):
    published.sql("""
        drop table candidate.labeled_projects;
        create table candidate.labeled_projects (id bigint, created_on date, title text, tag text, "Stars" integer);
        insert into candidate.labeled_projects values (7, '2020-01-01', 'a', 'mlops', 5);
    """)
    assert published.run("publish")["rows"] == {"labeled_projects": 1, "projects_to_predict": 2}
    columns = """
        select column_name, data_type from information_schema.columns where table_schema = '{}' order by column_name
    """
    assert published.sql(columns.format("marts")) == published.sql(columns.format("candidate"))
    names = 'id, created_on, title, tag, "Stars"'
    rows = [["7", "2020-01-01", "a", "mlops", "5"]]
    assert published.sql(f"select {names} from marts.labeled_projects") == rows
    assert published.sql("select * from consumer.tags") == [["7", "mlops"]]

    published.sql("alter table candidate.labeled_projects alter tag type integer using 1")
    published.sql("delete from candidate.projects_to_predict")
    message = published.fail("publish", status=os.EX_TEMPFAIL)
    assert "consumer.tags" in message
    assert "drop a view" in message
    # The other table stays too.
    assert published.sql("select count(*) from marts.projects_to_predict") == [["2"]]
    assert published.sql(f"select {names} from marts.labeled_projects") == rows
    assert published.sql("select * from consumer.tags") == [["7", "mlops"]]


def test_nothing_is_published_without_a_candidate(warehouse):
    warehouse.sql("create schema candidate")
    message = warehouse.fail("publish", status=os.EX_TEMPFAIL)
    assert 'relation "candidate.labeled_projects" does not exist' in message
    assert "Build the candidates" in message
    assert warehouse.sql("select 1 from information_schema.tables where table_schema = 'marts'") == []


@pytest.mark.parametrize("missing", ["labeled_projects", "projects_to_predict"])
def test_without_the_candidate_of_one_table_neither_is_published(published, missing):
    published.sql(
        f"insert into candidate.projects_to_predict values (3, 'e', 'f', false); drop table candidate.{missing}"
    )
    published.fail("publish", status=os.EX_TEMPFAIL)
    assert published.sql("select id from marts.labeled_projects order by id") == [["1"], ["2"]]
    assert published.sql("select to_regclass('marts.projects_to_predict') is null") == [["t"]]
