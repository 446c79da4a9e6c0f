"""The container stack from outside: start, run, results, edits, kills."""

import re

import httpx
import pytest
from docker_testing import run, wait_until

from devtools.torture.containers import SERVICES, ContainerTorture

pytestmark = pytest.mark.xdist_group("stack")

SEED = 2026
LONG_RUNNING = {
    *("postgres", "airbyte", "mlflow", "docs"),
    *("airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"),
}
JOBS = {"init", "connect"}


def test_up_ends_when_every_service_is_healthy_and_every_job_is_done(stack):
    states = {name: each["State"] for name, each in stack.containers().items()}
    assert states.keys() == LONG_RUNNING | JOBS
    assert {states[name]["Health"]["Status"] for name in LONG_RUNNING} == {"healthy"}
    assert {(states[name]["Status"], states[name]["ExitCode"]) for name in JOBS} == {("exited", 0)}


def test_a_running_container_has_the_restrictions_of_the_compose_file(stack):
    facts = stack.containers()["postgres"]
    container = facts["Id"]
    host = facts["HostConfig"]
    assert (facts["Config"]["User"], host["ReadonlyRootfs"], host["CapDrop"]) == ("postgres", True, ["ALL"])
    assert (host["SecurityOpt"], host["Privileged"]) == (["no-new-privileges:true"], False)
    assert (host["Memory"], host["PidsLimit"]) == (1 << 30, 500)
    assert (host["RestartPolicy"]["Name"], host["PortBindings"] or {}) == ("unless-stopped", {})
    assert host["LogConfig"]["Config"] == {"max-file": "3", "max-size": "10m"}
    assert [name.rpartition("_")[2] for name in facts["NetworkSettings"]["Networks"]] == ["databases"]
    status = run("docker", "exec", container, "cat", "/proc/self/status").stdout
    assert dict(re.findall(r"^(CapEff|NoNewPrivs|Uid):\s+(\d+)", status, re.MULTILINE)) == {
        "CapEff": "0" * 16,
        "NoNewPrivs": "1",
        "Uid": "999",
    }
    refused = run("docker", "exec", container, "touch", "/usr/mine", check=False).stderr
    assert "Read-only file system" in refused


def started(stack):
    return {name: each["State"]["StartedAt"] for name, each in stack.containers().items() if name in LONG_RUNNING}


def test_up_again_changes_nothing(stack):
    before = stack.make("password", "PLACE=compose").stdout, started(stack)
    stack.compose("up", "--wait")
    assert (stack.make("password", "PLACE=compose").stdout, started(stack)) == before


def test_a_start_with_a_missing_source_folder_leaves_the_running_stack_unchanged(stack, monkeypatch):
    before = started(stack)
    with monkeypatch.context() as wrong:
        wrong.setitem(stack.environment, "SOURCE_FOLDER", "/nowhere/at/all")
        done = stack.compose("up", "--wait", check=False)
    assert done.returncode
    assert "/nowhere/at/all" in done.stdout
    assert started(stack) == before
    stack.compose("up", "--wait")
    assert started(stack) == before


def test_every_ui_but_the_docs_requires_a_login_and_accepts_the_one_of_make_password(stack):
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


def test_the_first_run_ends_with_tables_a_champion_and_a_summary(stack, first_run):
    assert "champion" in first_run.stdout
    rows = int(stack.psql("select count(*) from marts.labeled_projects"))
    assert rows == int(stack.psql("select count(*) from raw.projects join raw.tags using (id)")) > 0
    projects = int(stack.psql("select count(*) from raw.projects"))
    assert int(stack.psql("select count(*) from marts.predictions")) == projects
    assert stack.champion()["version"] == "1"


def test_the_docs_and_the_home_page_show_the_run(stack, first_run):
    docs = httpx.Client(base_url=stack.url("docs"), timeout=60)
    assert "expect_column_values_to_not_be_null" in docs.get("/data-docs/tagifai/expectations/tags.html").text
    assert "labeled_projects" in docs.get("/dbt-docs/tagifai/").text
    assert docs.get("/state").raise_for_status().json()


@pytest.fixture
def edit(stack):
    """Edits a file of the clone; the edit is undone after the test."""
    before = {}

    def edit(name, old, new):
        file = stack.folder / name
        before.setdefault(file, file.read_text())
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))

    yield edit
    for file, text in before.items():
        file.write_text(text)


def test_an_edit_takes_effect_without_a_rebuild(stack, edit):
    own = 'graph.arguments("dataops", owner="data")'
    edit("airflow/dags/dataops.py", own, f'({own} | {{"tags": ["edited"]}})')
    with stack.airflow() as airflow:
        wait_until(lambda: "edited" in [tag["name"] for tag in airflow.get("/dags/dataops").json()["tags"]])
    edit("config/applications/tagifai.yaml", "min_freq: 50", "min_freq: 51")
    edit("tagifai/labels.py", "NAMED = 10", "NAMED = 11")
    code = "from tagifai import labels, settings; print(labels.NAMED, settings.load().labels.min_freq)"
    python = "/opt/mlops/var/env/tagifai/bin/python"
    seen = stack.compose("exec", "-T", "airflow-scheduler", "entrypoint", python, "-c", code).stdout
    assert seen.split()[-2:] == ["11", "51"]


def test_after_a_kill_of_every_service_a_run_triggered_by_rest_ends_with_the_same_tables_and_champion(stack, first_run):
    outcome = ContainerTorture(stack).strike(*SERVICES, seed=SEED)
    print(outcome)
    assert len(outcome.strikes) == len(SERVICES)
    assert outcome.faults == []


@pytest.mark.slow
def test_a_further_run_reuses_the_trials_of_an_earlier_one(stack, first_run):
    assert "all reused from an earlier run" in stack.make("run", "PLACE=compose").stdout
