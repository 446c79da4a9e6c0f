"""Command lines of gcloud in the code and the documentation, judged by gcloud itself, which runs none of them."""

import json
import re
import subprocess
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from rich.console import Console
from world import ROOT

from deploy import images
from deploy.bucket import Bucket
from deploy.environment import Environment
from deploy.gcloud import Gcloud, GcloudError
from deploy.secrets import Secrets

DEPLOY = SimpleNamespace(environment="staging", location="europe-west1", project="demo")
FACTS = {"config": {"softwareConfig": {"pypiPackages": {"old": "==1"}}}, "name": "n", "metadata": {}, "done": True}


@dataclass
class Noted(Gcloud):
    """Runs nothing and notes each command line; those with `missing` in them fail."""

    lines: list[str] = field(default_factory=list)
    missing: str | None = None

    def _run(self, command, content):
        self.lines.append(self.line(*command))
        if self.missing and self.missing in " ".join(command):
            raise GcloudError("NOT_FOUND")
        return ("[]" if "list" in command else json.dumps(FACTS)), ""


@pytest.fixture
def lines(tmp_path):
    """Every command line that the code makes."""
    gcloud = Noted("demo", Console(quiet=True))
    bucket, secrets = Bucket(gcloud, "a-bucket"), Secrets(gcloud)
    bucket.objects(["dags", "data/config"])
    bucket.text("data/x.json")
    bucket.put("data/x.json", {}, generation=3)
    bucket.put("data/x.json", "text")
    bucket.upload(tmp_path, "data/config")
    bucket.copy("data/mlops-manifests/1/dags", "dags")
    bucket.delete(["dags/x.py", "dags/y.py"])
    bucket.delete(["data/lock/lock.json"], generation=5)
    secrets.stored(["airflow-variables-x"])
    secrets.put("airflow-variables-x", "1")
    gcloud.missing = "versions add"
    secrets.put("airflow-variables-x", "1")
    environment = Environment(gcloud, SimpleNamespace(place="staging", deploy=DEPLOY, name="it"))
    environment.look()
    environment.running()
    environment.wait("projects/demo/locations/europe-west1/operations/1", lambda *_: None)
    environment.update("packages", {"pandas": "==3"}, ["old"])
    environment.update("packages", {}, ["old"])
    environment.update("airflow_options", {"core-a": "1,2", "core-b": "^x^"}, ["core-c"])
    environment.update("environment_variables", {"A": "1", "B": "x=y;z,|"}, ["C", "D"])
    gcloud.token()
    registry = "europe-west1-docker.pkg.dev/other/mlops"
    images.check([f"{registry}/team/tasks@sha256:{'0' * 64}"], gcloud, "")
    gcloud.is_dry = True
    images.push(registry, gcloud)
    return gcloud.lines


def judged(lines, folder):
    """The lines that gcloud does not accept, with its reasons."""
    file = folder / "commands.json"
    file.write_text(json.dumps([{"command_string": each} for each in lines]))
    command = ["gcloud", "meta", "lint-gcloud-commands", f"--commands-file={file}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert len(found) == len(set(lines))
    return [(each["command_string"], each["error_message"]) for each in found if not each["success"]]


def test_gcloud_accepts_each_command_line_of_the_code(gcloud_config, lines, tmp_path, monkeypatch):
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(gcloud_config))
    assert judged(lines, tmp_path) == []


def test_gcloud_accepts_each_command_line_of_the_page(gcloud_config, tmp_path, monkeypatch):
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(gcloud_config))
    page = (ROOT / "docs" / "composer.md").read_text()
    found = re.findall(r"`(gcloud [^`]+)`", page)
    assert found
    assert judged(found, tmp_path) == []


def test_gcloud_finds_a_misspelt_option(gcloud_config, tmp_path, monkeypatch):
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(gcloud_config))
    lines = ["gcloud composer environments describe staging --locaton=x"]
    assert len(judged(lines, tmp_path)) == 1
