"""Helpers for tests of the service: the service as a process, declarations and messages.

Imports only packages that all environments have, since the operator's tests run in Airflow's environment.
"""

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
import yaml

LIB = Path(__file__).resolve().parent
ROOT = LIB.parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "airbyte")]

from airbyte_declaration.applications import described  # noqa: E402
from airbyte_declaration.client import AirbyteApi  # noqa: E402
from airbyte_declaration.declaration import load  # noqa: E402
from airbyte_declaration.plan import Plan  # noqa: E402
from devtools.ports import free_port  # noqa: E402

PYTHON = ROOT / "var" / "env" / "airbyte" / "bin" / "python"
PYTHONPATH = [str(ROOT / "airbyte"), str(LIB)]
CLIENT = {"client_id": "the-client", "client_secret": "the-secret"}
NUMBERS = {"type": "object", "properties": {"id": {"type": "integer"}, "text": {"type": "string"}}}


def applications(source, **changes):
    """What a declaration's templates know of the example application, with its files in a folder."""
    config = yaml.safe_load((ROOT / "config" / "applications" / "tagifai.yaml").read_text())
    return described([config | {"source": str(source)} | changes])


def wait_until(condition, *, seconds=120.0):
    """Wait until `condition` returns a true value; returns this value."""
    end, pause = time.monotonic() + seconds, threading.Event()
    while not (value := condition()):
        assert time.monotonic() < end, f"not true within {seconds} s: {condition}"
        pause.wait(0.02)
    return value


def held(pipe):
    """Writing end of a named pipe, once the scripted connector waits on it; closing it lets the connector continue."""

    def writing_end():
        with suppress(OSError):  # no reader yet
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)

    return wait_until(writing_end)


def let_go(pipe):
    """Let the scripted connector continue, once it waits on this named pipe."""
    os.close(held(pipe))


def is_alive(pid):
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def record(stream_name, data, **more):
    """Line of a RECORD message."""
    content = {"stream": stream_name, "data": data, "emitted_at": 1000, **more}
    return json.dumps({"type": "RECORD", "record": content}) + "\n"


def records(stream_name, ids):
    """Lines of records with these ids."""
    return [record(stream_name, {"id": i, "text": f"text {i}"}) for i in ids]


def trace_error(message, **more):
    """Line of a TRACE message with an error."""
    trace = {"type": "ERROR", "emitted_at": 1000.0, "error": {"message": message, **more}}
    return json.dumps({"type": "TRACE", "trace": trace}) + "\n"


def stream(name="numbers", schema=NUMBERS):
    """A stream as a catalog offers it."""
    return {"name": name, "json_schema": schema, "supported_sync_modes": ["full_refresh"]}


def connection_of(*names, **more):
    """A declared connection of these streams."""
    return {
        "name": names[0],
        "source": "scripted",
        "destination": "warehouse",
        "schedule": {"scheduleType": "manual"},
        "configurations": {"streams": [{"name": name, "syncMode": "full_refresh_overwrite"} for name in names]},
        **more,
    }


def destination_of(database):
    """Configuration of a destination in this database, schema raw."""
    fields = {key: database[key] for key in ("host", "port", "database", "password")}
    return {"destinationType": "postgres", "username": database["user"], "schema": "raw", **fields}


def declare(path, database, connections, **config):
    """Write a declaration whose source is the scripted connector; returns the environment variables for the service."""
    config.setdefault("streams", [stream(s["name"]) for c in connections for s in c["configurations"]["streams"]])
    declaration = {
        "workspace": {"name": "test"},
        "sources": [{"name": "scripted", "configuration": {"sourceType": "scripted", **config}}],
        "destinations": [{"name": "warehouse", "configuration": destination_of(database)}],
        "connections": connections,
    }
    path.write_text(json.dumps(declaration))  # JSON is YAML
    return {"MLOPS_AIRBYTE__CONNECTIONS": str(path), **register(path.parent, scripted={"module": "source_scripted"})}


def register(folder, **connectors):
    """Write a registry with additional connectors; returns the environment variables for the service."""
    path = folder / "connectors.yaml"
    path.write_text(json.dumps({"files": {"module": "source_files"}, **connectors}))
    return {"MLOPS_AIRBYTE__CONNECTORS": str(path)}


