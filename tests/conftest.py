"""What every test may use; standard library only, since each folder of tests runs in an environment of its own."""

import csv
import io
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import sql_analysis
import yaml

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENTS = ROOT / "var" / "env"
EMULATOR = (ENVIRONMENTS / "emulators" / "bin" / "python", "-m", "emulators.bigquery", "--until-stdin-closes")
# Files that take minutes.
LONGEST = ("test_torture.py", "test_bad_input.py", "test_stack.py", "test_backup.py")
# gcsfs would ask another service of Google for the kind of each bucket, for a minute; it reads this at its import.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
# A shell's background job ignores Ctrl-C, and the programs that it starts do, too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Run the longest files first, and each file in one process unless it names a group of its own."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.name))


class PostgresServer:
    """A real PostgreSQL server that ends with the tests."""

    def __init__(self, host: str, port: int, password: str, psql: str):
        self.admin = {"host": host, "port": port, "user": "postgres", "password": password, "database": "postgres"}
        self._psql = psql
        self._numbers = itertools.count(1)

    def database(self) -> dict:
        """A new, empty database owned by a role of its own: host, port, database, user, password."""
        name = f"test_{next(self._numbers)}"
        self.psql(self.admin, f"create role {name} login password '{name}-password'")
        self.psql(self.admin, f"create database {name} owner {name}")
        return {**self.admin, "database": name, "user": name, "password": f"{name}-password"}

    def psql(self, database: dict, sql: str) -> list[list[str]]:
        """Rows that `sql` answers, each value as text, null as an empty one."""
        environment = {"PGPASSWORD": database["password"], "PGCLIENTENCODING": "UTF8", "PATH": os.environ["PATH"]}
        command = [self._psql, "-h", database["host"], "-p", str(database["port"]), "-U", database["user"]]
        command += ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-t", "--csv", "-d", database["database"], "-f", "-"]
        done = subprocess.run(command, input=sql, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return list(csv.reader(io.StringIO(done.stdout)))


def application_config(name: str = "tagifai", **sections: dict) -> dict:
    """The settings of config/base.yaml with an application's laid over them, and these over both."""
    config = ROOT / "config"
    merged = yaml.safe_load((config / "base.yaml").read_text())
    for over in (yaml.safe_load((config / "applications" / f"{name}.yaml").read_text()), sections):
        merged = merged | {
            key: merged[key] | value if isinstance(value, dict) and isinstance(merged.get(key), dict) else value
            for key, value in over.items()
        }
    return merged


def warehouse_env(database: dict) -> dict[str, str]:
    """Environment variables that make `database` the warehouse."""
    settings = {"type": "postgres", **database}
    return {f"MLOPS_WAREHOUSE__{key.upper()}": str(value) for key, value in settings.items()}


@pytest.fixture(scope="session")
def postgres(tmp_path_factory):
    """A PostgresServer of this test session."""
    command = [
        ENVIRONMENTS / "stack" / "bin" / "python",
        "-m",
        "devtools.postgres_server",
        tmp_path_factory.mktemp("server"),
    ]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    assert line, "the test server did not start"
    yield PostgresServer(**json.loads(line))
    process.stdin.close()
    process.wait(timeout=30)


@contextmanager
def bigquery(folder: Path, *options: object, command: Sequence[object] = EMULATOR) -> Iterator[dict]:
    """A BigQuery in memory: `url`, as BIGQUERY_EMULATOR_HOST has it, and `grpc`, host:port."""
    log = folder / "log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [*command, *options], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    address = next((line for line in process.stdout if line.startswith("{")), None)
    assert address, f"the emulator did not start: {log.read_text()}"
    yield json.loads(address)
    process.stdin.close()
    process.wait(timeout=60)


@pytest.fixture(scope="session")
def bigquery_server(tmp_path_factory):
    """The BigQuery of this test session; at its end, Google's analyser has to accept what it ran."""
    folder = tmp_path_factory.mktemp("bigquery")
    statements = folder / "statements.jsonl"
    with bigquery(folder, "--statements", statements) as server:
        yield server
    # BigQuery refuses much that the emulator runs.
    refused = sql_analysis.refused(statements)
    assert not refused, "Google's analyser refuses queries of these tests:\n\n" + "\n\n".join(map(str, refused))


@pytest.fixture(scope="session")
def bigquery_emulator(bigquery_server):
    """Address of a BigQuery of this test session, as BIGQUERY_EMULATOR_HOST has it."""
    return bigquery_server["url"]


@pytest.fixture(scope="session")
def google_key(bigquery_server, tmp_path_factory):
    """Key file of a service account that the stand-ins accept."""
    key = tmp_path_factory.mktemp("google") / "key.json"
    command = [ENVIRONMENTS / "emulators" / "bin" / "python", "-m", "emulators.service_account", key]
    subprocess.run([*command, "--url", bigquery_server["url"]], cwd=ROOT, check=True)
    return key


@pytest.fixture(scope="session")
def make_project(bigquery_server, google_key):
    """Function that makes an empty project of the stand-in for BigQuery, a bigquery_testing.Project."""
    # Needs Google's client, which not every folder's tests have.
    from bigquery_testing import Project

    return lambda: Project(bigquery_server, google_key)


@pytest.fixture(scope="session")
def cluster():
    """A Kubernetes with a namespace of this session: the one that KUBECONFIG names, or else our own."""
    from cluster_testing import kubernetes

    with kubernetes() as found:
        yield found


@pytest.fixture(scope="session")
def storage_server(tmp_path_factory):
    """Address of a Cloud Storage of this test session, as STORAGE_EMULATOR_HOST has it, with the bucket `a-bucket`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = probe.getsockname()
    command = [ENVIRONMENTS / "emulators" / "bin" / "python", "-m", "emulators.storage", "--bucket", "a-bucket"]
    command += ["--port", str(address[1]), "--data", tmp_path_factory.mktemp("storage")]
    process = subprocess.Popen(command, cwd=ROOT)
    deadline = time.monotonic() + 120
    while True:
        assert process.poll() is None, "the server did not start"
        assert time.monotonic() < deadline, "the server does not answer"
        try:
            socket.create_connection(address).close()
            break
        except ConnectionRefusedError:
            time.sleep(0.05)
    yield f"http://127.0.0.1:{address[1]}"
    process.terminate()
    process.wait(timeout=30)


@pytest.fixture
def bucket(storage_server, monkeypatch):
    """Root of an empty folder of a bucket, gs://…, which Google's clients of this process reach."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage_server)
    return f"gs://a-bucket/{uuid.uuid4().hex}"


@pytest.fixture
def browser(tmp_path, monkeypatch):
    """Headless Chromium that reaches nothing but this machine, and notes what it asks for."""
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    if missing := [name for name, path in programs.items() if not path]:
        # CI installs them.
        unable = pytest.fail if "CI" in os.environ else pytest.skip
        unable(f"{' and '.join(missing)} missing here (Debian: apt install chromium chromium-driver)")
    for name, value in {"SE_OFFLINE": "true", "SE_AVOID_STATS": "true", "no_proxy": "127.0.0.1,localhost"}.items():
        monkeypatch.setenv(name, value)
    # Needs the environment of the test tools, which not every folder's tests have.
    from browser_testing import Browser

    with Browser(tmp_path / "profile", **programs) as browser:
        yield browser
