"""The group `composer`: the check, the bundle, and a deploy of what is deployed already, against stand-ins of Google.

The check and the bundle are of the preset with its examples. The stand-ins are those of the tests, in tests/deploy/lib.
"""

import shutil
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx

from deploy import check, placement
from deploy.bundle import build
from devtools.bench.instance import two_cores
from devtools.bench.table import Options, Row
from devtools.ports import free_port
from stack.environments import command_of
from stack.errors import StackError
from stack.settings import ENVIRONMENTS, ROOT

ROUNDS = 3
# Seconds.
BOUNDS = {"check": 60, "bundle": 10, "unchanged_deploy": 20}
SCRIPT = ROOT / "tests" / "deploy" / "lib" / "unchanged_deploy.py"


def measure(options: Options) -> Generator[Row]:
    """Yield the rows, and each again after every further round."""
    if not shutil.which("gcloud"):
        raise StackError("gcloud is not installed: install the Google Cloud CLI (https://cloud.google.com/sdk)")
    if not (ENVIRONMENTS / "emulators").exists():
        raise StackError("the emulator of Cloud Storage is not set up: make var/env/emulators/.ready")
    rounds, status = options.rounds or ROUNDS, options.console.status
    seconds: dict[str, list[float]] = {name: [] for name in BOUNDS}
    with two_cores():
        for number in range(1, rounds + 1):
            with status(f"composer: the check, {number} of {rounds}"):
                began = time.monotonic()
                result = check.run(placement.PRESET, ROOT / "none")
                if any(each.state == "fail" for each in result.checks):
                    raise StackError("the check finds something: make composer-check")
                seconds["check"].append(time.monotonic() - began)
            yield from _row("check", seconds)
            with status(f"composer: the bundle, {number} of {rounds}"), TemporaryDirectory() as folder:
                began = time.monotonic()
                build(placement.PRESET, *placement.configs(placement.PRESET)).write(Path(folder) / "bundle")
                seconds["bundle"].append(time.monotonic() - began)
            yield from _row("bundle", seconds)
            with status(f"composer: a first deploy and an unchanged one, {number} of {rounds}"):
                seconds["unchanged_deploy"].append(_unchanged_deploy())
            yield from _row("unchanged_deploy", seconds)


def _unchanged_deploy() -> float:
    """Seconds of a deploy that changes nothing."""
    with TemporaryDirectory() as data, TemporaryDirectory() as folder:
        port = free_port()
        options = ["--bucket", "any", "--port", str(port), "--data", data]
        storage = subprocess.Popen(command_of("emulators", "python", "-m", "emulators.storage", *options), cwd=ROOT)
        try:
            url = f"http://127.0.0.1:{port}"
            with httpx.Client(transport=httpx.HTTPTransport(retries=10)) as client:
                client.get(url)
            done = subprocess.run([sys.executable, SCRIPT, url, folder], capture_output=True, text=True)
        finally:
            storage.terminate()
            storage.wait()
    if done.returncode:
        raise StackError(f"{SCRIPT.name} failed: {done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])


def _row(name: str, seconds: dict[str, list[float]]) -> Iterator[Row]:
    found = seconds[name]
    yield Row(name, median(found), "s", BOUNDS[name], rounds=len(found) if len(found) != ROUNDS else None)
