"""`runner.type: docker` in the container stack: each command of a task in a container of its own, within its memory."""

import json
import re
from pathlib import Path

import pytest
import yaml
from docker_testing import run, wait_until

pytestmark = pytest.mark.xdist_group("stack")

SOCKET = Path("/var/run/docker.sock")
COMMANDS = {"extract_data", "optimize", "train", "evaluate", "promote", "predict", "publish_predictions"}
# Seconds: longest run of mlops on a busy machine.
RUN = 600


@pytest.fixture(scope="module")
def set_runner(stack, first_run):
    """Function that changes values of the runner of the running stack, which gets the engine first; it keeps it."""
    file = stack.folder / "config" / "places" / "compose.yaml"

    def change(**values):
        config = yaml.safe_load(file.read_text())
        config["runner"] |= values
        file.write_text(yaml.safe_dump(config))

    change(type="docker", retries=0)
    stack.environment |= {"DOCKER_SOCKET": str(SOCKET), "DOCKER_GROUP": str(SOCKET.stat().st_gid)}
    before = stack.containers()
    stack.compose("up", "--wait")
    after = stack.containers()
    assert "airflow-scheduler" in {name for name in before if before[name]["Id"] != after[name]["Id"]}
    return change


def ended(stack, run_id):
    """The state of a run of mlops, once it has ended."""
    states = ("success", "failed")
    return wait_until(lambda: (state := stack.api.run("mlops", run_id)["state"]) in states and state, seconds=RUN)


def containers(stack):
    """Ids of the containers of this stack's tasks."""
    labels = (
        f"com.docker.compose.project={stack.environment['COMPOSE_PROJECT_NAME']}",
        "com.docker.compose.service=task",
    )
    filters = [f"--filter=label={label}" for label in labels]
    return run("docker", "ps", "--all", "--quiet", *filters).stdout.split()


def a_running_one(stack):
    """What `docker inspect` tells of a task's container while its command runs."""
    for each in containers(stack):
        # It may be gone by now.
        told = run("docker", "inspect", each, check=False).stdout
        if told and (facts := json.loads(told)) and facts[0]["State"]["Running"]:
            return facts[0]
    return None


def test_every_command_of_mlops_runs_in_a_container_of_its_own_and_leaves_none(stack, set_runner):
    version = stack.champion()["version"]
    run_id = stack.api.trigger("mlops", "containers")
    facts = wait_until(lambda: a_running_one(stack), seconds=RUN)
    assert ended(stack, run_id) == "success"

    # The restrictions are those of the services.
    host, config = facts["HostConfig"], facts["Config"]
    assert (config["User"], host["ReadonlyRootfs"], host["CapDrop"]) == ("mlops", True, ["ALL"])
    assert (host["SecurityOpt"], host["PidsLimit"], host["Init"]) == (["no-new-privileges:true"], 500, True)
    assert (host["Memory"], host["MemorySwap"], host["PortBindings"] or {}) == (2 << 30, 2 << 30, {})
    assert host["LogConfig"]["Config"] == {"max-file": "3", "max-size": "10m"}
    assert {name.rpartition("_")[2] for name in facts["NetworkSettings"]["Networks"]} == {"databases", "default"}
    mounts = {each["Destination"]: each["RW"] for each in facts["Mounts"]}
    assert mounts.pop("/var/lib/mlops")
    assert {path for path, writable in mounts.items() if not writable} == {
        f"/opt/mlops/{folder}" for folder in ("config", "dbt_transforms", "tagifai")
    }
    assert str(SOCKET) not in mounts

    log = "/var/lib/mlops/logs/airflow/dag_id=mlops/run_id=$0"
    words = ("exec", "-T", "airflow-scheduler", "sh", "-c", f'grep -rl "Started the container" "{log}"', run_id)
    logs = stack.compose(*words).stdout
    assert set(re.findall(r"/task_id=(\w+)/", logs)) == COMMANDS
    assert containers(stack) == []

    results = {name: stack.api.result("mlops", run_id, name) for name in COMMANDS - {"optimize"}}
    assert results["train"]["model"]
    assert results["predict"]["predictions"].startswith("/var/lib/mlops/artifacts/")
    assert stack.api.result("mlops", run_id, "evaluate", key="report")
    tables = ("marts.predictions", "marts.projects_to_predict")
    predictions, projects = (int(stack.psql(f"select count(*) from {table}")) for table in tables)
    assert predictions == projects > 0
    assert int(stack.champion()["version"]) >= int(version)


@pytest.fixture
def greedy(stack, set_runner):
    """The command of extract_data takes 400 MiB more than usual, and may take 200."""
    file = stack.folder / "tagifai" / "extract.py"
    code = file.read_text()
    file.write_text(f"{code}\n\nTAKEN = bytearray(400 << 20)\n")
    set_runner(tasks={"extract_data": {"memory": "200Mi"}})
    yield
    file.write_text(code)
    set_runner(tasks={})


def test_a_task_that_exceeds_its_memory_fails_with_that_reason_and_the_scheduler_goes_on(stack, greedy):
    before = stack.containers()["airflow-scheduler"]
    run_id = stack.api.trigger("mlops", "too little memory")
    assert ended(stack, run_id) == "failed"
    (task,) = [each for each in stack.api.task_instances("mlops", run_id) if each["task_id"] == "extract_data"]
    message = stack.api.errors("mlops", run_id, "extract_data", task["try_number"], -1)[-1]
    assert "the container exceeded its memory limit (200Mi)" in message
    assert "raise runner.tasks.extract_data.memory or runner.memory" in message
    after = stack.containers()["airflow-scheduler"]
    assert (after["Id"], after["State"]["StartedAt"]) == (before["Id"], before["State"]["StartedAt"])
    assert not after["State"]["OOMKilled"]
    assert containers(stack) == []


@pytest.mark.slow
def test_dataops_and_its_documentation_are_as_without_containers(stack, set_runner):
    done = stack.make("run", "PLACE=compose")
    assert "champion" in done.stdout
    assert containers(stack) == []
