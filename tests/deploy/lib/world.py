"""The services on one server, and the program with the real gcloud as their client."""

import hashlib
import http.client
import json
import os
import shutil
import subprocess
import sys
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from airbyte_standin import Airbyte
from airflow_standin import Airflow
from artifact_registry import ArtifactRegistry
from composer import Composer
from recorded import Request, Server
from secret_manager import SecretManager
from storage import Storage

ROOT = Path(__file__).resolve().parents[3]
PLACE = {
    "preset": "composer",
    "source": "gs://source/of/staging",
    "artifacts": "gs://artifacts",
    "mlflow": "https://mlflow.example",
    "runner": {"image": f"registry.example/tasks@sha256:{'0' * 64}", "kubernetes": {"secret": "mlops"}},
    "warehouse": {"project": "demo"},
    "deploy": {"project": "demo", "location": "europe-west1", "environment": "staging", "sync": 0, "import_timeout": 5},
}
# A bundle that differs from the default in each kind.
CHANGED = {
    "files": {"dags/mlops.py": "import pipeline  # new\n", "plugins/links.py": None, "dags/new.py": "import new\n"},
    "packages": {"pandas": "==3.0.6"},
    "airflow_options": {"core-parallelism": "8"},
    "environment_variables": {"LISTS": "a"},
}
LOCK = "data/mlops-manifests/lock/lock.json"
OVERLAY = {
    "airbyte": {"url": "${AIRBYTE}", "clientId": "id", "clientSecret": "${AIRBYTE_SECRET}"},
    "destinations": [
        {
            "name": "warehouse",
            "configuration": {"destinationType": "bigquery", "dataset_id": "${MLOPS_WAREHOUSE__PREFIX}raw"},
        }
    ],
}

_FOLDERS = (
    "deploy",
    "stack",
    "airbyte",
    "airflow",
    "config",
    "data",
    "tagifai",
    "dbt_transforms",
    "great_expectations",
)
_FOLDERS += ("requirements",)
# In place of the scripts that need Docker.
_SCRIPTS = {
    "images": 'echo "built" >&2',
    "push": f'echo "$@" >pushed; [ ! -e broken ] || exit 1; echo "$2@sha256:{"1" * 64}"',
}


@dataclass
class Done:
    """A command that has ended."""

    status: int
    text: str

    @property
    def words(self) -> str:
        """Its output on one line."""
        return " ".join(self.text.split())


@dataclass
class Saved:
    """What the services hold."""

    objects: dict[str, str]
    software: dict
    secrets: dict
    airbyte: dict


class World:
    """The services, and the program as their client."""

    def __init__(self, program: Path, gcloud_config: Path, upstream: str, folder: Path):
        self.server = Server()
        bucket = "staging-bucket"
        connection = http.client.HTTPConnection(urlsplit(upstream).netloc, timeout=30)
        body = json.dumps({"name": bucket})
        connection.request("POST", "/storage/v1/b?project=demo", body, {"Content-Type": "application/json"})
        assert connection.getresponse().status == 200
        self.storage = Storage(upstream, bucket)
        self.storage.url = self.server.url
        self.restore(None)
        self.program, self.folder = program, folder
        overrides = {"ARTIFACTREGISTRY": "", "COMPOSER": "", "SECRETMANAGER": "", "STORAGE": "storage/v1/"}
        self.environment = {
            **{f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{k}": f"{self.server.url}/{path}" for k, path in overrides.items()},
            "CLOUDSDK_CONFIG": str(gcloud_config),
            "CLOUDSDK_AUTH_ACCESS_TOKEN": "token",
            "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false",
            # Whatever has no stand-in would go through this proxy, which leads nowhere.
            "CLOUDSDK_PROXY_TYPE": "http",
            "CLOUDSDK_PROXY_ADDRESS": "127.0.0.1",
            "CLOUDSDK_PROXY_PORT": str(self.server.port),
            **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), self.server.url),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1"),
            "AIRBYTE": f"{self.server.url}/airbyte",
            "AIRBYTE_SECRET": "airbyte-secret",
            "PYTHONPATH": "airflow/dags:airbyte",
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "COLUMNS": "1000",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def restore(self, saved: "Saved | None") -> None:
        """Go back to what the services held; None: to nothing."""
        self.server.requests, self.server.rules = [], []
        for name in self.storage.names():
            self.storage.delete(name)
        self.storage.damaged = "$^"
        self.composer = Composer(self.storage.bucket, f"{self.server.url}/airflow")
        self.secrets = SecretManager()
        self.airflow = Airflow(self.storage)
        self.airbyte = Airbyte()
        self.registry = ArtifactRegistry()
        if saved:
            for name, text in saved.objects.items():
                self.storage.put(name, text)
            self.composer.software = deepcopy(saved.software)
            self.secrets.versions = deepcopy(saved.secrets)
            self.airbyte.things = deepcopy(saved.airbyte)
        google = [self.storage, self.composer, self.secrets, self.registry]
        self.server.services = [*google, self.airflow, self.airbyte]

    def save(self) -> "Saved":
        """What the services hold."""
        objects = {name: self.storage.text(name) for name in self.storage.names()}
        return Saved(
            objects, deepcopy(self.composer.software), deepcopy(self.secrets.versions), deepcopy(self.airbyte.things)
        )

    def start(self, *arguments: str | Path, place: str = "staging", **variables: str | None) -> subprocess.Popen:
        """Start a command; a variable that is None is left out."""
        name, *rest = map(str, arguments)
        given = {key: value for key, value in (self.environment | variables).items() if value is not None}
        command = [sys.executable, "-m", "deploy", name, "--place", place, *rest]
        return subprocess.Popen(
            command, cwd=self.program, env=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, *arguments: str | Path, place: str = "staging", **variables: str | None) -> Done:
        """Run a command to its end."""
        process = self.start(*arguments, place=place, **variables)
        text, _ = process.communicate(timeout=300)
        return Done(process.returncode, text)

    def deploy(self, bundle: Path, *options: str) -> Done:
        """Deploy a bundle, which has to succeed."""
        done = self.run("deploy", "--bundle", bundle, *options)
        assert done.status == 0, done.text
        return done

    def changes(self, first: int = 0) -> list[str]:
        """What was changed, in order, without the lock: its kind and name, or the packages, options and variables."""
        found = [_told(each) for each in self.server.changes(first)]
        return [each for each in found if each and "lock.json" not in each]

    def expire(self) -> None:
        """Let the lease of a dead deploy be over."""
        content = json.loads(self.storage.text(LOCK))
        self.storage.put(LOCK, json.dumps(content | {"expires": 0}))

    @property
    def current(self) -> str | None:
        """Id of what is deployed, by the pointer."""
        name = "data/mlops-manifests/current.json"
        return json.loads(self.storage.text(name))["history"][0]["id"] if name in self.storage.names() else None

    def live(self) -> dict[str, str]:
        """The files that run, by name."""
        own = ("data/mlops-manifests/", "data/smoke/")
        return {name: self.storage.text(name) for name in self.storage.names() if not name.startswith(own)}


