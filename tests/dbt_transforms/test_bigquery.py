"""dbt on BigQuery's stand-in, called as by the command that Airflow runs; and the same tables as on PostgreSQL."""

import os
from datetime import datetime
from pathlib import Path

import psycopg2
import pytest
from bigquery_testing import Project

from tests.dbt_transforms.conftest import Warehouse as PostgresWarehouse

COLUMNS = {
    "labeled_projects": "id, created_on, title, description, tag",
    "projects_to_predict": "id, title, description, is_labeled",
}
# Texts that a warehouse may change on their way, each with white space at its ends.
TEXTS = [
    "  Graph nets ",
    "\u00a0\u3000Überblick\ufeff",
    "Two\n\nlines\tand a tab\r\n",
    "'single', \"double\", `back` and \\back\\slashes\\",
    "🦜 emoji, e\u0301 in two characters, \u202eright to left",
    "NULL",
    "true",
    "00123",
    "1e5",
    "{{ braces }} %s ${x}",
]
PROJECTS = [
    {"id": 10**17 + number, "created_on": moment, "title": f"{text}", "description": f"\u2003{number}: {text}\v"}
    for number, (text, moment) in enumerate(
        zip(
            TEXTS,
            [
                datetime(2020, 2, 20, 6, 43, 18),
                datetime(1, 1, 1),
                datetime(9999, 12, 31, 23, 59, 59, 999999),
                datetime(1969, 12, 31, 23, 59, 59, 1),
                None,
                *(datetime(2024, 2, 29, hour) for hour in range(5)),
            ],
            strict=True,
        )
    )
]
TAGS = [{"id": row["id"], "tag": f" ML-Öps{row['id'] % 3}\n"} for row in PROJECTS[:-2]]
RAW = {
    "projects": (PROJECTS, {"id": "bigint", "created_on": "timestamp", "title": "text", "description": "text"}),
    "tags": (TAGS, {"id": "bigint", "tag": "text"}),
}
# The types that the Airbyte destination for BigQuery gives.
TYPES = {"bigint": "INT64", "timestamp": "DATETIME", "text": "STRING"}


class Warehouse(PostgresWarehouse):
    """A project of BigQuery's stand-in, and dbt's command on it."""

    def __init__(self, project: Project, var: Path, folder: Path):
        super().__init__(None, None, var, folder)
        self.project = project

    def sql(self, statements):
        return self.project.sql(statements)

    @property
    def warehouse(self):
        return self.project.environment


def fill(project):
    """Raw tables as syncs make them."""
    with project.client() as client:
        client.create_dataset("ada_raw", exists_ok=True)
    for name, (rows, columns) in RAW.items():
        types = ", ".join(f"{column} {TYPES[kind]}" for column, kind in columns.items())
        project.sql(f"create or replace table ada_raw.{name} ({types}, _airbyte_meta json)")
        with project.client() as client:
            given = [
                {key: str(value) if isinstance(value, datetime) else value for key, value in row.items()}
                for row in rows
            ]
            table = client.get_table(f"ada_raw.{name}")
            client.load_table_from_json(given, table).result()


@pytest.fixture(scope="module")
def bigquery(make_project, tmp_path_factory):
    """A project with raw tables, built twice and published twice, and what the commands told."""
    var, folder = (tmp_path_factory.mktemp(name) for name in ("var", "run"))
    warehouse = Warehouse(make_project(), var, folder)
    fill(warehouse.project)
    warehouse.told = [warehouse.run(verb) for verb in ("build", "build", "publish", "publish")]
    return warehouse


def on_postgres(postgres, folder):
    """Rows of the tables that dbt builds on PostgreSQL, by table."""
    warehouse = PostgresWarehouse(postgres, postgres.database(), folder, folder)
    database = dict(warehouse.database)
    connection = psycopg2.connect(dbname=database.pop("database"), **database)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("create schema raw")
    for name, (rows, columns) in RAW.items():
        types = ", ".join(f"{column} {kind}" for column, kind in columns.items())
        cursor.execute(f"create table raw.{name} ({types}, _airbyte_meta jsonb)")
        values = ", ".join(f"%({column})s" for column in columns)
        cursor.executemany(f"insert into raw.{name} ({', '.join(columns)}) values ({values})", rows)
    warehouse.run("build")
    found = {}
    for name, columns in COLUMNS.items():
        cursor.execute(f"select {columns} from candidate.{name} order by id")
        found[name] = [list(row) for row in cursor.fetchall()]
    return found


