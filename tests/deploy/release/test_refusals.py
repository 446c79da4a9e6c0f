"""What a deploy refuses before it changes anything: one sentence, at once, with the remedy."""

import json
import time

import pytest
import yaml
from recorded import Answer, Rule
from world import PLACE, id_of

from deploy import settings

LOCK = "data/mlops-manifests/lock/lock.json"


def refused(world, *arguments, place="staging", **variables):
    """The only line that a command prints when it refuses; nothing is changed."""
    done = world.run(*arguments, place=place, **variables)
    assert done.status == 1, done.text
    assert world.changes() == [], done.text
    assert done.text.count("\n") == 1, done.text
    return done.words


def test_a_missing_token_is_told_before_anything_is_asked(world, bundle):
    told = refused(world, "deploy", "--bundle", bundle(), CLOUDSDK_AUTH_ACCESS_TOKEN=None)
    assert "gcloud has no valid token: run `gcloud auth login`" in told
    assert world.server.requests == []


def test_a_token_that_google_refuses_is_told(world, bundle):
    answer = Answer.of({"error": {"code": 401, "status": "UNAUTHENTICATED", "message": "Invalid credentials"}}, 401)
    world.server.rules = [Rule("GET", "/environments/staging$", times=9, answer=answer)]
    assert "gcloud has no valid token" in refused(world, "deploy", "--bundle", bundle())


@pytest.mark.parametrize("setting", [{"location": "us-central1"}, {"environment": "stagin"}])
def test_an_environment_that_is_not_there_is_told_with_the_settings(world, bundle, setting):
    path = world.program / "config" / "places" / "elsewhere.yaml"
    path.write_text(yaml.safe_dump(PLACE | {"deploy": PLACE["deploy"] | setting}))
    folder = bundle(place="elsewhere")
    told = refused(world, "deploy", "--bundle", folder, place="elsewhere")
    assert "there is no environment" in told
    assert "check deploy.environment, deploy.location and deploy.project of PLACE=elsewhere" in told
    assert len(world.server.requests) == 1


def test_an_environment_that_somebody_else_updates_is_told(world, bundle):
    world.composer.polls = 99
    world.composer.begin()
    told = refused(world, "deploy", "--bundle", bundle())
    assert "staging in europe-west1 of the project demo is UPDATING: wait for its end" in told
    assert world.storage.names() == set()


def test_an_environment_that_is_broken_is_told(world, bundle):
    world.composer.state = "ERROR"
    assert "is ERROR: repair it first" in refused(world, "deploy", "--bundle", bundle())


def test_an_environment_that_is_not_there_yet_is_told(world, bundle):
    world.composer.state = "CREATING"
    told = refused(world, "deploy", "--bundle", bundle())
    assert "is CREATING and has no bucket or no Airflow: wait until it is RUNNING" in told


def test_a_lock_that_another_deploy_holds_is_told_with_its_owner(deployed, bundle):
    lock = {"kind": "lock", "owner": "ada on laptop, process 7", "id": "x", "deploying": None}
    deployed.storage.put(LOCK, json.dumps(lock | {"expires": time.time() + 60}))
    told = refused(deployed, "deploy", "--bundle", bundle(packages={}))
    assert "ada on laptop, process 7 is deploying to this environment: wait for its end" in told
    assert json.loads(deployed.storage.text(LOCK))["id"] == "x", "the lock is left alone"


def test_a_damaged_bundle_is_told(world, bundle):
    folder = bundle()
    (folder / "dags" / "dataops.py").write_text("other")
    assert "dags/dataops.py is not what the manifest says" in refused(world, "deploy", "--bundle", folder)


def test_another_places_bundle_is_told(world, bundle):
    told = refused(world, "deploy", "--bundle", bundle(place="production"))
    assert "is the bundle of production, not of staging: make composer-bundle PLACE=staging" in told


def test_a_place_that_is_not_on_composer_is_told(world, bundle):
    assert "PLACE=embedded is not on Composer" in refused(world, "deploy", "--bundle", bundle(), place="embedded")


def test_a_setting_that_is_missing_is_told_with_its_file(world, bundle):
    path = world.program / "config" / "places" / "empty.yaml"
    path.write_text(yaml.safe_dump(PLACE | {"deploy": {}}))
    told = refused(world, "deploy", "--bundle", bundle(), place="empty")
    assert "empty.yaml: deploy.project: " in told


def test_a_secret_without_a_value_is_told_with_its_variable(world, bundle):
    path = world.program / "config" / "places" / "secretive.yaml"
    path.write_text(yaml.safe_dump(PLACE | {"deploy": PLACE["deploy"] | {"connections": ["mlflow_default"]}}))
    (world.program / "airbyte" / "connections.secretive.yaml").write_text(
        (world.program / "airbyte" / "connections.staging.yaml").read_text()
    )
    told = refused(world, "deploy", "--bundle", bundle(place="secretive"), place="secretive")
    assert "set AIRFLOW_CONN_MLFLOW_DEFAULT in the environment of this command" in told


def test_a_destination_that_the_smoke_run_would_share_is_told(world, bundle):
    overlay = yaml.safe_load((world.program / "airbyte" / "connections.staging.yaml").read_text())
    overlay["destinations"][0]["configuration"]["dataset_id"] = "raw"
    (world.program / "config" / "places" / "shared.yaml").write_text(yaml.safe_dump(PLACE))
    (world.program / "airbyte" / "connections.shared.yaml").write_text(yaml.safe_dump(overlay))
    told = refused(world, "deploy", "--bundle", bundle(place="shared"), place="shared")
    assert "destination warehouse: the smoke run would load into the place's own dataset" in told


