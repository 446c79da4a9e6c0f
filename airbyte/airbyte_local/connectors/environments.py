"""Connectors from the package index, each installed in its own locked environment."""

import fcntl
import logging
import re
import subprocess
import sys
import sysconfig
from collections.abc import Sequence, Set
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

from airbyte_protocol.models import FailureType

from airbyte_local.settings import installer_environment

# Names as in PEP 508, and canonical versions as in PEP 440.
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.IGNORECASE)
_VERSION = re.compile(r"([0-9]+!)?[0-9]+(\.[0-9]+)*((a|b|rc)[0-9]+)?(\.post[0-9]+)?(\.dev[0-9]+)?")
# Lines of a program's output that are quoted if it fails.
LAST_LINES = 8
_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_UNREACHABLE = "Failed to fetch|Failed to download|Request failed"
# Patterns in uv's output, and what to do; the first match counts.
_FAILURES = {
    "network was disabled": (
        "a package is not in uv's cache, and UV_OFFLINE forbids the network: unset it, or see docs/connectors.md"
    ),
    "Hash mismatch": (
        "the index has another file than the lock file: find out why before you delete the lock file, {lock}"
    ),
    _UNREACHABLE: "the package index does not answer: check the network, then sync again",
    "does not satisfy Python|requires Python|no wheels with a matching": (
        "it or a dependency does not support Python {python} on this machine: use another version of {name}"
    ),
    "there is no version of|not found in the package registry": (
        "it or a dependency does not exist: correct `package` or `version` of {name} in connectors.yaml"
    ),
    "No solution found": "its dependencies conflict: use another version",
    "": "uv failed: fix the error below, then sync again",
}


class ConnectorInstallError(Exception):
    """A connector cannot be installed; the message says why and what to do."""

    def __init__(self, message: str, failure_type: FailureType = FailureType.config_error):
        super().__init__(message)
        self.failure_type = failure_type


def explain(output: str, failures: dict[str, str], transient: Set[str]) -> tuple[str, FailureType]:
    """What to do about a failure, and its type: transient for these patterns, else config_error if any matches."""
    words = next(words for words in failures if re.search(words, output))
    kind = FailureType.transient_error if words in transient else FailureType.config_error
    return failures[words], kind if words else FailureType.system_error


def run_program(
    command: Sequence[str | Path], run: str, *, input: str = "", **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run uv or docker as part of a run, with its output as text; `options` are those of `subprocess.run`."""
    environment = installer_environment(run)
    return subprocess.run(
        command, input=input, capture_output=True, text=True, errors="backslashreplace", env=environment, **options
    )


def executable(package: str, version: str, *, folder: Path, uv: Path, run: str, log: logging.Logger) -> Path:
    """The program of a connector from the package index, such as airbyte-source-faker 7.2.1.

    It is the console script of the package; if there are several, the one with the package's name without `airbyte-`.

    The first call resolves and installs the package and its dependencies in `folder`/PACKAGE-VERSION: a lock file with
    hashes, `requirements.txt`, and the environment, `env`. Later calls reuse it. If a call is killed, the next one
    installs from the same lock file. Of concurrent calls, also in other processes, only one installs. `run` marks the
    process of uv, for `process.end_orphans`.

    Raises:
        ConnectorInstallError: the name or version is invalid, or the package cannot be installed or has no such script.
    """
    if not _NAME.fullmatch(package):
        wrong = f"connector package {package!r}: a name consists of letters and digits, with . _ - between them"
        raise ConnectorInstallError(f"{wrong}; correct `package` in airbyte/connectors.yaml")
    if not _VERSION.fullmatch(version):
        wrong = f"connector package {package}, version {version!r}: an exact version is required, such as 1.2.3"
        raise ConnectorInstallError(f"{wrong}; correct `version` in airbyte/connectors.yaml")
    name = re.sub(r"[-_.]+", "-", package).lower()
    return _Environment(name, version, folder.resolve() / f"{name}-{version}", uv, run, log).executable()


class _Environment:
    def __init__(self, name: str, version: str, home: Path, uv: Path, run: str, log: logging.Logger):
        self._name = name
        self._version = version
        self._home = home
        self._lock = home / "requirements.txt"
        self._env = home / "env"
        self._python = self._env / "bin" / "python"
        # Written last; contains the path of the script.
        self._ready = home / ".ready"
        self._uv_program = uv
        self._run = run
        self._log = log

    def executable(self) -> Path:
        if script := self._made():
            return script
        self._home.mkdir(parents=True, exist_ok=True)
        with (self._home / ".lock").open("w") as held:
            # uv inherits the open file: if this process is killed, the next one waits until its uv has ended.
            fcntl.flock(held, fcntl.LOCK_EX)
            return self._made() or self._make(held.fileno())

    def _made(self) -> Path | None:
        """The script, or None if the environment is incomplete, was moved, or its Python no longer exists."""
        try:
            script = Path(self._ready.read_text())
        except FileNotFoundError:
            return None
        return script if script.parent == self._python.parent and script.exists() and self._python.exists() else None

    def _make(self, held: int) -> Path:
        self._log.info("installing the connector %s %s into %s", self._name, self._version, self._home)
        self._ready.unlink(missing_ok=True)
        if not self._lock.exists():
            options = ["--generate-hashes", "--no-emit-index-url", "--no-header", "--python", sys.executable]
            resolved = self._uv(held, "pip", "compile", *options, "-", given=f"{self._name}=={self._version}")
            new = self._lock.with_suffix(".new")
            new.write_text(resolved)
            new.replace(self._lock)
        self._uv(held, "venv", "--clear", "--python", sys.executable, self._env)
        options = ["--require-hashes", "--compile-bytecode", "--python", self._python]
        self._uv(held, "pip", "sync", *options, self._lock)
        script = self._python.with_name(self._script())
        self._ready.write_text(str(script))
        self._log.info("the connector %s %s is installed", self._name, self._version)
        return script

    def _uv(self, held: int, *arguments: str | Path, given: str = "") -> str:
        try:
            done = run_program([self._uv_program, *arguments, "--quiet"], self._run, input=given, pass_fds=[held])
        except FileNotFoundError:
            raise self._error(f"{self._uv_program} is missing: run `make setup`") from None
        if done.returncode:
            remedy, kind = explain(done.stderr, _FAILURES, {_UNREACHABLE})
            remedy = remedy.format(lock=self._lock, python=_PYTHON, name=self._name)
            said = "\n".join(done.stderr.splitlines()[-LAST_LINES:])
            raise self._error(f"{remedy}\n{said}", kind)
        return done.stdout

    def _script(self) -> str:
        packages = sysconfig.get_path("purelib", "venv", vars={"base": str(self._env)})
        found = Distribution.discover(name=self._name, path=[packages])
        scripts = [entry.name for each in found for entry in each.entry_points.select(group="console_scripts")]
        own = self._name.removeprefix("airbyte-")
        if len(scripts) != 1 and own not in scripts:
            has = f"the console scripts {', '.join(sorted(scripts))}" if scripts else "no console script"
            wrong = f"it has {has}, so it is not a connector; correct `package` in airbyte/connectors.yaml"
            raise self._error(wrong)
        return scripts[0] if len(scripts) == 1 else own

    def _error(self, text: str, kind: FailureType = FailureType.config_error) -> ConnectorInstallError:
        return ConnectorInstallError(f"the connector {self._name} {self._version} cannot be installed: {text}", kind)