def _told(request: Request) -> str:
    """A change in words; "": a part of one."""
    path, query = request.path, request.query
    match request.service:
        case "composer":
            return f"update {query['updateMask'].split('.')[2]}"
        case "secrets":
            return f"secret {path.split('/')[5].partition(':')[0]}" if path.endswith(":addVersion") else ""
        case "airflow":
            return f"run {path.split('/')[5]}"
        case "airbyte":
            return f"airbyte {path.split('/')[2]} {request.body['name']}"
    if "/upload/" not in path:
        verb = "delete" if request.method == "DELETE" else "copy"
        return f"{verb} {path.rpartition('/o/')[2]}"
    # A resumable upload begins with a request without content.
    return "" if query["uploadType"] == "resumable" and request.method == "POST" else f"upload {request.upload}"


def make_program(tree: Path) -> Path:
    """Copy the repository into an empty folder, with a place `staging`, as a user has it."""
    for name in _FOLDERS:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tree / "config" / "places" / "staging.yaml").write_text(yaml.safe_dump(PLACE))
    (tree / "airbyte" / "connections.staging.yaml").write_text(yaml.safe_dump(OVERLAY))
    (tree / "docker").mkdir()
    for name, script in _SCRIPTS.items():
        (tree / "docker" / name).write_text(f"#!/bin/sh\n{script}\n")
        (tree / "docker" / name).chmod(0o755)
    # The bundle has what git has.
    for command in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", *command], cwd=tree, check=True)
    return tree


def id_of(folder: Path) -> str:
    """The id of a bundle's manifest."""
    return hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()[:12]


def make_bundle(folder: Path, *, files: dict[str, str | None] | None = None, **changes: object) -> Path:
    """A bundle by hand: files (None: without one), packages, options and variables over a small default."""
    texts: dict[str, str | None] = {
        "dags/dataops.py": "import pipeline\n",
        "dags/mlops.py": "import pipeline\n",
        "dags/pipeline/__init__.py": "",
        "plugins/links.py": "import airflow\n",
        "data/config/base.yaml": "source: here\n",
    }
    content = {
        "schema_version": 1,
        "place": "staging",
        "files": {},
        "packages": {"pandas": "==3.0.5", "fsspec": "[gcs]==2026.1.0"},
        "airflow_options": {"core-parallelism": "16"},
        "environment_variables": {"DO_NOT_TRACK": "1", "LISTS": "a,b=c"},
        "images": {"tasks": f"registry.example/tasks@sha256:{'0' * 64}"},
        **changes,
    }
    for path, text in (texts | (files or {})).items():
        if text is None:
            continue
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        content["files"][path] = {"sha256": hashlib.sha256(text.encode()).hexdigest(), "size": len(text.encode())}
    (folder / "manifest.json").write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
    return folder


def state(world: World) -> tuple:
    """What an environment has, whichever way it came there."""
    return world.live(), deepcopy(world.composer.software), world.current
