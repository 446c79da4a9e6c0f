"""Copies of tables: https://cloud.google.com/bigquery/docs/managing-tables#copy-table."""

import pytest
from google.api_core.exceptions import BadRequest, Conflict, NotFound
from google.cloud.bigquery import CopyJobConfig, Table, TimePartitioning


@pytest.fixture
def copy(client):
    """Runs a copy job."""

    def run(sources, destination, **settings):
        config = CopyJobConfig(**settings)
        return client.copy_table(sources, destination, job_config=config, retry=None).result(retry=None)

    return run


@pytest.fixture
def tables(client, sql):
    """`data.a`, with layout, labels and two rows, and `data.other`, with other columns and a row."""
    sql(
        "create table data.a (id int64 not null, day date) partition by day cluster by id"
        " options (description = 'about a', labels = [('kind', 'test')])"
    )
    sql("insert into data.a values (1, date '2026-01-01'), (2, null)")
    sql("create table data.other as select 'x' as text")


@pytest.mark.usefixtures("tables")
class TestCopyJobs:
    def test_a_copy_has_schema_layout_and_labels(self, copy, client, sql):
        copy("data.a", "data.b")
        made = client.get_table("data.b")
        assert sql("select id from data.b order by id") == [(1,), (2,)]
        assert [(field.name, field.mode) for field in made.schema] == [("id", "REQUIRED"), ("day", "NULLABLE")]
        assert (made.time_partitioning.field, made.clustering_fields) == ("day", ["id"])
        assert (made.description, made.labels, made.num_rows) == ("about a", {"kind": "test"}, 2)

    def test_a_table_with_rows_is_not_overwritten_unless_the_job_says_so(self, copy, sql):
        """The default is WRITE_EMPTY: https://cloud.google.com/bigquery/docs/reference/rest/v2/Job."""
        with pytest.raises(Conflict):
            copy("data.a", "data.other")
        assert sql("select * from data.other") == [("x",)]
        copy("data.a", "data.other", write_disposition="WRITE_TRUNCATE")
        assert sql("select id from data.other order by id") == [(1,), (2,)]

    def test_appending_needs_the_same_columns(self, copy, sql):
        copy("data.a", "data.b")
        copy("data.a", "data.b", write_disposition="WRITE_APPEND")
        assert sql("select count(*) from data.b") == [(4,)]
        with pytest.raises(BadRequest):
            copy("data.other", "data.b", write_disposition="WRITE_APPEND")
        assert sql("select count(*) from data.b") == [(4,)]

    def test_several_sources_make_one_table(self, copy, client, sql):
        """https://cloud.google.com/bigquery/docs/managing-tables#copy_multiple_source_tables."""
        copy("data.a", "data.b")
        copy(["data.a", "data.b"], "data.c")
        assert sql("select count(*) from data.c") == [(4,)]
        with pytest.raises(BadRequest):
            copy(["data.a", "data.other"], "data.c", write_disposition="WRITE_TRUNCATE")
        assert client.get_table("data.c").num_rows == 4

    def test_a_copy_that_fails_leaves_the_destination_as_it_was(self, copy, sql):
        with pytest.raises(NotFound):
            copy("data.missing", "data.other", write_disposition="WRITE_TRUNCATE")
        with pytest.raises(NotFound):
            copy("data.a", "missing.b")
        with pytest.raises(NotFound):
            copy("data.a", "data.b", create_disposition="CREATE_NEVER")
        assert sql("select * from data.other") == [("x",)]


@pytest.mark.usefixtures("tables")
class TestStatements:
    """https://cloud.google.com/bigquery/docs/reference/standard-sql/data-definition-language#create_table_copy."""

    @pytest.mark.parametrize("word", ["copy", "clone"])
    def test_a_statement_copies(self, sql, client, word):
        sql(f"create table data.b {word} data.a")
        with pytest.raises(Conflict):
            sql(f"create table data.b {word} data.other")
        sql(f"create table if not exists data.b {word} data.other")
        assert sql("select id from data.b order by id") == [(1,), (2,)]
        assert client.get_table("data.b").clustering_fields == ["id"]
        sql(f"create or replace table data.b {word} data.other")
        assert sql("select * from data.b") == [("x",)]

    def test_a_script_copies(self, sql):
        sql("create or replace table data.b copy data.a; create or replace table data.c clone data.b;")
        assert sql("select count(*) from data.c") == [(2,)]

    def test_a_renamed_table_is_found_by_its_new_name_only(self, sql, client):
        """...#alter_table_rename_to_statement."""
        sql("alter table data.a rename to b")
        assert client.get_table("data.b").num_rows == 2
        with pytest.raises(NotFound):
            client.get_table("data.a")


def test_columns_that_are_added_by_the_api_or_by_a_statement_are_there(client, sql):
    """https://cloud.google.com/bigquery/docs/managing-table-schemas."""
    table = client.create_table(Table(f"{client.project}.data.t", [{"name": "a", "type": "INT64"}]))
    table.schema = [*table.schema, {"name": "b", "type": "STRING"}]
    client.update_table(table, ["schema"])
    sql("alter table data.t add column c numeric")
    sql("insert into data.t (a, b, c) values (1, 'x', 1.5)")
    assert [field.name for field in client.get_table("data.t").schema] == ["a", "b", "c"]


def test_partitions_of_a_timestamp_are_kept(client, sql):
    sql("create table data.t partition by timestamp_trunc(at, hour) as select timestamp '2026-01-01 10:00:00' as at")
    assert client.get_table("data.t").time_partitioning == TimePartitioning("HOUR", field="at")
