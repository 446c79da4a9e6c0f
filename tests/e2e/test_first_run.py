"""The first `make run` of a new user: its output, the warehouse, the registry and the data docs."""

import csv
import re
import subprocess
from collections import Counter
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import httpx
import psycopg
import pytest
from bad_input import UNTAGGED

from stack.settings import ROOT

pytestmark = pytest.mark.xdist_group("instance")
DATAOPS = (
    *("extract_and_load_projects", "extract_and_load_tags", "validate_projects", "validate_tags"),
    *("transform", "validate_transforms", "validate_projects_to_predict", "publish"),
)
MLOPS = (
    *("extract_data", "validate", "optimize", "train", "evaluate", "promote"),
    *("predict", "validate_predictions", "publish_predictions"),
)


@pytest.fixture(scope="module")
def source(first_run, instance):
    """Rows of the two source files by id, without the project that has no tag."""
    files = [Path(instance.summary()["source"], name) for name in ("projects.csv", "tags.csv")]
    with files[0].open(newline="", encoding="utf-8-sig") as projects, files[1].open(newline="") as tags:
        tag = {row["id"]: row["tag"] for row in csv.DictReader(tags)}
        rows = [row for row in csv.DictReader(projects) if row["id"] in tag]
        return {int(row["id"]): row | {"tag": tag[row["id"]]} for row in rows}


@pytest.fixture(scope="module")
def outside(first_run, instance):
    """The instance with PostgreSQL and MLflow up."""
    with instance.services("postgres", "mlflow"):
        yield instance


def test_the_first_run_succeeds_and_leaves_no_process(first_run, instance):
    assert first_run.returncode == 0, first_run.stdout
    assert instance.processes() == []


def test_explain_of_an_unknown_run_lists_the_known_ones_and_stops_its_services(first_run, instance):
    done = instance.make("explain", RUN="nonsense")
    assert done.returncode != 0
    assert "there is no run nonsense" in done.stdout
    assert instance.summary()["dataops"]["run_id"] in done.stdout
    assert instance.processes() == []


def test_the_output_has_a_line_per_task_and_the_champion(first_run):
    for dag_id, tasks in (("dataops", DATAOPS), ("mlops", MLOPS)):
        for task in tasks:
            assert f"✓ {dag_id}.{task}" in first_run.stdout
    assert "1 row without a label" in first_run.stdout
    assert "champion" in first_run.stdout


def test_the_summary_has_the_same_facts(first_run, instance, source):
    facts = instance.summary()
    assert (facts["schema_version"], facts["place"], facts["state"], facts["error"]) == (1, "embedded", "success", None)
    assert set(facts["dataops"]["tasks"]) == set(DATAOPS)
    assert set(facts["mlops"]["tasks"]) == set(MLOPS)
    tasks = [*facts["dataops"]["tasks"].values(), *facts["mlops"]["tasks"].values()]
    assert all(task["state"] == "success" and task["seconds"] > 0 for task in tasks)
    rows = dict.fromkeys(("projects", "tags", "projects_to_predict", "predictions"), len(source) + 1)
    assert facts["tables"] == rows | {"labeled_projects": len(source)}
    assert set(facts["expectations"]) == {
        *("dataops.validate_projects", "dataops.validate_tags", "dataops.validate_transforms"),
        *("dataops.validate_projects_to_predict", "mlops.validate", "mlops.validate_predictions"),
    }
    version = facts["champion"]["version"]
    said = {"rows": len(source) + 1, "unlabeled": 1, "model_version": version, "published": True}
    assert facts["predictions"] == said
    assert all(one["evaluated"] == one["successful"] > 0 for one in facts["expectations"].values())
    assert facts["study"] | {"name": None} == {"name": None, "trials": 4, "run": 4, "reused": False}
    assert facts["candidate"]["version"] == facts["champion"]["version"]
    assert facts["gate"]["decision"] == "promoted"


def test_every_value_of_the_source_is_in_the_published_table(outside, source):
    rows = outside.rows(
        "select id, to_char(created_on, 'YYYY-MM-DD HH24:MI:SS'), title, description, tag from marts.labeled_projects"
    )
    expected = {
        (each, row["created_on"], row["title"].strip(), row["description"].strip(), row["tag"])
        for each, row in source.items()
    }
    assert set(rows) == expected
    assert len(rows) == len(expected)