def test_an_airflow_that_refuses_the_caller_is_told(deployed, bundle):
    deployed.airflow.token = "another"
    told = refused(deployed, "deploy", "--bundle", bundle(packages={}))
    assert "refuses the caller of gcloud: give the account the role Composer User" in told


def test_a_paused_dag_is_told(deployed, bundle):
    deployed.airflow.paused = {"mlops"}
    assert "mlops is paused" in refused(deployed, "deploy", "--bundle", bundle(packages={}))


def test_a_rollback_without_a_manifest_before_is_told(deployed):
    assert "there is no manifest before the current one" in refused(deployed, "rollback")


def put_before(world, folder):
    """Let a bundle be the version before the one that is deployed."""
    store, name = "data/mlops-manifests", id_of(folder)
    pointer = json.loads(world.storage.text(f"{store}/current.json"))
    pointer["history"].append(pointer["history"][0] | {"id": name})
    world.storage.put(f"{store}/current.json", json.dumps(pointer))
    world.storage.put(f"{store}/{name}.json", (folder / "manifest.json").read_text())
    for path in json.loads((folder / "manifest.json").read_text())["files"]:
        world.storage.put(f"{store}/{name}/{path}", (folder / path).read_text())


def test_a_rollback_does_not_replace_what_somebody_else_has_put_there_since(deployed, bundle):
    put_before(deployed, bundle(files={"dags/old.py": "ours"}))
    deployed.storage.put("dags/old.py", "theirs")
    told = refused(deployed, "rollback")
    assert "the environment has gs://staging-bucket/dags/old.py, which no deploy has put there" in told
    assert LOCK not in deployed.storage.names()


def test_a_rollback_to_a_version_whose_image_is_gone_is_told(deployed, bundle):
    image = f"europe-west1-docker.pkg.dev/demo/mlops/tasks@sha256:{'1' * 64}"
    put_before(deployed, bundle(images={"tasks": image}))
    told = refused(deployed, "rollback")
    assert f"the registry has no image {image}: deploy again from its commit" in told
    assert LOCK not in deployed.storage.names()


def test_a_manifest_that_is_deployed_and_missing_is_told_with_its_copy(deployed, bundle):
    name = f"data/mlops-manifests/{deployed.current}"
    deployed.storage.delete(f"{name}.json")
    copy = f"gcloud storage cp gs://staging-bucket/{name}/manifest.json gs://staging-bucket/{name}.json"
    assert f"is missing: put it back by `{copy}`" in refused(deployed, "deploy", "--bundle", bundle())


def test_a_rollback_to_an_unknown_manifest_names_the_known_ones(deployed, bundle):
    told = refused(deployed, "rollback", "--to", "0123456789ab")
    assert f"TO is one of {id_of(bundle())}" in told


def test_a_manifest_that_names_a_file_outside_of_the_bundle_is_told(world, bundle):
    told = refused(world, "deploy", "--bundle", bundle(files={"data/mlops-manifests/current.json": "{}"}))
    assert "data/mlops-manifests/current.json': data/ itself and mlops-manifests, smoke hold other things" in told


def test_a_bundle_whose_image_was_not_pushed_is_told(world, bundle):
    told = refused(world, "deploy", "--bundle", bundle(images={"tasks": settings.UNKNOWN}))
    assert "has no image yet: deploy without a bundle" in told


def test_what_somebody_else_has_put_there_is_not_replaced(deployed, bundle):
    deployed.storage.put("dags/new.py", "theirs")
    deployed.composer.software["pypiPackages"]["numpy"] = "==1"
    deployed.composer.software["airflowConfigOverrides"]["core-theirs"] = "1"
    deployed.composer.software["envVariables"]["THEIRS"] = "1"
    folder = bundle(
        files={"dags/new.py": "ours"},
        packages={"numpy": "==2"},
        airflow_options={"core-theirs": "2"},
        environment_variables={"THEIRS": "1"},
    )
    told = refused(deployed, "deploy", "--bundle", folder)
    for words in ("gs://staging-bucket/dags/new.py", "core-theirs (Airflow options)", "numpy (packages)"):
        assert words in told
    assert "THEIRS" not in told, "it is the same"
    assert LOCK not in deployed.storage.names()


def test_a_second_place_on_the_same_environment_is_told(deployed, bundle):
    (deployed.program / "config" / "places" / "second.yaml").write_text(yaml.safe_dump(PLACE))
    overlay = (deployed.program / "airbyte" / "connections.staging.yaml").read_text()
    (deployed.program / "airbyte" / "connections.second.yaml").write_text(overlay)
    told = refused(deployed, "deploy", "--bundle", bundle(place="second"), place="second")
    assert "of the project demo is that of PLACE=staging: give second one of its own" in told
    assert "is that of PLACE=staging" in refused(deployed, "rollback", place="second")


@pytest.mark.parametrize(
    ("name", "text"),
    [("notes.json", "ours, not JSON"), ("current.json", '{"kind": "current", "history": 1}')],
)
def test_an_object_among_the_manifests_that_is_not_a_deploys_is_named(deployed, bundle, name, text):
    deployed.storage.put(f"data/mlops-manifests/{name}", text)
    told = refused(deployed, "deploy", "--bundle", bundle())
    assert f"gs://staging-bucket/data/mlops-manifests/{name} is damaged, or not of a deploy (" in told
