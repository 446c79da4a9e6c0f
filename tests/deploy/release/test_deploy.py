"""A deploy by the real gcloud: what it does, in which order, and that it does nothing twice."""

import json
import re
from datetime import UTC, datetime

import pytest
from recorded import Answer, Rule, refusal
from world import CHANGED, ROOT, id_of, state

from deploy import declaration, release
from deploy import manifest as manifests
from deploy.bucket import Object, Pointer

STORE = "data/mlops-manifests"
SOFTWARE = {
    "pypiPackages": {"pandas": "==3.0.5", "fsspec": "[gcs]==2026.1.0"},
    "airflowConfigOverrides": {"core-parallelism": "16"},
    "envVariables": {"DO_NOT_TRACK": "1", "LISTS": "a,b=c"},
}


def kinds(changes):
    """The first word of each change, and the second where the order within matters, repeats left out."""
    words = [each.split()[0] if not each.startswith(("update", "run")) else each for each in changes]
    return [each for number, each in enumerate(words) if number == 0 or each != words[number - 1]]


def test_a_first_deploy_sets_everything_in_order(first_deploy, bundle):
    changes, _, saved = first_deploy
    name = id_of(bundle())
    updates = ["update pypi_packages", "update airflow_config_overrides", "update env_variables"]
    rest = ["airbyte", "upload", "secret", "copy", "run dataops", "run mlops", "upload"]
    assert kinds(changes) == ["upload", *updates, *rest]
    copies = [each for each in changes if each.startswith("copy")]
    assert [each.split("/")[0] for each in copies] == ["copy data", "copy plugins", *["copy dags"] * 3]
    assert changes[-1] == f"upload {STORE}/current.json"
    assert saved.software == SOFTWARE
    live = {path: text for path, text in saved.objects.items() if not path.startswith((STORE, "data/smoke"))}
    assert live == {
        "dags/dataops.py": "import pipeline\n",
        "dags/mlops.py": "import pipeline\n",
        "dags/pipeline/__init__.py": "",
        "plugins/links.py": "import airflow\n",
        "data/config/base.yaml": "source: here\n",
    }
    assert json.loads(saved.objects[f"{STORE}/current.json"])["history"][0]["id"] == name
    assert saved.objects[f"{STORE}/{name}.json"] == (bundle() / "manifest.json").read_text()
    assert f"{STORE}/lock/lock.json" not in saved.objects, "the lock is released"


def test_airflow_finds_airbyte_and_both_sets_of_connections_in_secret_manager(first_deploy, services):
    saved = first_deploy[2]
    connection = json.loads(saved.secrets["airflow-connections-airbyte_default"][-1])
    assert connection["host"] == f"{services.server.url}/airbyte/"
    assert (connection["login"], connection["password"]) == ("id", "airbyte-secret")
    ids = json.loads(saved.secrets["airflow-variables-airbyte_connections"][-1])
    named = {each["name"]: each["connectionId"] for each in saved.airbyte["connections"]}
    assert ids == named
    assert set(ids) == {"projects", "tags", "smoke projects", "smoke tags"}


def test_the_smoke_run_loads_the_sample_into_datasets_of_its_own(first_deploy):
    things = first_deploy[2].airbyte
    datasets = {each["name"]: each["configuration"]["dataset_id"] for each in things["destinations"]}
    assert datasets == {"warehouse": "raw", "smoke warehouse": "smoke_raw"}
    sources = {each["name"]: each["configuration"]["streams"][0]["url"] for each in things["sources"]}
    assert sources["files"] == "gs://source/of/staging/projects.csv"
    assert sources["smoke files"] == "gs://staging-bucket/data/smoke/projects.csv"


def test_the_dags_and_the_deploy_name_what_is_the_smoke_runs_alike():
    text = (ROOT / "airflow" / "dags" / "pipeline" / "smoke.py").read_text()
    assert re.findall(r'^PREFIX = "(.*)"', text, re.MULTILINE) == [declaration.DATASETS]
    assert re.findall(r"^LABEL = \"\('(.*?)' if", text, re.MULTILINE) == [declaration.SMOKE]


def test_an_unchanged_bundle_changes_nothing(deployed, bundle):
    deployed.deploy(bundle())
    assert deployed.changes() == []
    assert not [each for each in deployed.server.requests if each.service == "airflow" and each.method == "POST"]
    assert f"{STORE}/lock/lock.json" not in deployed.storage.names()