def test_the_loaded_tables_keep_airbytes_columns_and_declared_types(outside):
    columns = outside.rows(
        "select column_name, data_type from information_schema.columns "
        "where table_schema = 'raw' and table_name = 'projects'"
    )
    assert dict(columns) == {
        "id": "bigint",
        "created_on": "timestamp without time zone",
        "title": "text",
        "description": "text",
        "_airbyte_raw_id": "text",
        "_airbyte_extracted_at": "timestamp with time zone",
        "_airbyte_meta": "jsonb",
    }


def test_each_project_is_tagged_by_the_champion(outside, source):
    facts = outside.summary()
    rows = outside.rows("select id, tag, probability, model_version from marts.predictions")
    assert sorted(row[0] for row in rows) == sorted([*source, UNTAGGED])
    assert {row[3] for row in rows} == {str(facts["champion"]["version"])}
    assert all(0 < row[2] <= 1 for row in rows)
    # The classes, most of whose rows it was trained on, come back; a broken join of ids and texts would not do that.
    classes = Counter(row["tag"] for row in source.values())
    large = {tag for tag, count in classes.items() if count >= 50}
    right = sum(
        source[each]["tag"] == tag or (tag == "other" and source[each]["tag"] not in large)
        for each, tag, *_ in rows
        if each != UNTAGGED
    )
    assert right / len(source) > 0.9


def test_the_registry_holds_the_champion_with_its_origin(outside):
    facts = outside.summary()
    api = httpx.Client(base_url=f"{outside.settings().url('mlflow')}/api/2.0/mlflow", timeout=60)
    answer = api.get("/registered-models/alias", params={"name": "tagifai", "alias": "champion"})
    version = answer.raise_for_status().json()["model_version"]
    assert version["version"] == str(facts["champion"]["version"])
    run = api.get("/runs/get", params={"run_id": version["run_id"]}).raise_for_status().json()["run"]
    metrics = {each["key"]: each["value"] for each in run["data"]["metrics"]}
    assert metrics["f1_weighted"] == pytest.approx(facts["candidate"]["f1_weighted"])
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    assert head in {each["value"] for each in [*run["data"]["tags"], *version["tags"]]}


def test_the_data_docs_show_the_validations(first_run, instance):
    docs = instance.var / "great_expectations" / "data_docs" / "tagifai"
    assert (docs / "index.html").is_file()
    pages = {page.relative_to(docs / "validations").parts[0] for page in (docs / "validations").rglob("*.html")}
    assert pages == {"projects", "tags", "labeled_projects", "projects_to_predict", "snapshot", "predictions"}


def test_the_page_of_the_run_is_written_and_has_its_rows_and_champion(first_run, instance, source):
    facts = instance.summary()
    last = first_run.stdout.splitlines()[-1]
    assert last.startswith("page ")
    page = Path(last.split()[-1])
    assert page.parent == instance.var / "explain"
    html = page.read_text(encoding="utf-8")
    text = " ".join(unescape(re.sub(r"<style>.*?</style>|<[^>]*>", " ", html, flags=re.DOTALL)).split())
    champion = f"{facts['champion']['name']} version {facts['champion']['version']}"
    assert [part for part in (champion, str(len(source)), *DATAOPS, *MLOPS) if part not in text] == []
    assert text.count("★ best") == 1
    assert "4 trials" in text
    run_page = r"#/experiments/\d+/runs/[0-9a-f]{32}\?workflowType=machine_learning"
    assert re.search(rf'href="http://localhost:\d+/{run_page}"', html)
    for run_id in (facts["dataops"]["run_id"], facts["mlops"]["run_id"]):
        assert run_id in text
    # Every link to a file leads to one.
    files = [unquote(place) for place in re.findall(r'href="(\.\./[^"]+)"', html)]
    assert len(files) > 15
    assert all((page.parent / file).exists() for file in files)


def test_no_run_is_left_unfinished_though_the_run_before_was_interrupted(outside):
    with psycopg.connect(**outside.settings().database("airflow")) as connection:
        unfinished = "select dag_id, state from dag_run where state in ('running', 'queued')"
        assert connection.execute(unfinished).fetchall() == []