def test_both_warehouses_have_the_same_rows_in_every_column(bigquery, postgres, tmp_path):
    expected = on_postgres(postgres, tmp_path)
    assert len(expected["labeled_projects"]) == 8
    for name, columns in COLUMNS.items():
        assert bigquery.sql(f"select {columns} from ada_candidate.{name} order by id") == expected[name]
        assert bigquery.sql(f"select {columns} from ada_marts.{name} order by id") == expected[name]


def test_every_dataset_has_the_prefix_the_labels_and_the_location(bigquery):
    with bigquery.project.client() as client:
        found = {each.dataset_id: client.get_dataset(each.dataset_id) for each in client.list_datasets()}
    assert found.keys() == {"ada_raw", "ada_staging", "ada_candidate", "ada_marts"}
    # The first is Airbyte's.
    made = [each for name, each in found.items() if name != "ada_raw"]
    assert [(each.labels, each.location) for each in made] == [({"app": "mlops", "place": "tests"}, "EU")] * 3


@pytest.mark.parametrize("dataset", ["ada_candidate", "ada_marts"])
def test_published_tables_have_the_partitions_clusters_and_labels_of_the_candidates(bigquery, dataset):
    with bigquery.project.client() as client:
        labeled, to_predict = (client.get_table(f"{dataset}.{name}") for name in COLUMNS)
    assert (labeled.time_partitioning.type_, labeled.time_partitioning.field) == ("MONTH", "created_on")
    assert (labeled.clustering_fields, to_predict.clustering_fields) == (["tag", "id"], ["id"])
    assert labeled.labels == to_predict.labels == {"app": "mlops", "place": "tests"}


def test_the_commands_report_the_same_as_on_postgres_and_the_bytes_billed(bigquery):
    build, again, publish, _ = bigquery.told
    assert (build["models"], build["tests"], build["rows"]) == (4, 15, 8)
    assert {key: again[key] for key in ("models", "tests", "rows")} == {"models": 4, "tests": 15, "rows": 8}
    assert publish["rows"] == {"labeled_projects": 8, "projects_to_predict": 10}
    assert "bytes_billed" not in build | publish
    assert all(isinstance(told["report"]["bytes_billed"], int) for told in bigquery.told)


def test_the_unit_tests_of_the_models_pass(bigquery):
    tests = bigquery.dbt("test", "--select", "test_type:unit")
    assert {name: result.message for name, result in tests.items() if result.status != "pass"} == {}
    assert len(tests) == 6


def test_a_view_on_a_published_table_lives_on(bigquery):
    bigquery.sql("create or replace view ada_marts.mine as select id from ada_marts.labeled_projects")
    bigquery.run("publish")
    assert bigquery.sql("select count(*) from ada_marts.mine") == [[8]]


def test_every_job_has_labels_and_a_bound(bigquery):
    bigquery.run("publish")
    with bigquery.project.client() as client:
        jobs = [job for job in client.list_jobs(max_results=3) if job.job_type == "query"]
        labels = [job.labels for job in jobs]
    assert jobs
    for each in labels:
        assert each.items() >= {"app": "mlops", "place": "tests", "task": "dbt-run-operation"}.items()
    assert {job.maximum_bytes_billed for job in jobs} == {10_000_000_000}


def test_without_the_candidate_of_one_table_neither_is_published(make_project, tmp_path, bigquery):
    warehouse = Warehouse(make_project(), bigquery.var, tmp_path)
    with warehouse.project.client() as client:
        client.create_dataset("ada_candidate")
    warehouse.sql("create table ada_candidate.labeled_projects (id int64)")
    message = warehouse.fail("publish", status=os.EX_TEMPFAIL)
    assert "ada_candidate`.`projects_to_predict` does not exist" in message
    assert "Build the candidates" in message
    with warehouse.project.client() as client:
        assert list(client.list_tables("ada_marts")) == []


def test_missing_raw_tables_are_named(make_project, tmp_path, bigquery):
    warehouse = Warehouse(make_project(), bigquery.var, tmp_path)
    message = warehouse.fail("build", status=os.EX_TEMPFAIL)
    assert "model stg_labels failed: " in message
    assert "ada_raw" in message
