"""`make run PLACE=kubernetes`: each command in a pod, its image by digest from a registry; and `make doctor` there."""

import json
import os
import re
import shutil
import subprocess
from types import SimpleNamespace

import psycopg
import pytest

from pipeline.runners import environment
from stack.environments import common_environment, task_environment
from tests.e2e.conftest import SEARCH, Instance

pytestmark = pytest.mark.xdist_group("kubernetes")
# The tasks that are commands, each in one pod.
DATAOPS = ("transform", "publish")
MLOPS = ("extract_data", "optimize", "train", "evaluate", "promote", "predict", "publish_predictions")
# The user of the image.
USER = 10001


@pytest.fixture(scope="module")
def pods(cluster, tmp_path_factory):
    """An instance whose commands run in pods of a cluster on this machine."""
    assert cluster.own
    settings = {"namespace": cluster.namespace, "kubeconfig": str(cluster.kubeconfig)}
    runner = {"image": cluster.tasks_image(), "kubernetes": settings}
    instance = Instance(tmp_path_factory.mktemp("pods"), place="kubernetes", search=SEARCH, runner=runner)
    yield instance
    instance.make("down")


@pytest.fixture(scope="module")
def ran(cluster, pods, tmp_path_factory):
    """The finished first `make run`, with `specs`, the pods as the API server had them during the run, by name."""
    file = tmp_path_factory.mktemp("watch") / "pods.json"
    with file.open("w") as output, cluster.watching("pods", output):
        done = pods.make("run")
    assert done.returncode == 0, done.stdout
    return SimpleNamespace(stdout=done.stdout, text=file.read_text(), specs=_by_name(file.read_text()))


@pytest.fixture(scope="module")
def database(pods, ran):
    """Context of the services, with a connection to Airflow's database."""
    with pods.services("postgres"), psycopg.connect(**pods.settings().database("airflow")) as connection:
        yield connection


def test_a_run_with_every_command_in_a_pod_makes_a_champion(pods, ran):
    facts = pods.summary()
    assert (facts["place"], facts["state"], facts["error"]) == ("kubernetes", "success", None)
    assert facts["champion"]["version"] == facts["candidate"]["version"] == "1"
    assert facts["predictions"]["published"]
    assert facts["tables"]["predictions"] == facts["tables"]["projects"] > 0


def test_each_command_ran_in_one_pod_that_its_log_names(pods, ran):
    names = {}
    for dag_id, tasks in (("dataops", DATAOPS), ("mlops", MLOPS)):
        for task in tasks:
            (log,) = (pods.var / "logs" / "airflow" / f"dag_id={dag_id}").glob(f"*/task_id={task}/**/attempt=1.log")
            (names[task],) = set(
                re.findall(rf"Started the pod (\S+) in the namespace {pods_namespace(pods)}", log.read_text())
            )
    assert {spec["metadata"]["labels"]["task_id"]: name for name, spec in ran.specs.items()} == names


def test_the_image_is_given_by_its_digest_and_no_pod_is_left(cluster, pods, ran):
    image = pods.settings().config["runner"]["image"]
    assert {each["image"] for spec in ran.specs.values() for each in spec["spec"]["containers"]} == {image}
    assert "@sha256:" in image
    # Kubernetes takes seconds to end the sidecar.
    cluster.until(lambda: json.loads(cluster.kubectl("get", "pods", "--output=json"))["items"] == [])


def test_no_secret_is_in_the_spec_of_a_pod_or_in_a_log(pods, ran):
    secrets = pods.settings().secrets.values()
    logs = [path.read_text(errors="replace") for path in (pods.var / "logs" / "airflow").rglob("*.log")]
    assert len(logs) > len(ran.specs) > 0
    assert [text[:80] for text in (ran.text, *logs) if any(secret in text for secret in secrets)] == []


def test_the_documentation_of_dbt_comes_out_of_the_pod(pods, ran):
    assert "labeled_projects" in (pods.var / "dbt" / "docs" / "tagifai" / "index.html").read_text()


def test_docker_run_of_the_same_image_command_and_environment_gives_the_same_results(pods, database, tmp_path):
    found = "select task_id, value from xcom where dag_id = 'mlops' and key = 'return_value' and map_index = -1"
    results = dict(database.execute(found).fetchall())
    snapshot, model = results["extract_data"]["uri"], results["train"]["model"]
    study, artifacts = results["train"]["study"], tmp_path / "artifacts"
    # What the commands write is made anew; they read the findings of the search.
    shutil.copytree(
        pods.settings().artifacts, artifacts, ignore=shutil.ignore_patterns("snapshots", "models", "mlflow")
    )
    for path in (artifacts, *artifacts.rglob("*")):
        os.chown(path, USER, USER)
    commands = {
        "extract_data": ["extract"],
        "train": ["train", "--snapshot", snapshot, "--study", study],
        "evaluate": ["evaluate", "--snapshot", snapshot, "--model", model],
    }
    for task, command in commands.items():
        assert run_in_docker(pods.settings(), command, artifacts) == results[task], task


def run_in_docker(settings, command, artifacts):
    """The facts of a command of tagifai in a container with the variables that a pod has."""
    given = common_environment(settings) | task_environment(settings)
    variables = {name: value for part in environment.variables(given, settings.config) for name, value in part.items()}
    program = environment.program("tagifai", ["tagifai", *command])
    options = [f"--volume={artifacts}:{settings.artifacts}", f"--user={USER}", *(f"--env={name}" for name in variables)]
    result = artifacts / "result.json"
    command = ["docker", "run", "--rm", "--network=host", *options, settings.config["runner"]["image"], *program]
    done = subprocess.run(
        [*command, "--result", f"{settings.artifacts}/{result.name}"],
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(result.read_text())
    del facts["report"]
    return facts


def test_doctor_tries_each_address_from_inside_of_a_pod_and_names_the_one_that_fails(cluster, pods, ran):
    config = pods.config.read_text()
    try:
        # Nothing listens there.
        pods.config.write_text(f"{config}\nmlflow: http://127.0.0.1:9\n")
        done = pods.make("doctor")
    finally:
        pods.config.write_text(config)
    text = " ".join(done.stdout.split())
    assert done.returncode != 0
    for name in ("warehouse", "studies", "artifacts"):
        assert f"✓ pod: {name} can be used from inside of a pod" in text
    assert re.search(r"✗ pod: mlflow MLflow at http://127.0.0.1:9 refused", text)
    assert "→ check `mlflow`" in text
    # Kubernetes takes seconds to end the sidecar.
    cluster.until(lambda: json.loads(cluster.kubectl("get", "pods", "--output=json"))["items"] == [])


def pods_namespace(pods):
    return pods.settings().config["runner"]["kubernetes"]["namespace"]


def _by_name(text):
    """The last state of each object in a stream of JSON objects."""
    decoder, found, rest = json.JSONDecoder(), {}, text.lstrip()
    while rest:
        each, end = decoder.raw_decode(rest)
        found[each["metadata"]["name"]], rest = each, rest[end:].lstrip()
    return found
