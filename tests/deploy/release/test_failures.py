"""A deploy that fails puts back what was deployed before; rollback and status."""

import json

import pytest
import yaml
from recorded import Answer, Request, Rule, refusal
from world import CHANGED, LOCK, id_of, state


def failed(world, folder):
    """The last line of a deploy that fails; what was deployed before has to be back."""
    before = state(world)
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
    world.airflow.failing = {"mlops": "the warehouse is on [/fire]"}


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
    "the smoke run": (break_smoke, "transform: the warehouse is on [/fire]"),
}


# Each takes a quarter of a minute; at the last step there is most to undo.
OFTEN = ("the smoke run",)


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


@pytest.mark.slow
def test_a_first_deploy_that_fails_leaves_nothing_that_runs(world, bundle):
    world.airflow.failing = {"dataops": "no"}
    assert "nothing, as before the first deploy, is deployed again" in failed(world, bundle())
    assert world.live() == {}
    assert world.composer.software == {"pypiPackages": {}, "airflowConfigOverrides": {}, "envVariables": {}}


@pytest.mark.slow
def test_what_could_not_be_put_back_is_put_back_by_the_next_rollback(deployed, bundle):
    before = state(deployed)
    deployed.airflow.failing = {"mlops": "no"}
    # The way back needs packages, too.
    refuse = Rule("PATCH", "/environments/staging", times=1, answer=refusal(400, "FAILED_PRECONDITION", "not now"))
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


@pytest.mark.slow
def test_a_token_that_expires_on_the_way_is_told_with_how_to_go_on(deployed, bundle):
    answer = refusal(401, "UNAUTHENTICATED", "Invalid credentials")
    deployed.server.rules = [Rule("POST", "/rewriteTo/", times=9, answer=answer)]
    folder = bundle(**CHANGED)
    done = deployed.run("deploy", "--bundle", folder)
    assert done.status == 1
    assert "gcloud has no valid token" in done.words
    assert "nothing was put back: `make deploy PLACE=staging` goes on" in done.words
    deployed.server.rules = []
    deployed.deploy(folder)


@pytest.mark.slow
def test_old_versions_that_cannot_be_deleted_stop_nothing(world, bundle):
    place = yaml.safe_load((world.program / "config" / "places" / "staging.yaml").read_text())
    place["deploy"]["keep"] = 2
    (world.program / "config" / "places" / "few.yaml").write_text(yaml.safe_dump(place))
    overlay = (world.program / "airbyte" / "connections.staging.yaml").read_text()
    (world.program / "airbyte" / "connections.few.yaml").write_text(overlay)
    answer = refusal(403, "PERMISSION_DENIED", "no permission to delete")
    world.server.rules = [Rule("DELETE", "mlops-manifests/[0-9a-f]", times=99, answer=answer)]
    for number in range(3):
        folder = bundle(place="few", environment_variables={"NUMBER": str(number)})
        done = world.run("deploy", "--bundle", folder, place="few")
        assert done.status == 0, done.text
    assert "old versions stay in the bucket" in done.words
    assert world.current == id_of(folder)


@pytest.mark.slow
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
