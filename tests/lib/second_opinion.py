"""local-bigquery, another emulator of BigQuery, for tests that run on both; standard library only, as conftest.py.

A test module imports tests, the fixtures of this module, and has `DIFFERENCES`: by name of a test, with or without its
parameters, why it fails on local-bigquery. Where both agree, a fact does not hang on one emulator.
"""

import json
import os
import shutil
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import ENVIRONMENTS, ROOT, bigquery

UV, FOLDER = ENVIRONMENTS / "uv" / "bin" / "uv", ENVIRONMENTS / "local-bigquery"
START = Path(__file__).with_name("start_local_bigquery.py")
IMAGE, DOCKERFILE = "mlops-tests-local-bigquery", Path(__file__).with_name("local-bigquery.Dockerfile")


@pytest.fixture(autouse=True)
def known_difference(request):
    """Expects the failure of a test that DIFFERENCES names, and of no other one."""
    known = request.module.DIFFERENCES
    for name in known.keys() & {request.node.name, request.node.originalname}:
        request.applymarker(pytest.mark.xfail(reason=known[name], strict=True))


@pytest.fixture
def nothing_remains(bigquery_server):
    """Forgets the test's projects."""
    yield
    reset = urllib.request.Request(f"{bigquery_server['url']}/reset", method="POST")
    urllib.request.urlopen(reset, timeout=60).close()


@pytest.fixture(scope="session")
def bigquery_server(tmp_path_factory):
    """The local-bigquery of this test session, in Python 3.13 of this machine, or else in a container."""
    python = installed()
    command = [python] if python else ["docker", "run", "--rm", "--interactive", "--network=host"]
    command += [START] if python else [f"--volume={START}:/start.py:ro", image(), "/start.py"]
    with bigquery(tmp_path_factory.mktemp("local-bigquery"), command=command) as server:
        yield server


def installed() -> Path | None:
    """The Python of the locked environment; None if this machine has no Python 3.13."""
    python = FOLDER / "bin" / "python"
    wanted = os.environ.get("PYTHON313", "3.13")
    made = [UV, "venv", "--quiet", "--allow-existing", "--python", wanted, FOLDER]
    if not python.exists() and subprocess.run(made, capture_output=True).returncode:
        return None
    lock = ROOT / "requirements" / "local-bigquery.txt"
    subprocess.run([UV, "pip", "sync", "--quiet", "--require-hashes", "--python", python, lock], check=True)
    return python


def image() -> str:
    """The image with the same packages, on Python 3.13 or Debian trixie's; skips where there is no base image."""
    needed = "local-bigquery needs Python 3.13 (PYTHON313 may name it) or Docker"
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True).returncode:
        pytest.skip(f"{needed}; neither is on this machine")
    base = [ROOT / "docker" / "images", "python:3.13-slim-trixie", "trixie"]
    done = subprocess.run(base, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{needed} with {base[1]}: {(done.stdout + done.stderr).strip()}")
    secrets = {"certificates": "certificates.pem", "pip": "pip.conf"}
    build = {"context": str(ROOT), "dockerfile": str(DOCKERFILE), "secrets": list(secrets)}
    files = {name: {"file": str(ROOT / "var" / "build" / file)} for name, file in secrets.items()}
    given = {"name": IMAGE, "services": {IMAGE: {"image": IMAGE, "build": build}}, "secrets": files}
    # Compose has the builder that the secrets need.
    command = ["docker", "compose", "--file", "-", "build"]
    subprocess.run(command, input=json.dumps(given), text=True, check=True)
    return IMAGE
