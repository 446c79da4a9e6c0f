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

from airbyte_local.environments import ConnectorInstallError
from airbyte_local.settings import SILENCE, installer_environment

log = logging.getLogger(__name__)

_SERVICE = "airbyte-local.service"
_RUN = "airbyte-local.run"
# Seconds that the engine may take to answer anything but a pull.
_PATIENCE = 30
_LAST_LINES = 8
# Of a socket's peer: process, user, group; the process is 0 where it cannot be seen from here.
_CREDENTIALS = struct.Struct("3i")
_INSTEAD = "or take a {package: …, version: …} in connectors.yaml"
# Words of Docker and of registries, what they mean, and what kind of failure that is; the first that occur count.
_FAILURES = [
    (
        "manifest unknown|manifest for .* not found|repository does not exist|access denied|unauthorized",
        "there is no such image, or it is not for everybody: correct `image` or `tag`, or give `docker login`",
        FailureType.config_error,
    ),
    (
        "no matching manifest",
        f"it is not made for this machine's processor: take another tag, {_INSTEAD}",
        FailureType.config_error,
    ),
    (
        "toomanyrequests",
        "the registry allows no more pulls for now: wait, or give `docker login`, then sync again",
        FailureType.transient_error,
    ),
    (
        "dial tcp|no such host|[Tt]imeout|deadline exceeded|connection re|TLS|proxyconnect|unexpected EOF",
        "the registry does not answer: check the network, then sync again",
        FailureType.transient_error,
    ),
    ("", "docker failed: mend what it says, then sync again", FailureType.system_error),
]


@dataclass(frozen=True)
class Container:
    """The container of one connector.

    Attributes:
        service: id of the service, by which a later process of it finds what this one left.
        run: id of the run, by which the container is found and ended.
    """

    service: str
    run: str

    def command(self, folder: Path) -> list[str]:
        """What comes before the image and its arguments; opens `folder` to the image's user.

        Args:
            folder: with the files for the connector, under one that only this user can enter.
        """
        # An image's files are made for a user of its own, so it keeps it, whatever ours is. Others on this machine
        # cannot come as far as this folder; the container gets it itself.
        folder.chmod(0o755)
        for file in folder.iterdir():
            file.chmod(0o644)
        options = {
            "pull": "never",  # a pull belongs into the job's log, see `fetch`
            "label": f"{_RUN}={self.run}",
            # Unlike --volume, it does not make a folder that the engine does not see.
            "mount": f'type=bind,"source={folder}","target={folder}",readonly',
            # Airbyte starts connectors the same way, see containerSecurityContext in its Helm chart.
            "cap-drop": "ALL",
            "security-opt": "no-new-privileges",
            # The engine would keep every record on its disk.
            "log-driver": "none",
            "add-host": "host.docker.internal:host-gateway",
        }
        given = [f"--{name}={value}" for name, value in options.items()]
        silence = [f"--env={name}={value}" for name, value in SILENCE.items()]
        return ["docker", "run", "--rm", "-i", f"--label={_SERVICE}={self.service}", *given, *silence]

    def end(self) -> None:
        """Kill and remove it, if there is one."""
        _remove(f"{_RUN}={self.run}", self.service)


def end_orphans(service: str) -> None:
    """Kill and remove every container that a former process of this service left behind.

    Args:
        service: id of the service.
    """
    _remove(f"{_SERVICE}={service}", service)


def fetch(image: str, *, run: str, log: logging.Logger) -> None:
    """Have an image on this machine; the first call pulls it.

    Args:
        image: name and tag.
        run: id that marks its process, for `connector.end_orphans`.
        log: of the job that needs the image.

    Raises:
        ConnectorInstallError: it cannot be pulled, or there is no engine that could run it.
    """
    _check_engine(run)
    try:
        found = _docker(run, "image", "inspect", "--format", "{{.Id}}", image)
    except subprocess.TimeoutExpired:
        text = f"the engine has not answered for {_PATIENCE} s: restart it, then sync again"
        raise _unusable(text, FailureType.transient_error) from None
    if found.returncode == 0:
        return
    if found.returncode < 0:  # by `end_orphans`: no pull may follow
        raise _unusable("docker was ended", FailureType.system_error)
    log.info("pulling the image %s", image)
    last: deque[str] = deque(maxlen=_LAST_LINES)
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
        for line in pull.stdout:
            last.append(line.rstrip())
            log.info("docker pull: %s", last[-1])
    if pull.returncode:
        said = "\n".join(last)
        remedy, kind = next((r, k) for words, r, k in _FAILURES if re.search(words, said))
        raise ConnectorInstallError(f"the image {image} cannot be pulled: {remedy}\n{said}", kind)


def _check_engine(run: str) -> None:
    """Raise ConnectorInstallError unless Docker's engine answers and sees this process's files."""
    try:
        asked = _docker(run, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
    except FileNotFoundError:
        raise _unusable(f"there is no program `docker`: install Docker Engine, {_INSTEAD}") from None
    if asked.returncode:
        raise _unusable(f"correct Docker's configuration: {asked.stderr.strip()}")
    scheme, _, address = asked.stdout.strip().partition("://")
    if scheme != "unix":
        raise _unusable(
            f"docker is set to {asked.stdout.strip()}, and only an engine on this machine sees the connector's files:"
            " unset DOCKER_HOST, or give `docker context use default`"
        )
    with socket.socket(socket.AF_UNIX) as engine:
        engine.settimeout(_PATIENCE)
        try:
            engine.connect(address)
        except PermissionError:
            raise _unusable(f"this user may not open {address}: add it to the group docker, then log in anew") from None
        except OSError as error:
            raise _unusable(
                f"the engine does not run ({address}: {error.strerror or error}): start it, such as with"
                " `systemctl start docker`, then sync again",
                FailureType.transient_error,
            ) from None
        peer = engine.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    # A file like /.dockerenv says less: an engine of the same container's own can be used.
    if _CREDENTIALS.unpack(peer)[0] == 0:
        raise _unusable(
            "this is the inside of a container, and the engine is outside, where the connector's files are not: run the"
            f" stack on the machine itself, {_INSTEAD}"
        )


def _remove(label: str, service: str) -> None:
    """Kill and remove the containers that bear a label; where that fails, it stands in the service's log."""
    try:
        # Not the run's mark, by which this very process would be ended.
        found = _docker(service, "ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={label}")
        ids = found.stdout.split()
        done = _docker(service, "rm", "--force", *ids) if ids else found
        # One that has just ended is being removed already.
        if done.returncode and not re.search("already in progress|No such container", done.stderr):
            log.warning("containers with the label %s may be left: %s", label, done.stderr.strip())
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("containers with the label %s may be left: %s", label, error)


def _docker(run: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        env=installer_environment(run),
        timeout=_PATIENCE,
    )


def _unusable(text: str, kind: FailureType = FailureType.config_error) -> ConnectorInstallError:
    return ConnectorInstallError(f"connectors that are container images cannot run here: {text}", kind)
