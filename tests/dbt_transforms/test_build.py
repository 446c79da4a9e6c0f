import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import ROOT

CANDIDATE = "select id, created_on, title, description, tag from candidate.labeled_projects order by id"
PUBLISHED = "select * from marts.labeled_projects order by id"


@pytest.fixture(scope="module")
def builds(sources):
    """Builds and their outcome: one that cannot write its page, two that fail on bad rows, one that succeeds."""
    seen, docs = SimpleNamespace(), sources.var / "dbt" / "docs" / "tagifai"
    files = sorted((ROOT / "dbt_transforms").rglob("*"))
    docs.parent.mkdir(parents=True)
    docs.touch()
    seen.without_page = sources.run("build")

    docs.unlink()
    docs.mkdir()
    (docs / "index.html").write_text("page of an earlier build")
    sources.sql("create schema marts; create table marts.labeled_projects as select * from candidate.labeled_projects")
    seen.before = sources.sql(CANDIDATE), sources.sql(PUBLISHED)
    sources.sql("insert into raw.tags (id, tag) values (1, 'mlops')")
    sources.sql("insert into raw.tags (id, tag) select null, 'mlops' from generate_series(1, 7)")
    seen.message = sources.fail("build", status=1)
    seen.duplicates = sources.sql(
        Path(re.search(r"in (\S+unique_stg_labels__id_\S+) finds", seen.message)[1]).read_text()
    )
    seen.after = sources.sql(CANDIDATE), sources.sql(PUBLISHED)
    seen.page = (docs / "index.html").read_text()

    sources.sql("""
        delete from raw.tags where tag = 'mlops'; drop schema marts cascade;
        insert into raw.projects (id, title, description) values (4, '', 'D'), (5, 'E', E' \\t\\n'), (6, 'F', 'F');
        insert into raw.tags (id, tag) values (4, 'mlops'), (5, 'mlops'), (6, ' ');
    """)
    seen.blank = sources.fail("build", status=1)
    seen.log = (sources.home / "logs" / "dbt.log").read_text()

    sources.sql("delete from raw.projects where id > 3; delete from raw.tags where id between 4 and 6")
    seen.facts = sources.run("build")
    seen.unit_tests = sources.dbt("test", "--select", "test_type:unit")
    seen.made = sorted(set((ROOT / "dbt_transforms").rglob("*")) - set(files))
    return seen


def test_the_unit_tests_of_the_models_pass(builds):
    assert {name: result.message for name, result in builds.unit_tests.items() if result.status != "pass"} == {}
    assert len(builds.unit_tests) == 6


def test_the_candidate_is_the_tagged_projects_with_clean_texts(builds, sources):
    assert sources.sql(CANDIDATE) == [
        ["1", "2020-02-20 06:43:18", "Graph nets", "Two\n\nlines", "MLOps"],
        ["2", "2020-02-21 00:00:00", "Überblick", "B", "computer-vision"],
    ]


def test_all_projects_are_to_predict_also_without_a_tag(builds, sources):
    assert sources.sql("select id, title, description, is_labeled from candidate.projects_to_predict order by id") == [
        ["1", "Graph nets", "Two\n\nlines", "t"],
        ["2", "Überblick", "B", "t"],
        ["3", "No tag", "C", "f"],
    ]


@pytest.mark.parametrize("test", ["labeled__title_", "labeled__tag_", "to_predict__title_"])
def test_a_blank_first_text_or_label_stops_the_build(builds, test):
    assert f"Failure in test not_null_{test} " in builds.log


def test_a_build_makes_the_candidates_and_their_views_and_nothing_else(builds, sources):
    assert builds.made == []
    tables = sources.sql("""
        select table_schema, table_name, table_type from information_schema.tables
        where table_schema not in ('pg_catalog', 'information_schema', 'raw') order by 1, 2
    """)
    assert tables == [
        ["candidate", "labeled_projects", "BASE TABLE"],
        ["candidate", "projects_to_predict", "BASE TABLE"],
        ["staging", "stg_projects", "VIEW"],
        ["staging", "stg_tags", "VIEW"],
    ]


def test_a_build_returns_and_reports_what_it_made_with_its_warnings(builds, sources):
    # Of 15 tests, one warns of the tag without project.
    assert (builds.facts["models"], builds.facts["tests"], builds.facts["rows"]) == (4, 14, 2)
    (warning,) = builds.facts["warnings"]
    assert "relationships_stg_labels" in warning
    assert "Got 1 result" in warning
    assert builds.facts["report"] == {
        "rows_out": 2,
        "note": "4 dbt models; 14 dbt tests passed",
        "links": {"dbt docs": str(sources.var / "dbt" / "docs" / "tagifai" / "index.html")},
        "sections": [{"title": "Warnings of dbt", "columns": ["Warning"], "rows": [[warning]]}],
    }


def test_a_failed_test_stops_the_build_and_leaves_the_tables_as_they_were(builds):
    assert "test unique_stg_labels__id_ failed: Got 1 result, " in builds.message
    assert "such as unique_field 1, n_records 2." in builds.message
    assert builds.duplicates == [["1", "2"]]
    assert builds.after == builds.before


def test_a_failed_test_shows_five_rows_at_most(builds):
    assert "test not_null_stg_labels__id_ failed: Got 7 results" in builds.message
    assert builds.message.count("id null") == 5


def test_a_warehouse_that_does_not_answer_is_named(warehouse):
    """As a process, which Airflow starts."""
    warehouse.database = {**warehouse.database, "password": "wrong"}
    process = warehouse.start("build")
    _, errors = process.communicate(timeout=240)
    assert process.returncode == os.EX_TEMPFAIL
    message = warehouse.failure("build", errors)
    assert "password authentication failed" in message
    assert "MLOPS_WAREHOUSE__" in message


def test_the_documentation_is_one_page_that_holds_the_project_and_the_tables_it_made(builds, sources):
    docs = sources.var / "dbt" / "docs" / "tagifai"
    assert os.listdir(docs) == ["index.html"]
    # The two artifacts within the page: what the project says, and what the warehouse has.
    text = (docs / "index.html").read_text()
    start = text.index("manifest:{", text.index('.factory("project"')) + len("manifest:")
    manifest, end = json.JSONDecoder().raw_decode(text, start)
    assert text[end:].startswith(",catalog:")
    catalog = json.JSONDecoder().raw_decode(text, end + len(",catalog:"))[0]
    assert manifest["metadata"]["send_anonymous_usage_stats"] is False
    table = "model.transforms.labeled"
    assert manifest["nodes"][table]["description"]
    assert catalog["nodes"][table]["columns"]["created_on"]["type"] == "timestamp without time zone"
    assert catalog["sources"].keys() == {"source.transforms.raw.texts", "source.transforms.raw.labels"}


def test_the_documentation_of_an_earlier_build_stays_if_a_build_fails(builds):
    assert builds.page == "page of an earlier build"


def test_a_documentation_that_cannot_be_written_is_a_warning(builds, sources):
    warning = builds.without_page["warnings"][-1]
    assert warning.startswith("the documentation stays as it was: ")
    assert str(sources.var / "dbt" / "docs") in warning
    assert [warning] in builds.without_page["report"]["sections"][0]["rows"]
    assert builds.without_page["report"]["links"] == {}
