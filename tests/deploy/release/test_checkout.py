"""A deploy of this checkout, as `make deploy` does it: image, bundle, environment."""

import json
import re
import time

import pytest
import yaml
from recorded import Rule, refusal
from world import LOCK, PLACE

REGISTRY = "europe-west1-docker.pkg.dev/demo/mlops"
PUSHED = f"mlops-tasks@sha256:{'1' * 64}"
STORE = "data/mlops-manifests"


@pytest.fixture
def place(world):
    """Name of a place whose image a deploy pushes."""
    deploy = PLACE["deploy"] | {"registry": REGISTRY}
    content = PLACE | {"deploy": deploy, "runner": {"kubernetes": {"secret": "mlops"}}}
    (world.program / "config" / "places" / "pushed.yaml").write_text(yaml.safe_dump(content))
    overlay = (world.program / "airbyte" / "connections.staging.yaml").read_text()
    (world.program / "airbyte" / "connections.pushed.yaml").write_text(overlay)
    # The script that stands in for the push only notes it.
    world.registry.images = {PUSHED}
    (world.program / "pushed").unlink(missing_ok=True)
    return "pushed"


def test_a_dry_run_names_what_would_be_built_and_pushed(world, place):
    done = world.run("deploy", "--dry-run", place=place)
    assert done.status == 0, done.text
    assert "$ docker/images" in done.text
    assert f"$ docker/push mlops-tasks {REGISTRY}/mlops-tasks" in done.text
    assert not (world.program / "pushed").exists()
    assert world.changes() == []


def test_a_push_that_fails_is_told_with_the_login_and_changes_nothing(world, place):
    (world.program / "broken").touch()
    try:
        done = world.run("deploy", place=place)
    finally:
        (world.program / "broken").unlink()
    assert done.status == 1
    assert "`gcloud auth configure-docker europe-west1-docker.pkg.dev`, once" in done.words
    assert world.changes() == []


def test_a_repository_that_is_missing_is_told_before_anything_is_built(world, place):
    path = world.program / "config" / "places" / "pushed.yaml"
    path.write_text(path.read_text().replace("demo/mlops", "demo/mlop"))
    done = world.run("deploy", place=place)
    assert done.status == 1
    assert "there is no repository europe-west1-docker.pkg.dev/demo/mlop: make it" in done.words
    assert not (world.program / "pushed").exists()


def test_an_image_that_is_not_in_the_registry_is_told_before_anything_is_changed(world, bundle):
    done = world.run("deploy", "--bundle", bundle(images={"tasks": f"{REGISTRY}/{PUSHED}"}))
    assert done.status == 1
    assert f"the registry has no image {REGISTRY}/{PUSHED}: push it, or set runner.image to one" in done.words
    assert world.changes() == []


def test_a_deploy_that_another_one_locks_out_builds_nothing(world, place):
    lock = {"kind": "lock", "owner": "ada", "id": "x", "expires": time.time() + 60, "deploying": None}
    world.storage.put(LOCK, json.dumps(lock))
    done = world.run("deploy", place=place)
    assert done.status == 1
    assert "ada is deploying to this environment" in done.words
    assert not (world.program / "pushed").exists()


def test_a_registry_into_which_the_caller_may_not_look_does_not_stop_a_deploy(world, bundle):
    world.registry.is_forbidden = True
    done = world.deploy(bundle(images={"tasks": f"{REGISTRY}/team/{PUSHED}"}), "--dry-run")
    assert f"{REGISTRY}/team/{PUSHED} was not looked for" in done.words


def test_the_bundle_has_the_digest_of_the_image_that_was_pushed(world, place):
    refuse = refusal(403, "PERMISSION_DENIED", "no permission to update")
    world.server.rules = [Rule("PATCH", "/environments/staging", answer=refuse)]
    done = world.run("deploy", place=place)
    assert done.status == 1
    assert "nothing, as before the first deploy, is deployed again" in done.words
    assert (world.program / "pushed").read_text() == f"mlops-tasks {REGISTRY}/mlops-tasks\n"
    (name,) = (each for each in world.storage.names() if re.fullmatch(rf"{STORE}/[0-9a-f]{{12}}\.json", each))
    assert json.loads(world.storage.text(name))["images"] == {"tasks": f"{REGISTRY}/{PUSHED}"}


@pytest.mark.slow
def test_the_checkout_is_deployed_with_the_digest_of_the_image_that_was_pushed(world, place):
    done = world.run("deploy", place=place)
    assert done.status == 0, done.text
    image = f"{REGISTRY}/{PUSHED}"
    assert (world.program / "pushed").read_text() == f"mlops-tasks {REGISTRY}/mlops-tasks\n"
    manifest = json.loads(world.storage.text(f"{STORE}/{world.current}.json"))
    assert manifest["images"] == {"tasks": image}
    live = world.live()
    assert set(live) == set(manifest["files"])
    assert yaml.safe_load(live["data/config/applications/tagifai.yaml"])["runner"]["image"] == image
    assert live["dags/dataops.py"] == (world.program / "airflow" / "dags" / "dataops.py").read_text()
    options = world.composer.software["airflowConfigOverrides"]
    assert options["secrets-backend"].endswith("CloudSecretManagerBackend")
    status = world.run("status", place=place)
    assert "this checkout  nothing differs" in status.text
    assert not (world.program / "var").exists(), "each command has a bundle of its own"
