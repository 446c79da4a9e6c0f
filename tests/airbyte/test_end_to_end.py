"""The shipped declaration, service and connector together: files to tables."""

import csv
import io

import pytest
from airbyte_testing import ROOT

SHIPPED = {"MLOPS_AIRBYTE__CONNECTIONS": str(ROOT / "airbyte" / "connections.yaml")}
PROJECTS = [
    ("1", "2020-02-20 06:43:18", "Plain", "A description."),
    ("2", "2020-02-20 06:47:21", '"Show, Infer & Tell"', 'With "quotes", commas\nand\r\n\r\nnew lines'),
    ("007", "2020-02-24 16:24:45", "00123", "1e5"),
    ("4", "2020-02-29 00:00:00.5", "Ünïcødé 😀 \u202e数据", "tab\t backslash \\N \\."),
    ("5", "2021-01-01 00:00:00", " spaces ", "NULL"),
]


def csv_of(header, rows):
    """The bytes of a CSV file."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header, *rows])
    return text.getvalue().encode()


@pytest.fixture
def files(tmp_path):
    """The folder of a good projects.csv and tags.csv."""
    (tmp_path / "projects.csv").write_bytes(csv_of(["id", "created_on", "title", "description"], PROJECTS))
    (tmp_path / "tags.csv").write_bytes(csv_of(["id", "tag"], [("1", "mlops"), ("2", "natural-language-processing")]))
    return tmp_path


def test_both_files_arrive_in_the_schema_raw_with_their_types_and_their_text_as_it_is(new_service, files, query):
    service = new_service(**SHIPPED).start()
    assert [service.sync(name)["status"] for name in ("projects", "tags")] == ["succeeded", "succeeded"]
    rows = query("select id, created_on::text, title, description from raw.projects order by created_on")
    assert rows == [(int(i), created_on, title, description) for i, created_on, title, description in PROJECTS]
    assert query("select id, tag from raw.tags order by id") == [(1, "mlops"), (2, "natural-language-processing")]
    types = "select column_name || ' ' || data_type from information_schema.columns where table_name = 'projects'"
    assert {name for (name,) in query(types)} == {
        "id bigint",
        "created_on timestamp without time zone",
        "title text",
        "description text",
        "_airbyte_raw_id text",
        "_airbyte_extracted_at timestamp with time zone",
        "_airbyte_meta jsonb",
    }
    assert query("select count(distinct _airbyte_raw_id) from raw.projects") == [(len(PROJECTS),)]


def test_a_bad_file_fails_its_sync_reports_the_row_and_keeps_the_old_rows(new_service, files, query):
    service = new_service(**SHIPPED).start()
    service.sync("tags")
    with (files / "tags.csv").open("ab") as file:
        file.write(b'3,"never closed\n')
    job = service.sync("tags")
    assert (job["status"], job["failureType"]) == ("failed", "config_error")
    assert f"{files / 'tags.csv'}, row 4, column tag: a double quote opens" in job["failureReason"]
    assert query("select count(*) from raw.tags") == [(2,)]


def test_invalid_ids_and_dates_and_a_missing_title_become_null(new_service, files, query):
    content = b'id,created_on,title,description\nsix,yesterday,,""\n'
    (files / "projects.csv").write_bytes(content)
    job = new_service(**SHIPPED).start().sync("projects")
    assert (job["status"], job["valuesNulled"]) == ("succeeded", 2)
    ((*values, in_the_source),) = query(
        "select id, created_on, title, description, jsonb_path_query_array(_airbyte_meta, '$.changes[*].value')"
        " from raw.projects"
    )
    assert values == [None, None, None, ""]
    assert in_the_source == ["six", "yesterday"]


def test_a_file_with_a_nul_byte_fails_with_its_row_and_column(new_service, files, query):
    (files / "tags.csv").write_bytes(b"id,tag\n1,a\n2,b\x00c\n")
    job = new_service(**SHIPPED).start().sync("tags")
    assert (job["status"], job["failureType"]) == ("failed", "config_error")
    assert f"{files / 'tags.csv'}, row 3, column tag: the text contains a NUL byte" in job["failureReason"]
    assert query("select to_regclass('raw.tags')") == [(None,)]
