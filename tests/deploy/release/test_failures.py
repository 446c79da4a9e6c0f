"""Failures: the former manifest is put back, an interrupted deploy is taken up, and two deploys do not meet."""

import json
import os
import signal
import threading

import psutil
import pytest
from recorded import Answer, Request, Rule, refusal
from world import id_of

STORE = "data/mlops-manifests"
LOCK = f"{STORE}/lock.json"
CHANGED = {
    "files": {"dags/mlops.py": "import pipeline  # new\n", "plugins/links.py": None, "dags/new.py": "import new\n"},
    "packages": {"pandas": "==3.0.6"},
    "airflow_options": {"core-parallelism": "8"},
    "environment_variables": {"LISTS": "a"},
}


def state(world):
    """What an environment has, whichever way it came there."""
    return world.live(), world.composer.software, world.current


def failed(world, folder):
    """The last line of a deploy that fails; what was deployed before has to be back."""
    before = world.live(), json.loads(json.dumps(world.composer.software)), world.current
    done = world.run("deploy", "--bundle", folder)
    assert done.status == 1, done.text
    assert state(world) == before, done.text
    assert LOCK not in world.storage.names(), "the lock is released"
    return " ".join(done.text.splitlines()[-1].split())


def fail_operation(world, number, message="Failed to install PyPI packages. it clashes"):
    """Let the operation of an update fail, the first one being 1."""

    def before(_request: Request) -> None:
        world.composer.error = message

    rules = [Rule("PATCH", "/environments/staging", before=lambda _: None) for _ in range(number - 1)]
    world.server.rules = [*rules, Rule("PATCH", "/environments/staging", before=before)]


def break_upload(world):
    world.storage.damaged = r"dags/new\.py"


def refuse_secret(world):
    world.secrets.versions["airflow-variables-airbyte_connections"].append("{}")
    answer = refusal(403, "PERMISSION_DENIED", "no permission secretmanager.versions.add")
    world.server.rules = [Rule("POST", r":addVersion$", times=9, answer=answer)]


def refuse_airbyte(world):
    world.airbyte.things["connections"].pop()
    world.server.rules = [Rule("POST", "/airbyte/connections", times=9, answer=Answer(403))]


def refuse_copy(world):
    answer = refusal(403, "PERMISSION_DENIED", "no permission to copy")
    world.server.rules = [Rule("POST", r"/rewriteTo/.*mlops.py", times=9, answer=answer)]


def refuse_deletion(world):
    answer = refusal(403, "PERMISSION_DENIED", "no permission to delete")
    world.server.rules = [Rule("DELETE", r"plugins/links.py", times=9, answer=answer)]


def break_import(world):
    world.airflow.broken = r"dags/new\.py"


def break_smoke(world):
    world.airflow.failing = {"mlops": "the warehouse is on fire"}


STEPS = {
    "a damaged upload": (break_upload, "nothing that runs was changed"),
    "packages": (lambda world: fail_operation(world, 1), "it clashes"),
    "options": (lambda world: fail_operation(world, 2), "it clashes"),
    "variables": (lambda world: fail_operation(world, 3), "it clashes"),
    "Airbyte": (refuse_airbyte, "403"),
    "a secret": (refuse_secret, "versions.add"),
    "a copy": (refuse_copy, "no permission to copy"),
    "a deletion": (refuse_deletion, "no permission to delete"),
    "the import": (break_import, "new.py"),
    "the smoke run": (break_smoke, "transform: the warehouse is on fire"),
}


# Each takes a quarter of a minute; the others differ in little.
OFTEN = ("a damaged upload", "packages", "the smoke run")


@pytest.mark.parametrize(
    "step", [step if step in OFTEN else pytest.param(step, marks=pytest.mark.slow) for step in STEPS]
)
def test_a_failure_puts_the_former_manifest_back(deployed, bundle, step):
    arrange, words = STEPS[step]
    arrange(deployed)
    former = deployed.current
    told = failed(deployed, bundle(**CHANGED))
    assert words in told
    assert f"{former} is deployed again" in told or "nothing that runs was changed" in told


def test_a_first_deploy_that_fails_leaves_nothing_that_runs(world, bundle):
    world.airflow.failing = {"dataops": "no"}
    assert "nothing, as before the first deploy, is deployed again" in failed(world, bundle())
    assert world.live() == {}
    assert world.composer.software == {"pypiPackages": {}, "airflowConfigOverrides": {}, "envVariables": {}}


def test_what_could_not_be_put_back_is_put_back_by_the_next_rollback(deployed, bundle):
    before = state(deployed)
    before = before[0], json.loads(json.dumps(before[1])), before[2]
    deployed.airflow.failing = {"mlops": "no"}
    # The way back needs packages, too.
    refuse = Rule("PATCH", "/environments/staging", times=1, answer=refusal(403, "PERMISSION_DENIED", "not now"))
    deployed.server.rules = [
        *(Rule("PATCH", "/environments/staging", before=lambda _: None) for _ in range(3)),
        refuse,
    ]
    done = deployed.run("deploy", "--bundle", bundle(**CHANGED))
    assert "could not be put back" in done.words
    assert "not now" in done.words
    done = deployed.run("rollback")
    assert done.status == 0, done.text
    assert state(deployed) == before
    assert LOCK not in deployed.storage.names()


