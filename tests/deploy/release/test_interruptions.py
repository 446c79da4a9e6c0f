"""An interrupted deploy is taken up by the next call, and two deploys do not meet."""

import json
import os
import signal
import threading

import psutil
import pytest
from recorded import Request, Rule
from world import CHANGED, LOCK, id_of, state


def kill(process):
    """Kill a command and all that it has started, as a machine that goes off does."""
    programs = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for each in programs:
        each.kill()


# A request of each step, in their order; the deploy is killed when the service gets it, which then acts on it.
MOMENTS = {
    "the upload": ("POST", "dags/new.py .*/upload/"),
    "the manifest": ("POST", r"mlops-manifests/\w{12}\.json .*/upload/"),
    "packages": ("PATCH", "/environments/staging"),
    "the wait for packages": ("GET", "/operations/"),
    "options": ("PATCH", "/environments/staging"),
    "the wait for options": ("GET", "/operations/"),
    "variables": ("PATCH", "/environments/staging"),
    "Airbyte": ("POST", "/airbyte/connections"),
    "a secret": ("POST", ":addVersion$"),
    "copies": ("POST", "/rewriteTo/.*plugins|/rewriteTo/.*dags"),
    "deletion": ("DELETE", "plugins/links.py"),
    "the import": ("GET", "/airflow/api/v2/importErrors"),
    "the smoke run of dataops": ("POST", "/airflow/api/v2/dags/dataops/dagRuns"),
    "the smoke run": ("POST", "/airflow/api/v2/dags/mlops/dagRuns"),
    "the pointer": ("POST", "current.json .*/upload/"),
}


def killed_at(world, method, pattern, *command):
    """Run a command, and kill it at its first request that matches."""
    process = None
    reached = threading.Event()

    def strike(_request: Request) -> None:
        reached.set()
        kill(process)

    world.server.rules = [Rule(method, pattern, before=strike)]
    process = world.start(*command)
    text, _ = process.communicate(timeout=300)
    assert reached.is_set(), text
    world.server.rules = []
    world.expire()
    return text


@pytest.mark.slow
def test_a_deploy_that_is_killed_at_one_step_after_the_other_is_finished(deployed, bundle):
    folder = bundle(**CHANGED)
    # So Airbyte and a secret differ, too.
    deployed.airbyte.things["connections"].pop()
    for moment in MOMENTS:
        killed_at(deployed, *MOMENTS[moment], "deploy", "--bundle", folder)
    done = deployed.deploy(folder)
    assert "did not end" in done.text
    assert deployed.current == id_of(folder)
    assert deployed.composer.software == {
        "pypiPackages": {"pandas": "==3.0.6"},
        "airflowConfigOverrides": {"core-parallelism": "8"},
        "envVariables": {"LISTS": "a"},
    }
    assert "plugins/links.py" not in deployed.live()
    assert deployed.live()["dags/new.py"] == "import new\n"
    # Each update was asked for once, however often the deploy was killed.
    updates = [each for each in deployed.changes() if each.startswith("update")]
    assert sorted(updates) == ["update airflow_config_overrides", "update env_variables", "update pypi_packages"]


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["the upload", "the wait for packages", "copies", "deletion", "the smoke run"])
def test_a_deploy_that_was_killed_is_undone_by_a_rollback(deployed, bundle, moment):
    before = state(deployed)
    killed_at(deployed, *MOMENTS[moment], "deploy", "--bundle", bundle(**CHANGED))
    assert state(deployed) != before or moment == "the upload"
    dry = deployed.run("rollback", "--dry-run")
    assert (dry.status, "did not end" in dry.text) == (0, True), dry.text
    done = deployed.run("rollback")
    assert done.status == 0, done.text
    assert state(deployed) == before


@pytest.mark.slow
def test_a_rollback_that_was_killed_goes_on_when_it_is_run_again_and_can_be_taken_back(deployed, bundle):
    before, folder = state(deployed), bundle(**CHANGED)
    deployed.deploy(folder)
    after = state(deployed)
    killed_at(deployed, *MOMENTS["the wait for packages"], "rollback")
    done = deployed.run("rollback")
    assert done.status == 0, done.text
    assert state(deployed) == before
    done = deployed.run("rollback", "--to", id_of(folder))
    assert done.status == 0, done.text
    assert state(deployed) == after


@pytest.mark.slow
def test_another_bundle_takes_the_place_of_one_that_was_killed(deployed, bundle):
    killed_at(deployed, *MOMENTS["deletion"], "deploy", "--bundle", bundle(**CHANGED))
    folder = bundle()
    deployed.deploy(folder)
    assert "dags/new.py" not in deployed.live(), "the files of the dead deploy are gone"
    assert deployed.composer.software["envVariables"] == {"DO_NOT_TRACK": "1", "LISTS": "a,b=c"}
    assert deployed.current == id_of(folder)


def test_after_ctrl_c_and_a_kill_the_next_call_takes_up_what_was_begun(deployed, bundle):
    folder = bundle(files={"dags/new.py": "import new\n"}, environment_variables={"LISTS": "a"})
    deployed.composer.polls = 4
    process = None
    deployed.server.rules = [
        Rule("GET", "/operations/", before=lambda _: os.kill(process.pid, signal.SIGINT)),
    ]
    process = deployed.start("deploy", "--bundle", folder)
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 130, text
    assert "what was begun runs on in Google's cloud" in text
    assert deployed.composer.running, "the operation goes on"
    assert json.loads(deployed.storage.text(LOCK))["expires"] == 0, "the next call need not wait for the lease"
    text = killed_at(deployed, *MOMENTS["copies"], "deploy", "--bundle", folder)
    assert "waiting for the update that was begun" in text
    done = deployed.deploy(folder)
    assert "Taking up a deploy of" in done.text
    assert [each for each in deployed.changes() if each.startswith("update")] == ["update env_variables"]
    assert deployed.current == id_of(folder)


# In short, test_lock.py and test_refusals.py show it.
@pytest.mark.slow
def test_of_two_deploys_at_once_one_is_refused_and_the_other_succeeds(deployed, bundle):
    one, two = bundle(environment_variables={"LISTS": "1"}), bundle(environment_variables={"LISTS": "2"})
    processes = {folder: deployed.start("deploy", "--bundle", folder) for folder in (one, two)}
    texts = {folder: process.communicate(timeout=300)[0] for folder, process in processes.items()}
    status = {folder: process.returncode for folder, process in processes.items()}
    assert sorted(status.values()) == [0, 1], texts
    winner = min(status, key=status.get)
    loser = max(status, key=status.get)
    assert "deploy" in texts[loser].splitlines()[-1]
    assert deployed.current == id_of(winner)
