"""Docker's engine and Compose: checks of their versions, and calls of the `docker` command."""

import json
import re
import shutil
import subprocess
from typing import Any

from stack.checks import Check
from stack.settings import ROOT

# The oldest engine with BuildKit's secrets and the other features of docker-compose.yml.
ENGINE = (20, 10)
# `required: false` of depends_on: https://github.com/docker/compose/releases/tag/v2.20.2
COMPOSE = (2, 20, 2)
# Seconds for a docker command, which may start a container.
PATIENCE = 60


def compose() -> Check:
    """Check that Compose is installed and new enough for docker-compose.yml."""
    version = docker("compose", "version", "--short").stdout.strip()
    if version and _numbers(version) >= COMPOSE:
        return Check("Compose", "ok", version)
    found = f"Compose {version} is too old" if version else "no Compose v2"
    remedy = "install Docker's plugin docker-compose-plugin (Debian 13: apt install docker-compose)"
    return Check("Compose", "fail", f"{found}; {'.'.join(map(str, COMPOSE))} or newer is needed", remedy)


def engine() -> tuple[Check, dict[str, Any]]:
    """Check that an engine answers and is new enough; also returns `docker info`."""
    if not shutil.which("docker"):
        remedy = "install Docker Engine (Debian: apt install docker.io)"
        return Check("Docker", "fail", "docker is not found", remedy), {}
    done = docker("info", "--format", "{{json .}}")
    told = json.loads(done.stdout) if done.stdout.startswith("{") else {}
    version = told.get("ServerVersion")
    if not version:
        errors = " ".join([*(told.get("ServerErrors") or []), *done.stderr.split()])
        if "permission denied" in errors:
            remedy = "`sudo usermod -aG docker $USER`, then log in again"
            return Check("Docker", "fail", "this user may not use the Docker engine", remedy), {}
        remedy = "start it: `sudo systemctl start docker`; see also `docker info`"
        return Check("Docker", "fail", "no Docker engine answers", remedy), {}
    if _numbers(version) < ENGINE:
        found = f"Docker Engine {version} is too old; {'.'.join(map(str, ENGINE))} or newer is needed"
        return Check("Docker", "fail", found, "upgrade it"), {}
    return Check("Docker", "ok", f"engine {version} answers"), told


def docker(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a docker command; one that hangs or does not exist counts as failed."""
    return finished("docker", *words)


def finished(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command; one that hangs or does not exist counts as failed."""
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
