"""Connectors that are container images, run by the Docker engine of this machine."""

import logging
import re
import socket
import struct
import subprocess
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from airbyte_protocol.models import FailureType

from airbyte_local.connectors.environments import LAST_LINES, ConnectorInstallError, explain, run_program
from airbyte_local.settings import SILENCE, installer_environment

log = logging.getLogger(__name__)

_SERVICE = "airbyte-local.service"
_RUN = "airbyte-local.run"
# Seconds that the engine may take to answer any command except a pull.
_PATIENCE = 30
# Process, user and group of a socket's peer; the process is 0 if it is in another container.
_CREDENTIALS = struct.Struct("3i")
_INSTEAD = "or use a {package: …, version: …} in connectors.yaml"
_TRANSIENT = {
    "toomanyrequests": "the registry allows no more pulls for now: wait, or run `docker login`, then sync again",
    "dial tcp|no such host|[Tt]imeout|deadline exceeded|connection re|TLS|proxyconnect|unexpected EOF": (
        "the registry does not answer: check the network, then sync again"
    ),
}
# Patterns in Docker's output, and what to do; the first match counts.
_FAILURES = {
    "manifest unknown|manifest for .* not found|repository does not exist|access denied|unauthorized": (
        "the image does not exist or is not public: correct `image` or `tag`, or run `docker login`"
    ),
    "no matching manifest": f"it does not support this machine's processor: use another tag, {_INSTEAD}",
    **_TRANSIENT,
    "": "docker failed: fix the error below, then sync again",
}


@dataclass(frozen=True)
class Container:
    """The container of one connector."""

    # Id of the service, so that its next process can end containers that this one left behind.
    service: str
    # Id of the run, by which the container is found and ended.
    run: str

    def command(self, folder: Path) -> list[str]:
        """Beginning of the command line, before the image. Makes `folder` readable for the image's user."""
        # The image keeps its own user, since its files are made for it. Other users of this machine cannot reach this
        # folder; the container can, since it is mounted.
        folder.chmod(0o755)
        for file in folder.iterdir():
            file.chmod(0o644)
        options = {
            "pull": "never",  # pulls are logged by `fetch`
            "label": f"{_RUN}={self.run}",
            # Unlike --volume, this does not create a folder that does not exist for the engine.
            "mount": f'type=bind,"source={folder}","target={folder}",readonly',
            # As Airbyte does, see containerSecurityContext in its Helm chart.
            "cap-drop": "ALL",
            "security-opt": "no-new-privileges",
            # Otherwise the engine would store every record on its disk.
            "log-driver": "none",
            "add-host": "host.docker.internal:host-gateway",
        }
        given = [f"--{name}={value}" for name, value in options.items()]
        silence = [f"--env={name}={value}" for name, value in SILENCE.items()]
        return ["docker", "run", "--rm", "-i", f"--label={_SERVICE}={self.service}", *given, *silence]

    def end(self) -> None:
        """Kill and remove the container, if it exists."""
        _remove(f"{_RUN}={self.run}", self.service)


def end_orphans(service: str) -> None:
    """Kill and remove every container that an earlier process of this service left behind."""
    _remove(f"{_SERVICE}={service}", service)


def fetch(image: str, *, run: str, log: logging.Logger) -> None:
    """Pull an image unless this machine has it; raises ConnectorInstallError if it cannot, or no usable engine runs."""
    _check_engine(run)
    try:
        found = _docker(run, "image", "inspect", "--format", "{{.Id}}", image)
    except subprocess.TimeoutExpired:
        text = f"the engine has not answered for {_PATIENCE} s: restart it, then sync again"
        raise _unusable(text, FailureType.transient_error) from None
    if found.returncode == 0:
        return
    if found.returncode < 0:  # killed by `end_orphans`: do not pull
        raise _unusable("docker was ended", FailureType.system_error)
    log.info("pulling the image %s", image)
    last: deque[str] = deque(maxlen=LAST_LINES)
    pull = subprocess.Popen(
        ["docker", "pull", image],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="backslashreplace",
        env=installer_environment(run),
    )
    with pull:
        for line in pull.stdout or ():
            last.append(line.rstrip())
            log.info("docker pull: %s", last[-1])
    if pull.returncode:
        said = "\n".join(last)
        remedy, kind = explain(said, _FAILURES, _TRANSIENT.keys())
        raise ConnectorInstallError(f"the image {image} cannot be pulled: {remedy}\n{said}", kind)


def _check_engine(run: str) -> None:
    """Raise ConnectorInstallError unless Docker's engine answers and can access this process's files."""
    try:
        asked = _docker(run, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
    except FileNotFoundError:
        raise _unusable(f"the program `docker` is missing: install Docker Engine, {_INSTEAD}") from None
    if asked.returncode:
        raise _unusable(f"correct Docker's configuration: {asked.stderr.strip()}")
    scheme, _, address = asked.stdout.strip().partition("://")
    if scheme != "unix":
        raise _unusable(
            f"docker is set to {asked.stdout.strip()}, but only an engine on this machine can access the connector's"
            " files: unset DOCKER_HOST, or run `docker context use default`"
        )
    with socket.socket(socket.AF_UNIX) as engine:
        engine.settimeout(_PATIENCE)
        try:
            engine.connect(address)
        except PermissionError:
            text = f"this user may not open {address}: add the user to the group docker, then log in again"
            raise _unusable(text) from None
        except OSError as error:
            text = f"the engine is not running ({address}: {error.strerror or error}): start it, for example with"
            text += " `systemctl start docker`, then sync again"
            raise _unusable(text, FailureType.transient_error) from None
        peer = engine.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    # Checking for /.dockerenv would also refuse an engine that runs in the same container.
    if _CREDENTIALS.unpack(peer)[0] == 0:
        raise _unusable(
            "this service runs in a container, and the engine outside of it cannot access the connector's files: run"
            f" the stack directly on the machine, {_INSTEAD}"
        )


def _remove(label: str, service: str) -> None:
    """Kill and remove the containers with a label; failures are logged in the service's log."""
    try:
        # Marked with the service instead of the run, since `end_orphans` would kill this process too.
        found = _docker(service, "ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={label}")
        ids = found.stdout.split()
        done = _docker(service, "rm", "--force", *ids) if ids else found
        # A container that has just ended is already being removed.
        if done.returncode and not re.search("already in progress|No such container", done.stderr):
            log.warning("containers with the label %s may be left over: %s", label, done.stderr.strip())
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("containers with the label %s may be left over: %s", label, error)


def _docker(run: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_program(["docker", *arguments], run, timeout=_PATIENCE)


def _unusable(text: str, kind: FailureType = FailureType.config_error) -> ConnectorInstallError:
    return ConnectorInstallError(f"connectors that are container images cannot run here: {text}", kind)
