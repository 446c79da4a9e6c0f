"""What BigQuery's statements do and refuse: https://cloud.google.com/bigquery/docs/reference/standard-sql."""

import decimal

import pytest
from google.api_core.exceptions import BadRequest, NotFound
from google.cloud.bigquery import Table


def test_types_of_a_table_that_a_query_makes(sql, client):
    """https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical#floating_point_literals."""
    sql(
        "create table data.t as select 1.5 as f, numeric '1.25' as n, cast('2.123456789' as numeric) as c,"
        " json '{\"a\": 1}' as j, [1, 2] as a, struct(1 as x, 'y' as y) as s, timestamp '2026-01-01' as at,"
        " bignumeric '0.1' as b, sum(i) as total from unnest([1, 2]) i"
    )
    schema = {field.name: (field.field_type, field.mode) for field in client.get_table("data.t").schema}
    assert schema == {
        "f": ("FLOAT", "NULLABLE"),
        "n": ("NUMERIC", "NULLABLE"),
        "c": ("NUMERIC", "NULLABLE"),
        "j": ("JSON", "NULLABLE"),
        "a": ("INTEGER", "REPEATED"),
        "s": ("RECORD", "NULLABLE"),
        "at": ("TIMESTAMP", "NULLABLE"),
        "b": ("BIGNUMERIC", "NULLABLE"),
        "total": ("INTEGER", "NULLABLE"),
    }
    assert sql("select f, n, c, total from data.t") == [
        (1.5, decimal.Decimal("1.25"), decimal.Decimal("2.123456789"), 3)
    ]


@pytest.mark.parametrize("text", ["update data.t set id = 2", "delete from data.t"])
def test_a_change_of_all_rows_needs_where(sql, text):
    """https://cloud.google.com/bigquery/docs/reference/standard-sql/dml-syntax."""
    sql("create table data.t as select 1 as id")
    with pytest.raises(BadRequest, match="must have a WHERE clause"):
        sql(text)
    sql(f"{text} where true")


def test_names_of_tables_and_datasets_are_case_sensitive(sql):
    """https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical#case_sensitivity."""
    sql("create table data.Mixed as select 1 as id")
    assert sql("select ID from data.Mixed") == [(1,)]
    for wrong in ("data.mixed", "Data.Mixed"):
        with pytest.raises(NotFound):
            sql(f"select id from {wrong}")


@pytest.mark.parametrize(
    "text",
    [
        "merge data.t t using data.s s on t.id = s.id when matched then update set text = s.text",
        "merge data.t t using (select * from data.s) s on t.id = s.id when matched and s.text <> 'x' then delete",
        "update data.t t set text = s.text from data.s s where t.id = s.id",
    ],
)
def test_two_source_rows_for_one_row_are_refused(sql, text):
    """...: a runtime error if more than one source row matches."""
    sql("create table data.t as select 1 as id, 'old' as text")
    sql("create table data.s as select 1 as id, 'a' as text union all select 1, 'b'")
    with pytest.raises(BadRequest, match="at most one source row"):
        sql(text)
    assert sql("select text from data.t") == [("old",)]
    sql("delete from data.s where text = 'b'")
    sql(text)


def test_two_equal_source_rows_are_inserted(sql):
    sql("create table data.t (id int64)")
    sql(
        "merge data.t t using (select 1 as id union all select 1) s on t.id = s.id"
        " when not matched then insert (id) values (id)"
    )
    assert sql("select count(*) from data.t") == [(2,)]


def test_fingerprints_are_those_of_farmhash(sql):
    """Values of Guava's tests: https://github.com/google/guava (FarmHashFingerprint64Test)."""
    texts = ("test", "test" * 8, "test" * 64)
    fingerprints = [8581389452482819506, -4196240717365766262, 3500507768004279527]
    assert [sql(f"select farm_fingerprint('{text}')")[0][0] for text in texts] == fingerprints


def test_required_columns_of_a_table_that_the_api_makes_are_required(sql, client):
    """https://cloud.google.com/bigquery/docs/schemas#modes."""
    client.create_table(Table(f"{client.project}.data.t", [{"name": "id", "type": "INT64", "mode": "REQUIRED"}]))
    with pytest.raises(BadRequest):
        sql("insert into data.t values (null)")


def test_a_view_is_made_and_deleted(sql, client):
    sql("create table data.t as select 1 as id")
    sql("create view data.v as select id + 1 as id from data.t")
    assert sql("select id from data.v") == [(2,)]
    client.delete_table("data.v")
    assert [table.table_id for table in client.list_tables("data")] == ["t"]
    sql("create or replace view data.v as select 3 as id")
    client.delete_dataset("data", delete_contents=True)
    assert not list(client.list_datasets())


def test_rows_are_counted_after_changes(sql, client):
    sql("create table data.t as select 1 as id")
    sql("insert into data.t values (2)")
    assert client.get_table("data.t").num_rows == 2


def test_many_changes_keep_no_copies_of_the_table(sql, client):
    sql("create table data.t as select * from unnest(generate_array(1, 1000)) as id")
    for _ in range(5):
        sql("insert into data.t values (0)")
    assert sql("select count(*) from data.t") == [(1005,)]


def test_a_new_dataset_has_the_location_and_the_labels_of_its_options(sql, client):
    # https://cloud.google.com/bigquery/docs/reference/standard-sql/data-definition-language#schema_option_list
    options = "options (location = 'EU', labels = [('app', 'mlops'), ('team', 'data')], description = 'rows')"
    for _ in range(2):
        sql(f"create schema if not exists made {options}")
    made = client.get_dataset("made")
    assert (made.location, made.labels, made.description) == ("EU", {"app": "mlops", "team": "data"}, "rows")
