"""Our packages against an environment's own: gcloud's answer, the clash with Airflow 3.3.1, and what pip would do."""

import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from packaging.requirements import Requirement

from deploy import packages
from deploy.packages import Preinstalled
from stack.errors import StackError
from stack.settings import ROOT

OURS = packages.ours(ROOT / "requirements" / "composer.in")
CAP = Requirement("structlog<25.5.0")
LIST = """Package                                  Version            Editable project location
---------------------------------------- ------------------ -------------------------
apache-airflow                           3.1.7+composer
apache-airflow-core                      3.1.7+composer
Great_Expectations                       1.19.1
structlog                                25.4.0
mine                                     1.0                /home/airflow/mine
"""


@pytest.fixture
def composer(tmp_path, monkeypatch):
    """A stand-in for Composer's API, and a gcloud that reaches nothing else; `answers` may be changed."""
    if not shutil.which("gcloud"):
        if os.environ.get("CI"):
            pytest.fail("gcloud is not installed")
        pytest.skip("gcloud is not installed")
    answers = {
        "software": {"imageVersion": "composer-3-airflow-3.1.7-build.0"},
        "output": LIST.splitlines(),
        "exit": 0,
        "requests": [],
    }

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            self.answer(
                {
                    "name": self.path.partition("?")[0][4:],
                    "config": {"softwareConfig": answers["software"]},
                    "state": "RUNNING",
                }
            )

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path.partition("?")[0].endswith(":executeAirflowCommand"):
                self.answer({"executionId": "1", "pod": "p", "podNamespace": "n"}, body)
                return
            lines = [{"lineNumber": n, "content": line} for n, line in enumerate(answers["output"], 1)]
            ended = {"exitCode": answers["exit"], "error": "no worker"}
            self.answer({"output": lines, "outputEnd": True, "exitInfo": ended}, body)

        def answer(self, content, body=None):
            answers["requests"].append((self.command, self.path.partition("?")[0], body))
            data = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    for name, value in {
        "CLOUDSDK_CONFIG": str(tmp_path / "gcloud"),
        "CLOUDSDK_AUTH_ACCESS_TOKEN": "any",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
        "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPOSER": url,
        # Whatever else gcloud asks goes nowhere.
        "https_proxy": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield answers
    server.shutdown()


def make_packages(tmp_path, *words):
    command = [sys.executable, "-m", "deploy", "packages", "--preinstalled", str(tmp_path / "list.txt"), *words]
    environment = os.environ | {"PYTHONPATH": "airflow/dags:airbyte"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_gcloud_fetches_the_list_of_an_environment(composer, tmp_path):
    composer["software"]["pypiPackages"] = {"great-expectations": "==1.19.1"}
    where = ["--environment", "staging", "--location", "europe-west1", "--project", "demo"]
    done = make_packages(tmp_path, *where)
    assert done.returncode == 0, done.stdout + done.stderr
    name = "/v1/projects/demo/locations/europe-west1/environments/staging"
    asked = [(method, path) for method, path, _ in composer["requests"]]
    assert ("POST", f"{name}:executeAirflowCommand") in asked
    assert {path.partition(":")[0] for _, path in asked} == {name}
    assert next(body for _, path, body in composer["requests"] if path.endswith(":executeAirflowCommand")) == {
        "command": "list-packages",
        "subcommand": "pip list",
    }
    found = Preinstalled.read(tmp_path / "list.txt")
    assert found.environment == "staging, composer-3-airflow-3.1.7-build.0"
    assert found.versions == {
        "apache-airflow": "3.1.7+composer",
        "apache-airflow-core": "3.1.7+composer",
        "mine": "1.0",
        "structlog": "25.4.0",
    }
    assert str(found.airflow) == "3.1.7"
    assert "it has packages of its own (great-expectations)" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"output": ["No module named pip"]}, "has no apache-airflow; it begins with 'No module named pip'"),
        ({"exit": 1}, "gcloud composer environments list-packages: Command exit code: no worker"),
        ({"software": {}}, "names no image"),
    ],
)
def test_an_answer_that_is_no_list_is_an_error_and_leaves_the_old_list(composer, tmp_path, changes, told):
    (tmp_path / "list.txt").write_text("apache-airflow==3.1.7\n")
    composer.update(changes)
    done = make_packages(tmp_path, "--environment", "staging", "--location", "europe-west1", "--project", "demo")
    assert done.returncode == 1
    assert told in " ".join(done.stdout.split())
    assert (tmp_path / "list.txt").read_text() == "apache-airflow==3.1.7\n"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            ["--location", "europe-west1"],
            "the project of the environment staging is not known: give PROJECT=…, set deploy",
        ),
        (
            ["--project", "demo"],
            "location of the environment staging is not known: give LOCATION=…, set deploy.location",
        ),
    ],
)
def test_without_a_project_or_location_the_remedy_is_one_of_make(composer, tmp_path, given, told):
    done = make_packages(tmp_path, "--environment", "staging", *given)
    assert done.returncode == 1
    assert told in " ".join(done.stdout.split())
    assert "gcloud config set co" in done.stdout
    assert not (tmp_path / "list.txt").exists()