def kill(process):
    """Kill a command and all that it has started, as a machine that goes off does."""
    programs = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for each in programs:
        each.kill()


# A request of each step; the deploy is killed when the service gets it, which then acts on it.
MOMENTS = {
    "packages": ("PATCH", "/environments/staging"),
    "the wait for packages": ("GET", "/operations/"),
    "options": ("PATCH", "/environments/staging"),
    "copies": ("POST", "/rewriteTo/"),
    "deletion": ("DELETE", "plugins/links.py"),
    "smoke run": ("POST", "/airflow/api/v2/dags/mlops/dagRuns"),
}


def killed_at(world, folder, method, pattern):
    """Deploy, and kill the deploy at its first request that matches."""
    process = None
    reached = threading.Event()

    def strike(_request: Request) -> None:
        reached.set()
        kill(process)

    world.server.rules = [Rule(method, pattern, before=strike)]
    process = world.start("deploy", "--bundle", folder)
    text, _ = process.communicate(timeout=300)
    assert reached.is_set(), text
    world.server.rules = []
    world.expire()
    return text


def test_a_deploy_that_is_killed_at_one_step_after_the_other_is_finished(deployed, bundle):
    folder = bundle(**CHANGED)
    for moment in MOMENTS.values():
        killed_at(deployed, folder, *moment)
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


def test_a_deploy_that_was_killed_is_undone_by_a_rollback(deployed, bundle):
    before = deployed.live(), json.loads(json.dumps(deployed.composer.software)), deployed.current
    killed_at(deployed, bundle(**CHANGED), *MOMENTS["deletion"])
    assert state(deployed) != before
    done = deployed.run("rollback")
    assert done.status == 0, done.text
    assert state(deployed) == before


def test_another_bundle_takes_the_place_of_one_that_was_killed(deployed, bundle):
    killed_at(deployed, bundle(**CHANGED), *MOMENTS["deletion"])
    folder = bundle()
    deployed.deploy(folder)
    assert "dags/new.py" not in deployed.live(), "the files of the dead deploy are gone"
    assert deployed.composer.software["envVariables"] == {"DO_NOT_TRACK": "1", "LISTS": "a,b=c"}
    assert deployed.current == id_of(folder)


def test_ctrl_c_leaves_the_operation_and_the_next_call_takes_it_up(deployed, bundle):
    folder = bundle(environment_variables={"LISTS": "a"})
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
    done = deployed.deploy(folder)
    assert "waiting for the update that was begun" in done.text
    assert [each for each in deployed.changes() if each.startswith("update")] == ["update env_variables"]
    assert deployed.current == id_of(folder)


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


def test_a_deploy_that_loses_its_lock_changes_nothing_more(deployed, bundle):
    def steal(_request: Request) -> None:
        content = {"kind": "lock", "owner": "somebody", "id": "x", "expires": 9e9, "deploying": None}
        deployed.storage.put(LOCK, json.dumps(content))

    deployed.server.rules = [Rule("PATCH", "/environments/staging", before=steal)]
    done = deployed.run("deploy", "--bundle", bundle(**CHANGED))
    assert done.status == 1, done.text
    assert "lock" in done.text.splitlines()[-1]
    assert [each for each in deployed.changes() if each.startswith("update")] == ["update pypi_packages"]
    assert json.loads(deployed.storage.text(LOCK))["owner"] == "somebody"


def test_a_rollback_goes_back_and_further_back(deployed, bundle):
    first = state(deployed)
    first = first[0], json.loads(json.dumps(first[1])), first[2]
    changed = bundle(**CHANGED)
    deployed.deploy(changed)
    second = deployed.current
    assert second == id_of(changed)
    secrets = json.loads(json.dumps(deployed.secrets.versions))
    done = deployed.run("rollback")
    assert done.status == 0, done.text
    assert state(deployed) == first
    assert deployed.secrets.versions == secrets, "secrets stay as they are"
    status = deployed.run("status", "--bundle", changed)
    assert f"deployed     {first[2]}" in status.text
    for words in ("files, new: dags/new.py", "files, gone: plugins/links.py", "packages, other: pandas"):
        assert words in status.text
    assert "changed there  nothing" in status.text


def test_the_status_tells_what_somebody_has_changed_and_who_deploys(deployed, bundle):
    deployed.storage.put("dags/mlops.py", "other")
    deployed.composer.software["envVariables"].pop("LISTS")
    lock = {"kind": "lock", "owner": "ada on laptop", "id": "x", "expires": 9e9, "deploying": None}
    deployed.storage.put(LOCK, json.dumps(lock))
    text = deployed.run("status", "--bundle", bundle()).text
    assert "changed there  files, other: dags/mlops.py" in text
    assert "changed there  environment variables, gone: LISTS" in text
    assert "lock         ada on laptop, until" in text
    assert "this checkout  nothing differs" in text
