import json
import os
import shutil
from pathlib import Path

from tests.conftest import ROOT

CANDIDATE = "select id, created_on, title, description, tag from candidate.labeled_projects order by id"


def test_the_candidate_is_the_tagged_projects_with_clean_texts_and_nothing_else_is_made(sources):
    before = sorted((ROOT / "dbt_transforms").rglob("*"))
    facts = sources.run("build")
    assert sources.sql(CANDIDATE) == [
        ["1", "2020-02-20 06:43:18", "Graph nets", "Two\n\nlines", "mlops"],
        ["2", "2020-02-21 00:00:00", "Überblick", "", "computer-vision"],
        ["4", "2021-01-01 12:00:00", "", "Title is blank", ""],
    ]
    # Blank texts are null, where the gate sees them.
    assert sources.sql("select id from candidate.labeled_projects where description is null") == [["2"]]
    assert sources.sql("select id from candidate.labeled_projects where title is null and tag is null") == [["4"]]
    # 8 data tests and 5 unit tests, one of which warns of the tag without project.
    assert (facts["models"], facts["tests"], facts["rows"]) == (3, 12, 3)
    (warning,) = facts["warnings"]
    assert "relationships_stg_tags" in warning
    assert "Got 1 result" in warning
    assert sorted((ROOT / "dbt_transforms").rglob("*")) == before
    tables = sources.sql("""
        select table_schema, table_name, table_type from information_schema.tables
        where table_schema not in ('pg_catalog', 'information_schema', 'raw') order by 1, 2
    """)
    assert tables == [
        ["candidate", "labeled_projects", "BASE TABLE"],
        ["staging", "stg_projects", "VIEW"],
        ["staging", "stg_tags", "VIEW"],
    ]


def test_a_failed_test_stops_the_build_and_leaves_the_tables_as_they_were(sources):
    sources.run("build")
    sources.sql("create schema marts; create table marts.labeled_projects as select * from candidate.labeled_projects")
    candidate, published = sources.sql(CANDIDATE), sources.sql("select * from marts.labeled_projects order by id")
    sources.sql("insert into raw.tags (id, tag) values (1, 'mlops')")
    message = sources.fail("build", status=1)
    said = (
        "test unique_stg_tags_id failed: Got 1 result, configured to fail if != 0, such as unique_field 1, n_records 2."
    )
    assert message.startswith(said)
    compiled = message.split("the SQL in ")[1].split(" finds")[0]
    assert sources.sql(Path(compiled).read_text()) == [["1", "2"]]
    assert sources.sql(CANDIDATE) == candidate
    assert sources.sql("select * from marts.labeled_projects order by id") == published


def test_a_failed_test_shows_five_rows_at_most(sources):
    sources.sql("insert into raw.tags (id, tag) select null, 'mlops' from generate_series(1, 7)")
    message = sources.fail("build", status=1)
    assert "test not_null_stg_tags_id failed: Got 7 results" in message
    assert message.count("id null") == 5


def test_a_warehouse_that_does_not_answer_is_named(warehouse):
    warehouse.database = {**warehouse.database, "password": "wrong"}
    message = warehouse.fail("build", status=os.EX_TEMPFAIL)
    assert "password authentication failed" in message
    assert "MLOPS_WAREHOUSE__" in message


def documented(warehouse):
    """The two artifacts that dbt's page has in itself: what the project says, and what the warehouse has."""
    text = (warehouse.var / "dbt" / "docs" / "index.html").read_text()
    start = text.index("manifest:{", text.index('.factory("project"')) + len("manifest:")
    manifest, end = json.JSONDecoder().raw_decode(text, start)
    assert text[end:].startswith(",catalog:")
    return manifest, json.JSONDecoder().raw_decode(text, end + len(",catalog:"))[0]


def test_the_documentation_is_one_page_that_holds_the_project_and_the_tables_it_made(sources):
    sources.run("build")
    assert os.listdir(sources.var / "dbt" / "docs") == ["index.html"]
    manifest, catalog = documented(sources)
    assert manifest["metadata"]["send_anonymous_usage_stats"] is False
    table = "model.transforms.labeled_projects"
    assert manifest["nodes"][table]["description"]
    assert catalog["nodes"][table]["columns"]["created_on"]["type"] == "timestamp without time zone"
    assert catalog["sources"].keys() == {"source.transforms.raw.projects", "source.transforms.raw.tags"}


def test_the_documentation_is_that_of_the_last_build_that_succeeded(sources):
    sources.run("build")
    before = documented(sources)
    sources.sql("insert into raw.tags (id, tag) values (1, 'mlops')")
    sources.fail("build", status=1)
    assert documented(sources) == before
    sources.sql("delete from raw.tags where tag = 'mlops'")
    sources.run("build")
    assert documented(sources)[1]["metadata"]["generated_at"] > before[1]["metadata"]["generated_at"]


def test_a_documentation_that_cannot_be_written_is_a_warning(sources):
    docs = sources.var / "dbt" / "docs"
    shutil.rmtree(docs, ignore_errors=True)
    docs.touch()
    warning = sources.run("build")["warnings"][-1]
    docs.unlink()
    assert warning.startswith("the documentation stays as it was: ")
    assert str(docs) in warning
