"""Transactions: https://cloud.google.com/bigquery/docs/transactions."""

import pytest
from google.api_core.exceptions import BadRequest


@pytest.fixture
def ids(sql):
    """`data.t` has the ids 1 and 2; gives those that it has."""
    sql("create table data.t as select 1 as id union all select 2")
    return lambda: [row[0] for row in sql("select id from data.t order by id")]


def test_a_committed_transaction_stays(sql, ids):
    sql("begin transaction; delete from data.t where id = 1; insert into data.t values (3); commit transaction;")
    assert ids() == [2, 3]


@pytest.mark.parametrize(
    "change", ["insert into data.t values (3)", "truncate table data.t", "update data.t set id = 9 where true"]
)
def test_a_rollback_undoes_each_change(sql, ids, change):
    sql(f"begin transaction; {change}; rollback transaction;")
    assert ids() == [1, 2]


def test_a_rollback_in_an_exception_handler_undoes(sql, ids):
    """...#rolling_back_a_transaction."""
    rows = sql(
        """
        begin
            begin transaction;
            truncate table data.t;
            select error('on purpose');
            commit transaction;
        exception when error then
            rollback transaction;
            select @@error.message as message;
        end
        """
    )
    assert "on purpose" in rows[0][0]
    assert ids() == [1, 2]


def test_a_script_without_commit_is_rolled_back(sql, ids):
    """...: BigQuery rolls back a transaction that is open when its script ends."""
    sql("begin transaction; delete from data.t where true;")
    assert ids() == [1, 2]


def test_an_error_rolls_back(sql, ids):
    with pytest.raises(BadRequest, match="on purpose"):
        sql("begin transaction; delete from data.t where true; select error('on purpose'); commit transaction;")
    assert ids() == [1, 2]


def test_an_error_that_is_raised_again_fails_the_job_with_its_message(sql, ids):
    with pytest.raises(BadRequest, match="on purpose"):
        sql("begin select error('on purpose'); exception when error then raise using message = @@error.message; end")


def test_a_merge_in_a_transaction_is_part_of_it(sql, ids):
    merge = (
        "merge data.t t using (select 2 as id union all select 3) s on t.id = s.id"
        " when not matched then insert (id) values (id)"
    )
    sql(f"begin transaction; {merge}; rollback transaction;")
    assert ids() == [1, 2]
    sql(f"begin transaction; {merge}; commit transaction;")
    assert ids() == [1, 2, 3]


@pytest.mark.parametrize(
    "script",
    [
        "begin transaction; begin transaction;",
        "commit transaction;",
        "begin transaction; create table data.u as select 1 as id; commit transaction;",
        "begin transaction; drop table data.t; commit transaction;",
    ],
)
def test_what_no_transaction_allows_is_refused(sql, ids, script):
    """...#supported_statements and #limitations."""
    with pytest.raises(BadRequest):
        sql(script)
    assert ids() == [1, 2]


def test_a_temporary_table_is_allowed_in_a_transaction(sql, ids):
    sql(
        "begin transaction; create temp table u as select 3 as id; insert into data.t select id from u;"
        " commit transaction;"
    )
    assert ids() == [1, 2, 3]


def test_a_statement_of_a_script_is_kept_when_a_later_one_fails(sql, ids):
    """Only what is inside BEGIN TRANSACTION is undone."""
    with pytest.raises(BadRequest):
        sql("insert into data.t values (3); select error('on purpose');")
    assert ids() == [1, 2, 3]
