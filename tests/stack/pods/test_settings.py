"""What the launcher fills in where commands run in pods, and which addresses it refuses."""

import os

import pytest
import yaml

from stack.embedded.settings import load
from stack.environments import task_environment
from stack.errors import StackError
from stack.pods import settings as pods
from stack.pods.cluster import Cluster
from stack.settings import ROOT, ConfigError

IMAGE = f"registry.example/tasks@sha256:{'0' * 64}"
# Nothing listens there.
SERVER = "https://127.0.0.1:9"


@pytest.fixture(autouse=True)
def kubeconfig(tmp_path, monkeypatch):
    """The caller's kubeconfig, with two contexts."""
    path = tmp_path / "kubeconfig"
    content = {
        "current-context": "second",
        "clusters": [{"name": "one", "cluster": {"server": SERVER}}],
        "users": [{"name": "me", "user": {"token": "abc"}}],
        "contexts": [{"name": name, "context": {"cluster": "one", "user": "me"}} for name in ("first", "second")],
    }
    path.write_text(yaml.safe_dump(content))
    monkeypatch.setenv("KUBECONFIG", str(path))
    return path


@pytest.fixture
def make(tmp_path):
    """Function that loads the settings of the place, with some laid over them."""

    def make(*, as_started=False, **settings):
        runner = {"image": IMAGE} | settings.pop("runner", {})
        file = tmp_path / "mine.yaml"
        file.write_text(yaml.safe_dump(settings | {"runner": runner}))
        return load(tmp_path / "var", place="kubernetes", config=file, as_started=as_started)

    return make


@pytest.mark.parametrize(
    ("image", "told"), [(None, "None"), ("tasks:latest", "'tasks:latest'"), ("a@sha256:1", "'a@sha")]
)
def test_an_image_without_a_digest_is_refused_with_the_commands_that_give_one(make, image, told):
    with pytest.raises(
        ConfigError, match=rf"the image must .*, not {told}.*make image-push REGISTRY=.*CONFIG="
    ) as caught:
        make(runner={"image": image})
    assert "`make images`" in str(caught.value)


def test_no_image_is_needed_where_nothing_runs_in_a_pod(tmp_path):
    config = load(tmp_path / "var").config
    assert pods.types(config) == set()
    assert config["runner"]["kubernetes"]["secret"] is None


def test_the_cluster_stays_the_callers_of_the_start_whatever_is_current_later(make, kubeconfig, monkeypatch):
    settings = make()
    settings.write_config()
    monkeypatch.delenv("KUBECONFIG")
    for each in (settings, make(as_started=True)):
        found = each.config["runner"]["kubernetes"]
        assert (found["kubeconfig"], found["context"]) == (str(kubeconfig), "second")


@pytest.mark.parametrize(("given", "used"), [("kube/config", f"{ROOT}/kube/config"), ("~/mine:/b", "HOME/mine:/b")])
def test_a_kubeconfig_that_is_set_is_found_wherever_a_process_works(make, monkeypatch, tmp_path, given, used):
    monkeypatch.setenv("HOME", str(tmp_path))
    found = make(runner={"kubernetes": {"kubeconfig": given}}).config["runner"]["kubernetes"]["kubeconfig"]
    assert found == used.replace("HOME", str(tmp_path))


def test_the_context_can_be_set(make):
    assert make(runner={"kubernetes": {"context": "first"}}).config["runner"]["kubernetes"]["context"] == "first"


def test_a_secret_of_the_users_own_is_left_alone(make):
    own = make()
    assert own.config["runner"]["kubernetes"]["secret"] == pods.own_secret(own.var)
    # The server does not answer, and is not asked.
    Cluster(make(runner={"kubernetes": {"secret": "mine"}})).apply_secret()


def test_a_cluster_that_does_not_answer_is_named_with_the_remedy(make):
    with pytest.raises(StackError, match=rf"{SERVER} \(context second\) does not answer: .*runner.kubernetes.context"):
        Cluster(make()).apply_secret()


def test_without_a_kubeconfig_the_message_says_what_to_set(make, monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    with pytest.raises(StackError, match=r"no cluster for the pods: .*set KUBECONFIG"):
        Cluster(make())


def test_pods_of_this_machines_user_write_to_its_folder_as_this_user(make, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    assert make().config["runner"]["kubernetes"]["user"] == 1234
    assert make(artifacts="gs://bucket/folder").config["runner"]["kubernetes"]["user"] is None
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert make().config["runner"]["kubernetes"]["user"] is None


def test_on_this_machines_own_network_every_address_can_be_reached(make):
    assert pods.unreachable(make()) == []


def test_elsewhere_each_address_of_this_machine_is_named_with_what_to_set(make):
    check = pods.addresses(make(runner={"kubernetes": {"host_network": False}}))
    assert check.state == "fail"
    for part in ("artifacts ", "warehouse 127.0.0.1", "MLflow http://127.0.0.1:5000", "studies 127.0.0.1"):
        assert part in check.found
    for setting in ("runner.kubernetes.claim", "warehouse.host", "set mlflow", "MLOPS_STUDIES="):
        assert setting in check.found


def test_a_key_file_of_this_machine_is_refused_since_no_pod_has_it(make):
    bigquery = {"type": "bigquery", "project": "p", "location": "EU", "prefix": "", "keyfile": "/keys/mine.json"}
    bigquery |= {"maximum_bytes_billed": 10**10, "job_timeout": 600, "impersonate": None, "labels": {}}
    check = pods.addresses(make(warehouse=bigquery))
    assert check.state == "fail"
    assert "/keys/mine.json: set runner.kubernetes.service_account" in check.found
    assert "host_network" not in check.remedy


def test_addresses_elsewhere_reach_the_commands(make, monkeypatch):
    studies = "postgresql+psycopg2://optuna:p@studies.example/optuna"
    monkeypatch.setenv("MLOPS_STUDIES", studies)
    monkeypatch.setenv("MLOPS_WAREHOUSE__PASSWORD", "w")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t")
    settings = make(
        runner={"kubernetes": {"host_network": False}},
        warehouse={"host": "db.example", "database": "w", "user": "w"},
        mlflow="https://mlflow.example",
        artifacts="gs://bucket/folder",
    )
    assert pods.addresses(settings).state == "ok"
    told = task_environment(settings)
    expected = {"MLOPS_STUDIES": studies, "MLFLOW_TRACKING_TOKEN": "t", "MLOPS_WAREHOUSE__PASSWORD": "w"}
    assert told | expected == told
    assert told["MLOPS_WAREHOUSE__HOST"] == "db.example"


def test_a_single_task_may_be_the_one_that_runs_in_a_pod(make):
    settings = make(runner={"type": "venv", "tasks": {"train": {"type": "kubernetes"}}})
    assert pods.types(settings.config) == {"kubernetes"}
    assert pods.task(settings.config) == "train"
