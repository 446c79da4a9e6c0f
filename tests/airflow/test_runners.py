"""Where commands run: the settings, and the pods that they make."""

import json
import os
import re
import subprocess
import sys
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from pydantic import ValidationError

from pipeline import commands
from pipeline.runners import environment
from pipeline.settings import Runner

PROJECT = Path(__file__).resolve().parents[2]
DAGS = PROJECT / "airflow" / "dags"
IMAGE = f"registry.example/mlops@sha256:{'a' * 64}"
COMPOSER = yaml.safe_load((PROJECT / "config" / "places" / "composer.yaml").read_text())["runner"] | {"image": IMAGE}
GKE = {
    "type": "gke",
    "image": IMAGE,
    "gke": {"project": "my-project", "location": "europe-west1", "cluster": "mlops"},
    "kubernetes": {
        "node_selector": {"pool": "mlops"},
        "tolerations": [{"key": "pool", "value": "mlops", "effect": "NoSchedule"}],
        "secret": "mlops",
    },
}
SECRETS = {"MLOPS_STUDIES": "postgresql://u:hush@h/optuna", "MLFLOW_TRACKING_PASSWORD": "hush"}
TASKS = {
    "dataops": ["transform", "publish"],
    "mlops": ["extract_data", "optimize", "train", "evaluate", "promote", "predict", "publish_predictions"],
}


@pytest.fixture
def use(monkeypatch):
    """Function that sets the settings `runner`."""
    return lambda runner: monkeypatch.setenv("MLOPS_RUNNER", json.dumps(runner))


def of(task):
    """The operator of a task; of a mapped one, its first."""
    values = getattr(task, "expand_input", None)
    return task.unmap({"command": values.value["command"][0]}) if values else task


