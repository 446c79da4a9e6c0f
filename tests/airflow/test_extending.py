"""The changes of docs/extending.md to settings, gates and graphs, made as that page shows them."""

import re
import shutil
import subprocess
import sys

import yaml

from tests.conftest import ROOT, application_config

PAGE = (ROOT / "docs" / "extending.md").read_text()
TICKETS = {
    "application": "tickets",
    "namespace": "tickets",
    "sources": {"tickets": {"file": "t.csv", "columns": {"ticket_id": "text", "subject": "text", "queue": "text"}}},
    "columns": {"id": "ticket_id", "texts": ["subject"], "label": "queue", "date": None},
}


def example(heading, language):
    """The only example in a language below a heading of the page."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)^## ", PAGE, re.DOTALL | re.MULTILINE)
    found = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert len(found) == 1
    return found[0]


def tickets(heading):
    """The settings of an application of tickets with the example below a heading laid over them."""
    config = application_config() | TICKETS
    over = yaml.safe_load(example(heading, "yaml"))["sources"]["tickets"]
    source = config["sources"]["tickets"]
    changed = source | over | {"columns": source["columns"] | over["columns"]}
    return config | {"sources": {"tickets": changed}}


def settings_of(config, tmp_path, monkeypatch):
    from pipeline.settings import Settings

    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("MLOPS_CONFIG", str(path))
    monkeypatch.setenv(
        "MLOPS_WAREHOUSE",
        '{"type": "bigquery", "project": "p", "location": "EU", "maximum_bytes_billed": 1, "job_timeout": 1}',
    )
    return Settings()


def expectations(config, tmp_path, monkeypatch):
    """Types and columns of the expectations on the source, which has no published tables."""
    from pipeline import suites

    class Data:
        def distinct(self, column):
            return {"billing": 3}

        def published(self, table):
            return None

        def equal_texts(self, texts, shown):
            return None

        def unfit(self, column, shown):
            return None

    settings = settings_of(config, tmp_path, monkeypatch)
    parameters = suites.Parameters(settings, "tickets", Data())
    found = [(each["type"], each["kwargs"]) for each in suites.expectations("source", parameters, {})]
    # The gate adds these.
    return found + [(each.type, each.kwargs) for each in settings.sources["tickets"].expectations]


def test_a_column_is_loaded_and_its_type_is_checked(tmp_path, monkeypatch):
    from airbyte_declaration.applications import described

    config = tickets("A table")
    (application,) = described([config])
    assert application["sources"][0]["json_schema"]["properties"]["priority"] == {"type": "string"}
    types = [kwargs["column"] for kind, kwargs in expectations(config, tmp_path, monkeypatch) if "type_list" in kind]
    assert "priority" in types


def test_a_check_is_a_line_of_a_column_or_an_expectation(tmp_path, monkeypatch):
    found = expectations(tickets("A check"), tmp_path, monkeypatch)
    assert ("expect_column_values_to_not_be_null", {"column": "priority"}) in found
    in_set = {"column": "priority", "value_set": ["low", "high"]}
    assert ("expect_column_values_to_be_in_set", in_set) in found


def test_a_task_runs_a_command_in_an_environment_where_its_order_says():
    from airflow.sdk import DAG

    from pipeline import runners
    from pipeline.commands import dbt

    with DAG("changed", schedule=None) as dag:
        names = {"runners": runners, "transform": dbt("build", task_id="transform")}
        names["publish"] = dbt("publish", task_id="publish")
        exec(example("A task", "python"), names)
    task = dag.get_task("report")
    assert (task.environment, task.command) == ("dbt", ["python", "dbt_transforms/report.py"])
    assert (task.upstream_task_ids, task.downstream_task_ids) == ({"transform"}, {"publish"})


def test_a_dag_of_the_dags_folder_is_one_of_each_application(tmp_path, monkeypatch):
    from airflow.dag_processing.dagbag import DagBag

    folder = tmp_path / "dags"
    shutil.copytree(ROOT / "airflow" / "dags" / "pipeline", folder / "pipeline")
    (folder / "weekly.py").write_text(example("A DAG", "python"))
    bag = DagBag(str(folder / "weekly.py"), bundle_path=folder)
    assert (bag.import_errors, list(bag.dags)) == ({}, ["weekly"])


def test_a_command_runs_in_an_environment_of_its_own(tmp_path, monkeypatch):
    from airflow_testing import TaskInstance, execute

    from pipeline import runners

    name = re.search(r'runners\.task\("(\w+)", …\)', PAGE)[1]
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / name], check=True)
    monkeypatch.setenv("MLOPS_RUNNER__ROOT", str(tmp_path))
    script = tmp_path / "command.py"
    made = "{'prefix': sys.prefix, 'report': {}}"
    script.write_text(f"import json, pathlib, sys; pathlib.Path(sys.argv[2]).write_text(json.dumps({made}))")
    instance = TaskInstance()
    assert execute(runners.task(name, ["python", str(script)], "own"), instance)["prefix"] == str(tmp_path / name)
