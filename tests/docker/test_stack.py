"""The container stack, from outside: up, a run triggered by REST, what came of it, kills, edits."""

import httpx
import pytest
from docker_testing import wait_until

from devtools.torture.containers import SERVICES, ContainerTorture

SEED = 2026
LONG_RUNNING = {
    *("postgres", "airbyte", "mlflow", "docs"),
    *("airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"),
}
JOBS = {"init", "connect"}
# Killed in the same run.
GROUPS = (
    ("airbyte", "airflow-scheduler", "airflow-triggerer", "docs"),
    ("postgres", "mlflow", "airflow-api-server", "airflow-dag-processor"),
)


def test_up_ends_with_every_service_healthy_and_every_job_done(stack):
    states = {name: each["State"] for name, each in stack.containers().items()}
    assert states.keys() == LONG_RUNNING | JOBS
    assert {states[name]["Health"]["Status"] for name in LONG_RUNNING} == {"healthy"}
    assert {(states[name]["Status"], states[name]["ExitCode"]) for name in JOBS} == {("exited", 0)}


def started(stack):
    return {name: each["State"]["StartedAt"] for name, each in stack.containers().items() if name in LONG_RUNNING}


def test_up_again_changes_nothing(stack):
    before = stack.make("password").stdout, started(stack)
    stack.compose("up", "--wait")
    assert (stack.make("password").stdout, started(stack)) == before


def test_a_start_with_a_source_that_is_not_there_leaves_the_running_stack_as_it_is(stack, monkeypatch):
    before = started(stack)
    with monkeypatch.context() as wrong:
        wrong.setitem(stack.environment, "SOURCE_FOLDER", "/nowhere/at/all")
        done = stack.compose("up", "--wait", check=False)
    assert done.returncode
    assert "/nowhere/at/all" in done.stdout
    assert started(stack) == before
    stack.compose("up", "--wait")
    assert started(stack) == before


def test_every_ui_but_the_docs_asks_for_a_login_and_takes_the_one_that_is_shown(stack):
    logins = stack.logins
    asked = {
        "airflow": f"{stack.url('airflow')}/api/v2/dags",
        "mlflow": f"{stack.url('mlflow')}/api/2.0/mlflow/experiments/search?max_results=1",
        "airbyte": stack.url("airbyte"),
    }
    for name, url in asked.items():
        assert httpx.get(url, timeout=60).status_code == 401, name
    for name in ("mlflow", "airbyte"):
        assert httpx.get(asked[name], auth=(logins[name][0], "wrong"), timeout=60).status_code == 401, name
        assert httpx.get(asked[name], auth=logins[name], timeout=60).status_code == 200, name
    with stack.airflow() as airflow:
        assert airflow.get("/dags").status_code == 200


def test_a_run_triggered_by_rest_ends_with_tables_and_a_champion(stack, first_run):
    assert first_run == {"dataops": "success", "mlops": "success"}
    rows = int(stack.psql("select count(*) from marts.labeled_projects"))
    assert rows == int(stack.psql("select count(*) from raw.projects join raw.tags using (id)")) > 0
    assert int(stack.psql("select count(*) from marts.predictions")) == rows
    assert stack.champion()["version"] == "1"


def test_docs_and_the_home_page_tell_of_the_run(stack, first_run):
    docs = httpx.Client(base_url=stack.url("docs"), timeout=60)
    assert "expect_column_values_to_not_be_null" in docs.get("/data-docs/expectations/tags.html").text
    assert "labeled_projects" in docs.get("/dbt-docs/").text
    assert docs.get("/state").raise_for_status().json()


def test_make_run_reports_what_came_of_it(stack, first_run):
    done = stack.make("run", "PLACE=compose")
    assert "all reused from an earlier run" in done.stdout
    assert "champion" in done.stdout


@pytest.fixture
def edit(stack):
    """Edits a file of the clone, which is as before after the test."""
    before = {}

    def edit(name, old, new):
        file = stack.folder / name
        before.setdefault(file, file.read_text())
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))

    yield edit
    for file, text in before.items():
        file.write_text(text)


def test_an_edit_is_seen_without_a_rebuild(stack, edit):
    edit("airflow/dags/dataops.py", 'tags=["dataops"]', 'tags=["dataops", "edited"]')
    with stack.airflow() as airflow:
        wait_until(lambda: "edited" in [tag["name"] for tag in airflow.get("/dags/dataops").json()["tags"]])
    edit("config/base.yaml", "min_freq: 50", "min_freq: 51")
    edit("tagifai/labels.py", 'OTHER = "other"', 'OTHER = "another"')
    code = "from tagifai import labels, settings; print(labels.OTHER, settings.load().labels.min_freq)"
    python = "/opt/mlops/var/env/tagifai/bin/python"
    seen = stack.compose("exec", "-T", "airflow-scheduler", "entrypoint", python, "-c", code).stdout
    assert seen.split()[-2:] == ["another", "51"]


def test_every_service_is_killed_once():
    assert sorted(name for group in GROUPS for name in group) == sorted(SERVICES) == sorted(LONG_RUNNING)


@pytest.fixture(scope="module")
def tortured(stack, first_run):
    """The stack, whose runs are struck."""
    return ContainerTorture(stack)


@pytest.mark.parametrize("services", GROUPS, ids="+".join)
def test_after_kills_a_run_ends_by_itself_in_the_same_tables_and_an_equal_champion(tortured, services):
    outcome = tortured.strike(*services, seed=SEED)
    print(outcome)
    assert len(outcome.strikes) == len(services)
    assert outcome.faults == []