def test_without_an_environment_the_setting_is_named(tmp_path):
    done = make_packages(tmp_path)
    assert done.returncode == 1
    assert "give ENVIRONMENT=NAME, or set deploy.environment" in " ".join(done.stdout.split())


def test_a_list_comes_back_as_it_was_written_and_a_wrong_line_is_named(tmp_path):
    file = tmp_path / "list.txt"
    made = Preinstalled("ours", {"a-b": "1.0+x", "c": "2"}, ("d",))
    file.write_text(made.text)
    assert Preinstalled.read(file) == Preinstalled("ours", made.versions)
    file.write_text("a==1\nb>=2\n")
    with pytest.raises(StackError, match="line 2, 'b>=2': write NAME==VERSION"):
        Preinstalled.read(file)
    file.write_bytes(b"a==1\n\xff")
    with pytest.raises(StackError, match=r"list\.txt is not text in UTF-8: `make composer-packages`"):
        Preinstalled.read(file)
    with pytest.raises(StackError, match=r"no\.txt cannot be read .*: `make composer-packages`"):
        Preinstalled.read(tmp_path / "no.txt")


def test_an_environment_with_airflow_3_3_1_is_refused_and_the_cap_of_the_provider_is_named(installed):
    told = packages.clash(installed("composer-3.3.1"), CAP)
    assert (
        "structlog 26.1.0 with Airflow 3.3.1, and airflow-provider-great-expectations needs structlog<25.5.0"
        in told.found
    )
    assert told.found.endswith("which no Airflow from 3.3.1 on allows")
    assert told.remedy.startswith("use an environment of Airflow 3.1.7 or 3.2.2")


def test_an_older_airflow_with_a_newer_structlog_is_refused_too():
    theirs = Preinstalled("ours", {"apache-airflow": "3.1.7+composer", "structlog": "25.5.0"})
    assert packages.clash(theirs, CAP).found.endswith("needs structlog<25.5.0")


def test_our_packages_are_added_to_airflow_3_1_7_without_changing_one(installed):
    theirs = installed("composer-3.1.7")
    assert packages.clash(theirs, CAP) is None
    assert list(packages.pinned(OURS, theirs)) == []
    found = packages.resolve(OURS, theirs)
    assert found["great-expectations"] == "1.19.1"
    changed = {
        name for name, version in found.items() if theirs.versions.get(name, version).partition("+")[0] != version
    }
    assert changed == set()
    assert "apache-airflow-providers-airbyte" in found.keys() - theirs.versions.keys()


def test_a_package_that_needs_another_version_of_the_image_is_refused_with_the_reason():
    theirs = Preinstalled("ours", {"apache-airflow": "3.1.7+composer", "pandas": "1.0.0"})
    with pytest.raises(StackError, match=r"our packages cannot be added to ours: .*pandas"):
        packages.resolve({"great-expectations": "==1.19.1"}, theirs)


def test_a_pin_of_what_the_image_has_in_another_version_is_refused():
    theirs = Preinstalled("ours", {"pandas": "2.1.0", "numpy": "2.0"})
    (told,) = packages.pinned({"pandas": "[x]>=3", "numpy": ">=1"}, theirs)
    assert told.found == "pandas[x]>=3: ours has 2.1.0"
