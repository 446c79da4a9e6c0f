"""The same checkpoints on BigQuery: the same rows fail the same expectations, with the same messages."""

import pytest
from bigquery_testing import Project
from sqlalchemy.exc import DatabaseError

from tests.great_expectations import test_suites as suites
from tests.great_expectations.conftest import Place as PostgresPlace
from tests.great_expectations.conftest import environment_of, write_config

META = "_airbyte_raw_id string, _airbyte_extracted_at timestamp, _airbyte_meta json"


class Place(PostgresPlace):
    """A project of BigQuery's stand-in as the warehouse."""

    def __init__(self, project: Project, var, config):
        super().__init__(None, None, var, config)
        self.project = project

    @property
    def warehouse(self):
        return self.project.environment

    def sql(self, statements):
        return self.project.sql(statements)


@pytest.fixture(scope="module")
def project(make_project):
    """The project of all tests; each fills it anew."""
    project = make_project()
    with project.client() as client:
        for name in ("raw", "candidate"):
            client.create_dataset(f"ada_{name}")
    return project


@pytest.fixture
def place(project, tmp_path, monkeypatch):
    """Five good projects with tags in every table, as in PostgreSQL."""
    place = Place(project, tmp_path / "var", tmp_path / "config.yaml")
    write_config(place)
    for name, value in environment_of(place).items():
        monkeypatch.setenv(name, value)
    place.sql(f"""
        create or replace table ada_raw.projects
            (id int64, created_on datetime, title string, description string, {META});
        create or replace table ada_raw.tags (id int64, tag string, {META});
        create or replace table ada_candidate.labeled_projects
            (id int64, created_on datetime, title string, description string, tag string);
        create or replace table ada_candidate.projects_to_predict
            (id int64, title string, description string, is_labeled bool);
        insert into ada_raw.projects (id, created_on, title, description)
            select n, datetime '2020-01-01', concat('Title ', cast(n as string)), concat('Text ', cast(n as string))
            from unnest(generate_array(1, 5)) as n;
        insert into ada_raw.tags (id, tag)
            select n, case n when 1 then 'computer-vision' else 'mlops' end from unnest(generate_array(1, 5)) as n;
        insert into ada_candidate.labeled_projects
            select id, created_on, title, description, tag from ada_raw.projects join ada_raw.tags using (id);
        insert into ada_candidate.projects_to_predict select id, title, description, id < 5 from ada_raw.projects
    """)
    return place


def in_bigquery(change):
    """A change of the tests for PostgreSQL as BigQuery's SQL; types are changed in other ways."""
    change = change.replace("E'", "'").replace("_airbyte_meta = '", "_airbyte_meta = json '")
    return change if " where " in change else f"{change} where true"


# One case of each kind of expectation; the others are slow together.
FAST = {"update {} set id = 3 where id = 4", "update {} set title = null where id = 4", suites.unfit("id", "x12")}
FAST |= {change for _, _, change, *_ in suites.BAD if "u000b" in change or "unheard-of" in change}
BAD = [
    pytest.param(
        *(checkpoint, f"ada_{table}", in_bigquery(change), *expected),
        id=f"{checkpoint}-{number}",
        marks=[] if change in FAST and checkpoint in ("projects", "tags") else pytest.mark.slow,
    )
    for number, (checkpoint, table, change, *expected) in enumerate(suites.BAD)
    if not change.startswith("alter")
]


@pytest.mark.parametrize(("checkpoint", "expectations"), suites.COUNTS)
def test_good_rows_pass(place, checkpoint, expectations):
    gate = place.run(checkpoint)
    assert list(gate.failures()) == []
    assert len(gate.passed()) == expectations


@pytest.mark.parametrize(("checkpoint", "table", "change", "expectation", "said"), BAD)
def test_bad_rows_fail_their_expectation_and_the_message_shows_them(
    place, checkpoint, table, change, expectation, said
):
    place.sql(change.format(table))
    (failure,) = place.run(checkpoint).failures()
    assert failure.startswith(f"{expectation}: ")
    assert [part for part in said if part not in failure] == []


@pytest.mark.parametrize(
    ("checkpoint", "table", "column", "kind", "found"),
    [
        ("projects", "raw.projects", "id", "numeric", "Numeric"),
        ("projects", "raw.projects", "created_on", "timestamp", "TIMESTAMP"),
        ("labeled_projects", "candidate.labeled_projects", "created_on", "string", "String"),
        ("projects_to_predict", "candidate.projects_to_predict", "is_labeled", "string", "String"),
    ],
)
def test_a_column_of_another_type_fails(place, checkpoint, table, column, kind, found):
    place.sql(f"alter table ada_{table} drop column {column}; alter table ada_{table} add column {column} {kind}")
    failures = list(place.run(checkpoint).failures())
    (failure,) = [each for each in failures if each.startswith(suites.typed(column))]
    assert f"found {found}" in failure


def test_a_missing_table_is_the_reason_given_once(place):
    place.sql("drop table ada_candidate.labeled_projects")
    gate = place.run("labeled_projects")
    (failure,) = gate.failures()
    assert failure.startswith("15 expectations could not be checked: ")
    assert "ada_candidate.labeled_projects" in failure
    assert not gate.is_checked


def test_the_report_has_the_bytes_billed(place):
    assert place.run("tags").report()["bytes_billed"] >= 0


def test_every_query_has_labels_and_a_bound(place):
    place.run("tags")
    with place.project.client() as client:
        (job, *_) = client.list_jobs(max_results=1)
    assert job.labels == {"app": "mlops", "place": "tests", "task": "checkpoint"}
    assert job.maximum_bytes_billed == 10_000_000_000


def test_a_query_that_would_read_too_much_is_refused_and_not_taken_for_bad_data(place, monkeypatch):
    monkeypatch.setenv("MLOPS_WAREHOUSE__MAXIMUM_BYTES_BILLED", "1")
    with pytest.raises(DatabaseError, match="limit for bytes billed"):
        place.run("tags")
