"""The image that a deploy builds and pushes, in a real registry: that of the cluster, Debian's docker-registry."""

import hashlib
import subprocess

import httpx
import pytest
from rich.console import Console

from deploy import images
from deploy.gcloud import Gcloud
from devtools.ports import free_port
from stack.errors import StackError

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@pytest.fixture
def gcloud():
    """The caller of a deploy; only Artifact Registry is asked by gcloud."""
    return Gcloud("demo", Console(quiet=True))


def test_the_image_of_the_tasks_is_in_the_registry_under_the_digest_that_a_deploy_uses(cluster, tasks_image, gcloud):
    reference = images.push(f"{cluster.registry}/demo/mlops", gcloud)
    name, _, digest = reference.partition("@")
    assert name == f"{cluster.registry}/demo/mlops/mlops-tasks"
    url = f"http://{cluster.registry}/v2/demo/mlops/mlops-tasks/manifests/{digest}"
    manifest = httpx.get(url, headers={"Accept": MANIFEST}, timeout=60).raise_for_status()
    assert f"sha256:{hashlib.sha256(manifest.content).hexdigest()}" == digest
    command = ["docker", "image", "inspect", "mlops-tasks", "--format={{.Id}}"]
    built = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert manifest.json()["config"]["digest"] == built


def test_a_registry_that_does_not_take_the_image_is_told_with_the_login(tasks_image, gcloud):
    registry = f"127.0.0.1:{free_port()}"
    with pytest.raises(StackError, match=f"gcloud auth configure-docker {registry}"):
        images.push(f"{registry}/demo", gcloud)