def service_environment(database, folder):
    """Environment of a service on this database; sources and its `var` are in `folder`."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(PYTHONPATH),
        "MLOPS_VAR": str(folder / "var"),
        "MLOPS_SOURCE": str(folder),
        # No retries, except in tests of retries.
        "MLOPS_AIRBYTE__ATTEMPTS": "1",
        "MLOPS_AIRBYTE__CLIENT_ID": CLIENT["client_id"],
        "MLOPS_AIRBYTE__CLIENT_SECRET": CLIENT["client_secret"],
        "MLOPS_AIRBYTE__SIGNING_KEY": "a key of thirty-two bytes or more",
        # Of the declaration's destination.
        "MLOPS_WAREHOUSE__TYPE": "postgres",
        **{f"MLOPS_WAREHOUSE__{key.upper()}": str(value) for key, value in database.items()},
        **{f"MLOPS_AIRBYTE__DATABASE__{key.upper()}": str(value) for key, value in database.items()},
    }


class Forks:
    """Starts our modules as processes by forking one that has imported them, see process_forks.py."""

    def __init__(self):
        self._process = None
        self._lock = threading.Lock()

    def start(self, module, *arguments, environment, folder, stdout, stderr, wait=False):
        """Id of the process or, with `wait`, its exit status."""
        request = {
            "module": module,
            "arguments": arguments,
            "environment": environment,
            "folder": str(folder),
            "stdout": str(stdout),
            "stderr": str(stderr),
            "wait": wait,
        }
        with self._lock:
            if self._process is None:
                own = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(PYTHONPATH)}
                self._process = subprocess.Popen(
                    [PYTHON, LIB / "process_forks.py"],
                    env=own,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            print(json.dumps(request), file=self._process.stdin, flush=True)
            return int(self._process.stdout.readline())


FORKS = Forks()


class Service:
    """The service as a process of its own."""

    def __init__(self, environment, folder):
        port = free_port()
        self.base = f"http://127.0.0.1:{port}/api/public/v1"
        self.environment = {**environment, "MLOPS_AIRBYTE__PORT": str(port)}
        self.log = folder / "service.log"
        # Do not use a proxy for 127.0.0.1.
        self.client = httpx.Client(base_url=self.base, timeout=30, trust_env=False)
        self.pid = None
        # What the declaration is made from, beside its own file.
        self.overlays, self.applications = (), ()

    def start(self):
        """Start it, wait until it is healthy, and log in."""
        where = {"folder": ROOT, "stdout": self.log, "stderr": self.log}
        self.pid = FORKS.start("airbyte_local", environment=self.environment, **where)
        wait_until(self._healthy)
        if "Authorization" not in self.client.headers:
            token = self.client.post("/applications/token", json=CLIENT).json()["access_token"]
            self.client.headers["Authorization"] = f"Bearer {token}"
        if path := self.environment.get("MLOPS_AIRBYTE__CONNECTIONS"):
            self.apply(path)
        return self

    def plan(self, path, **options):
        """The plan of a declaration for this service."""
        api = AirbyteApi(self.base, CLIENT["client_id"], CLIENT["client_secret"])
        known = self.applications or applications(self.environment["MLOPS_SOURCE"])
        declaration = load(Path(path), self.environment, overlays=self.overlays, applications=known)
        return Plan(declaration, api, self.log.with_name("applied.json"), key="key", **options)

    def apply(self, path, **options):
        """Apply a declaration; returns the steps."""
        return list(self.plan(path, **{"lenient": True, **options}).apply())

    def _healthy(self):
        assert is_alive(self.pid), self.log.read_text()
        try:
            return self.client.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def connection_id(self, name):
        """Id of a connection, looked up by its name."""
        return {c["name"]: c["connectionId"] for c in self.client.get("/connections").json()["data"]}[name]

    def submit(self, name):
        """Start a sync; returns the job."""
        answer = self.client.post("/jobs", json={"connectionId": self.connection_id(name), "jobType": "sync"})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def job(self, job_id):
        """The current state of a job."""
        return self.client.get(f"/jobs/{job_id}").json()

    def ended(self, job_id):
        """Wait until a job has ended; returns it."""
        return wait_until(lambda: (job := self.job(job_id))["status"] not in ("running", "incomplete") and job)

    def sync(self, name):
        """Run a sync to its end; returns the job."""
        return self.ended(self.submit(name)["jobId"])

    def end(self, number):
        """End the process with a signal, if it is running."""
        if self.pid and is_alive(self.pid):
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
            wait_until(lambda: not is_alive(self.pid))
