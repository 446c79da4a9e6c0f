"""Docker's engine and Compose: whether they are there and new enough for docker-compose.yml, and a call of theirs."""

import json
import re
import shutil
import subprocess
from typing import Any

from stack.checks import Check
from stack.settings import ROOT

# BuildKit's secrets and all that the file asks of the engine.
ENGINE = (20, 10)
# `required: false` of depends_on: https://github.com/docker/compose/releases/tag/v2.20.2
COMPOSE = (2, 20, 2)
# Seconds for an answer of Docker's; a container that looks into a volume has to start.
PATIENCE = 60


def compose() -> Check:
    """Whether Compose is there and new enough for docker-compose.yml."""
    version = docker("compose", "version", "--short").stdout.strip()
    needed = ".".join(map(str, COMPOSE))
    remedy = "install Docker's plugin docker-compose-plugin (Debian 13: apt install docker-compose)"
    if not version:
        return Check("Compose", "fail", f"no Compose v2; {needed} or newer is needed", remedy)
    if _numbers(version) < COMPOSE:
        return Check("Compose", "fail", f"Compose {version} is too old; {needed} or newer is needed", remedy)
    return Check("Compose", "ok", version)


def engine() -> tuple[Check, dict[str, Any]]:
    """Whether an engine answers us and is new enough; and what it tells of itself."""
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
            return Check("Docker", "fail", "this user may not talk to the engine", remedy), {}
        remedy = "start it: `sudo systemctl start docker`; `docker info` says more"
        return Check("Docker", "fail", "no Docker engine answers", remedy), {}
    if _numbers(version) < ENGINE:
        found = f"Docker Engine {version} is too old; {'.'.join(map(str, ENGINE))} or newer is needed"
        return Check("Docker", "fail", found, "upgrade it"), {}
    return Check("Docker", "ok", f"engine {version} answers"), told


def docker(*words: str) -> subprocess.CompletedProcess[str]:
    """A finished docker command; one that hangs or is not there is a failed one."""
    return finished("docker", *words)


def finished(*command: str) -> subprocess.CompletedProcess[str]:
    """A finished command; one that hangs or is not there is a failed one."""
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