def test_a_changed_bundle_changes_what_differs_and_leaves_others_alone_and_a_rollback_undoes_it(deployed, bundle):
    others = {"dags/theirs.py": "theirs", "plugins/theirs.py": "theirs", "data/config/theirs.yaml": "theirs"}
    for name, text in others.items():
        deployed.storage.put(name, text)
    deployed.composer.software["airflowConfigOverrides"]["webserver-theirs"] = "1"
    deployed.composer.software["envVariables"]["THEIRS"] = "1"
    first = state(deployed)
    first[1]["pypiPackages"]["theirs"] = "==1"

    def add_package(_request):
        deployed.composer.software["pypiPackages"]["theirs"] = "==1"

    # Somebody adds a package while the deploy begins.
    deployed.server.rules = [Rule("POST", "lock.json .*/upload/", before=add_package)]
    folder = bundle(
        files={
            "dags/mlops.py": "import pipeline  # new\n",
            "plugins/links.py": None,
            "dags/pipeline/neu für 'alle'.py": "\n",
        },
        packages={"pandas": "==3.0.6"},
        airflow_options={"core-parallelism": "16"},
        environment_variables={"LISTS": "a;b|c,d", "NEW": "x=^y^z"},
    )
    done = deployed.deploy(folder)
    changes = deployed.changes()
    assert "update airflow_config_overrides" not in changes, done.text
    moved = [each for each in changes if each.startswith(("copy", "delete"))]
    assert sorted(moved) == ["copy dags/mlops.py", "copy dags/pipeline/neu für 'alle'.py", "delete plugins/links.py"]
    assert deployed.live() == others | {
        "dags/dataops.py": "import pipeline\n",
        "dags/mlops.py": "import pipeline  # new\n",
        "dags/pipeline/__init__.py": "",
        "dags/pipeline/neu für 'alle'.py": "\n",
        "data/config/base.yaml": "source: here\n",
    }
    assert deployed.composer.software == {
        "pypiPackages": {"pandas": "==3.0.6", "theirs": "==1"},
        "airflowConfigOverrides": {"core-parallelism": "16", "webserver-theirs": "1"},
        "envVariables": {"LISTS": "a;b|c,d", "NEW": "x=^y^z", "THEIRS": "1"},
    }
    assert deployed.current == id_of(folder)
    secrets = json.loads(json.dumps(deployed.secrets.versions))
    # A rollback has no smoke run, so a paused DAG does not stop it.
    deployed.airflow.paused = {"dataops"}
    done = deployed.run("rollback")
    assert done.status == 0, done.text
    assert state(deployed) == first
    assert deployed.secrets.versions == secrets, "secrets stay as they are"
    status = deployed.run("status", "--bundle", folder)
    assert f"deployed     {first[2]}" in status.text
    for words in ("files, new: dags/pipeline/neu", "files, gone: plugins/links.py", "packages, other: pandas"):
        assert words in status.text
    assert "changed there  nothing" in status.text


def test_a_dry_run_prints_each_command_and_changes_nothing(deployed, bundle):
    before = deployed.storage.names()
    folder = bundle(
        files={"dags/mlops.py": "import pipeline  # new\n", "plugins/links.py": None},
        packages={"pandas": "==3.0.6"},
        environment_variables={"LISTS": "a,b"},
    )
    done = deployed.deploy(folder, "--dry-run")
    assert [each for each in deployed.server.requests if each.is_change] == []
    assert deployed.storage.names() == before
    commands = [line[2:] for line in done.text.splitlines() if line.startswith("$ gcloud ")]
    for part in (
        "storage rsync",
        "--update-pypi-packages-from-file=",
        "--update-env-variables=^;^LISTS=a,b",
        "--remove-env-variables=DO_NOT_TRACK",
        "storage rm gs://staging-bucket/plugins/links.py",
        f"gs://staging-bucket/{STORE}/current.json",
    ):
        assert any(part in each.replace("'", "") for each in commands), (part, commands)


def test_a_pointer_keeps_what_a_rollback_has_replaced():
    entries = [{"id": str(number), "at": "", "by": ""} for number in range(5)]
    pointer = Pointer(entries)
    back = pointer.back("2").newest(4)
    assert (back.history, back.undone) == (entries[2:], entries[:1])
    again = back.ahead(entries[0])
    assert (again.history, again.undone) == ([entries[0], *entries[2:]], [])
    assert back.newest(2) == Pointer(entries[2:4], [])


def test_files_of_data_and_plugins_count_for_when_the_files_last_changed(bundle):
    wanted = manifests.read(bundle() / "manifest.json")
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    objects = {path: Object("", 1, late if path.startswith("data/") else early) for path in wanted.files}
    assert release._last(objects, wanted) == late


class Busy(Rule):
    """The first request of each kind is refused: reads with 503, changes with 429."""

    KIND = re.compile(r"/upload/|/rewriteTo/|/operations|/environments/|:\w+$|/(v2|airbyte)/\w+|/secrets|/o/|/o$")

    def __init__(self):
        super().__init__("", "")
        self.kinds = set()

    def matches(self, request):
        kind = request.method, self.KIND.search(request.path)[0]
        is_new = kind not in self.kinds
        self.kinds.add(kind)
        self.answer = Answer(503) if request.method == "GET" else refusal(429, "RESOURCE_EXHAUSTED", "Quota exceeded")
        return is_new


@pytest.mark.slow
def test_services_that_are_busy_for_a_moment_do_not_stop_a_deploy(deployed, bundle):
    busy = Busy()
    deployed.server.rules = [busy]
    deployed.airbyte.things["connections"].pop()
    folder = bundle(**CHANGED)
    deployed.deploy(folder)
    assert len(busy.kinds) > 15, busy.kinds
    assert deployed.current == id_of(folder)