def dag_tasks():
    """Every task of both DAGs that runs a command."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(DAGS), bundle_path=DAGS)
    assert bag.import_errors == {}
    return {(dag, name): of(bag.dags[dag].get_task(name)) for dag, names in TASKS.items() for name in names}


def test_the_type_of_the_runner_chooses_the_operator_and_single_tasks_may_have_another(use):
    use({"image": IMAGE, "tasks": {"train": {"type": "kubernetes"}, "predict": {"type": "docker"}}})
    made = {name: type(commands.tagifai(name)).__name__ for name in ("extract", "train", "predict")}
    assert made == {
        "extract": "VenvCommandOperator",
        "train": "PodCommandOperator",
        "predict": "ContainerCommandOperator",
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"type": "docker"}, "set runner.image"),
        ({"type": "kubernetes", "image": "mlops:latest"}, "by its digest"),
        ({"tasks": {"train": {"type": "kubernetes"}}}, "the image of tasks.train must be given by its digest"),
        ({"tasks": {"train": {"type": "docker"}}}, "of tasks.train needs an image"),
        ({"type": "docker", "image": "x", "accelerators": {"amd.com/gpu": 1}}, "no accelerator but nvidia.com/gpu"),
        ({"type": "gke", "image": IMAGE}, "needs runner.gke"),
        ({"memory": "2 GB"}, "memory"),
        ({"kubernetes": {"name_space": "x"}}, "name_space"),
    ],
)
def test_incomplete_settings_are_refused_with_the_remedy(given, message):
    with pytest.raises(ValidationError, match=message):
        Runner.model_validate(given)


def test_a_task_has_its_own_resources(use):
    use(
        {**GKE, "memory": "2Gi", "cpu": 1, "tasks": {"train": {"memory": "8Gi", "accelerators": {"nvidia.com/gpu": 1}}}}
    )
    found = {name: commands.tagifai(name).pod().spec.containers[0].resources for name in ("train", "predict")}
    assert found["train"].limits == found["train"].requests == {"cpu": "1", "memory": "8Gi", "nvidia.com/gpu": "1"}
    assert found["predict"].limits == {"cpu": "1", "memory": "2Gi"}


@pytest.mark.parametrize("preset", [COMPOSER, GKE])
def test_the_pod_of_every_task_has_one_sidecar_our_image_and_no_secret(use, preset, monkeypatch):
    use(preset)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    found = dag_tasks()
    assert len(found) == 9
    for (_, name), task in found.items():
        pod = task.pod()
        base, sidecar = pod.spec.containers
        assert (base.name, sidecar.name) == ("base", "airflow-xcom-sidecar")
        assert {base.image, sidecar.image} == {IMAGE}
        assert pod.spec.affinity is None
        assert not pod.spec.init_containers
        assert "hush" not in str(pod.to_dict())
        assert base.command == ["task"]
        assert base.args[0].startswith("/opt/mlops/var/env/")
        assert base.args[-2:] == ["--result", "/airflow/xcom/return.json"]
        assert pod.metadata.namespace == preset["kubernetes"].get("namespace", "default")
        assert pod.metadata.labels["app"] == "mlops"
        assert re.fullmatch("[a-z0-9-]+", pod.metadata.name), name
        for each in (base, sidecar):
            assert each.security_context.read_only_root_filesystem
            assert not each.security_context.allow_privilege_escalation
            assert (
                each.security_context.capabilities.drop == ["ALL"]
                if hasattr(each.security_context.capabilities, "drop")
                else each.security_context.capabilities == {"drop": ["ALL"]}
            )


@pytest.mark.parametrize("version", ["1.28", "1.33"])
@pytest.mark.parametrize("preset", [COMPOSER, GKE])
def test_the_pod_of_every_task_satisfies_the_published_schema_of_kubernetes(use, preset, version):
    import kubernetes_validate
    from kubernetes.client import ApiClient

    use(preset | {"cpu": "500m", "memory": "2Gi", "accelerators": {"nvidia.com/gpu": 1}})
    for task in dag_tasks().values():
        pod = ApiClient().sanitize_for_serialization(task.pod())
        assert pod["kind"] == "Pod"
        kubernetes_validate.validate(pod, version, strict=True)
    pod["spec"]["containers"][0]["comand"] = []
    with pytest.raises(kubernetes_validate.ValidationError, match="comand"):
        kubernetes_validate.validate(pod, version, strict=True)


@pytest.mark.parametrize("instance", ["ada", "grace"])
def test_a_retry_looks_for_the_pod_or_container_of_its_own_airflow(use, monkeypatch, instance):
    from pipeline.runners.engine import Run

    use(COMPOSER)
    monkeypatch.setenv("MLOPS_RUNNER__INSTANCE", instance)
    task = commands.tagifai("train")
    assert task.pod().metadata.labels["mlops-instance"] == instance
    assert f"mlops-instance={instance}," in task.provider_operator()._build_find_pod_label_selector()
    ids = {"dag_id": "mlops", "task_id": "train", "run_id": "scheduled__2026-01-01", "map_index": -1}
    assert Run(task, SimpleNamespace(**ids))._labels["mlops.instance"] == instance


def test_pods_of_gke_go_to_their_node_pool_and_get_their_secrets_there(use):
    use(GKE)
    spec = commands.tagifai("train").pod().spec
    assert spec.node_selector == {"pool": "mlops"}
    assert [(each.key, each.value, each.effect) for each in spec.tolerations] == [("pool", "mlops", "NoSchedule")]
    assert [each.secret_ref.name for each in spec.containers[0].env_from] == ["mlops"]


def test_a_pods_variables_are_the_merged_config_the_overrides_and_no_secret(monkeypatch, tmp_path):
    (tmp_path / "config.yaml").write_text(
        "threshold: 0.5\nsource: https://x\nsplit: {seed: 7}\nrunner: {}\nempty: null\n"
    )
    monkeypatch.setenv("MLOPS_CONFIG", str(tmp_path / "config.yaml"))
    monkeypatch.setenv("MLOPS_SPLIT__SEED", "8")
    monkeypatch.setenv("MLOPS_MLFLOW", "https://user:hush@mlflow.example")
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "hush")
    monkeypatch.setenv("MLOPS_VENDOR__API_KEY", "hush")
    monkeypatch.setenv("MLOPS_WAREHOUSE__KEYFILE", "/keys/mlops.json")
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    plain, secret = environment.variables()
    assert plain["GOOGLE_APPLICATION_CREDENTIALS"] == plain["MLOPS_WAREHOUSE__KEYFILE"] == "/keys/mlops.json"
    assert plain["MLOPS_THRESHOLD"] == "0.5"
    assert plain["MLOPS_SOURCE"] == "https://x"
    assert json.loads(plain["MLOPS_SPLIT"]) == {"seed": 7}
    assert plain["MLOPS_SPLIT__SEED"] == "8"
    assert plain["MLOPS_VAR"] == "/tmp/mlops"
    assert {*plain} & {"MLOPS_CONFIG", "MLOPS_RUNNER", "MLOPS_EMPTY"} == set()
    assert "hush" not in str(plain)
    assert {*secret} >= {*SECRETS, "MLOPS_MLFLOW", "MLOPS_VENDOR__API_KEY"}


def test_dates_of_yaml_and_names_that_a_user_gives_are_variables_like_others(tmp_path):
    kwargs = {"column": "created", "min_value": date(2020, 1, 1)}
    sources = {"tickets": {"expectations": [{"type": "expect_column_values_to_be_between", "kwargs": kwargs}]}}
    plain, secret = environment.variables({}, {"sources": sources, "slices": {"patterns": {"password": "(?i)passw"}}})
    assert json.loads(plain["MLOPS_SOURCES"])["tickets"]["expectations"][0]["kwargs"]["min_value"] == "2020-01-01"
    assert json.loads(plain["MLOPS_SLICES"]) == {"patterns": {"password": "(?i)passw"}}
    assert not secret


def test_of_several_config_files_the_later_counts_more_and_a_password_in_one_is_a_secret(monkeypatch, tmp_path):
    (tmp_path / "base.yaml").write_text("split: {seed: 7, test_size: 0.2}\nwarehouse: {type: postgres}\n")
    (tmp_path / "own.yaml").write_text("split: {seed: 8}\nwarehouse: {host: db, password: hush}\n")
    monkeypatch.setenv("MLOPS_CONFIG", f"{tmp_path / 'base.yaml'}:{tmp_path / 'own.yaml'}")
    plain, secret = environment.variables()
    assert json.loads(plain["MLOPS_SPLIT"]) == {"seed": 8, "test_size": 0.2}
    assert json.loads(secret["MLOPS_WAREHOUSE"]) == {"type": "postgres", "host": "db", "password": "hush"}
    assert "hush" not in str(plain)


@pytest.mark.parametrize("kind", ["venv", "docker", "kubernetes", "gke"])
def test_dag_files_import_no_library_of_a_runner(kind):
    environment = os.environ | {"PYTHONPATH": str(DAGS), "MLOPS_RUNNER": json.dumps({**GKE, "type": kind})}
    code = "import sys, dataops, mlops; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    heavy = {"kubernetes", "docker", "google.cloud", "airflow.providers.cncf.kubernetes.operators"}
    assert not heavy & set(done.stdout.split())


def test_retries_and_their_delay_are_settings():
    environment = os.environ | {"PYTHONPATH": str(DAGS), "MLOPS_RUNNER": '{"retries": 5, "retry_delay": 60}'}
    code = "import mlops; t = mlops.train; print(t.retries, t.retry_delay.total_seconds())"
    done = subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.split()[-2:] == ["5", "60.0"]
