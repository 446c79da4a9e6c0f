"""Records of sources with change data capture, which say that a row was deleted."""

import pytest
from destination_testing import DEDUP, OVERWRITE, OnBigQuery, OnPostgres, table_of

from airbyte_local.columns import Column, Kind

COLUMNS = (
    Column("id", Kind.INTEGER),
    Column("text", Kind.TEXT),
    Column("lsn", Kind.INTEGER),
    Column("_ab_cdc_deleted_at", Kind.TEXT),
)
CDC = table_of(DEDUP, COLUMNS, key=("id",), cursor="lsn")
GONE = "2024-01-31T10:00:00Z"


class DeleteFacts:
    @pytest.fixture
    def rows(self, select):
        return lambda: [tuple(row) for row in select("select id, text from raw.numbers order by id")]

    def test_a_delete_removes_the_row_and_a_later_record_inserts_it_again(self, load, rows):
        load(CDC, (1, "a", 10, None), (2, "b", 10, None))
        load(CDC, (1, None, 11, GONE))
        assert rows() == [(2, "b")]
        load(CDC, (1, "again", 12, None))
        assert rows() == [(1, "again"), (2, "b")]

    def test_within_one_commit_the_record_with_the_latest_cursor_decides(self, load, rows):
        load(CDC, (1, "a", 10, None), (1, None, 11, GONE), (2, None, 10, GONE), (2, "b", 11, None), (3, None, 1, GONE))
        assert rows() == [(2, "b")]

    def test_a_delete_that_is_older_than_the_row_does_nothing(self, load, rows):
        load(CDC, (1, "a", 10, None))
        load(CDC, (1, None, 9, GONE))
        assert rows() == [(1, "a")]

    def test_without_a_cursor_the_last_record_decides(self, load, rows):
        table = table_of(DEDUP, COLUMNS, key=("id",))
        load(table, (1, "a", None, None), (2, "b", None, None))
        load(table, (1, None, None, GONE), (2, None, None, GONE), (2, "again", None, None))
        assert rows() == [(2, "again")]

    def test_a_full_refresh_keeps_the_record_of_a_delete(self, load, rows):
        load(table_of(OVERWRITE, COLUMNS), (1, "a", 11, GONE))
        assert rows() == [(1, "a")]


class TestPostgres(DeleteFacts, OnPostgres):
    pass


class TestBigQuery(DeleteFacts, OnBigQuery):
    pass
