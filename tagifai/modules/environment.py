"""Environments of modules, made by uv and cached by the hash of their requirements."""

import fcntl
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from tagifai import fingerprint
from tagifai.errors import ServiceError, TagifaiError
from tagifai.modules.source import PYTHON, Source
from tagifai.settings import Settings

# Variables that uv gets: its own, and those for files and the network; none of ours.
_INSTALLER = re.compile(r"UV_.*|XDG_.*|HOME|PATH|TMPDIR|SSL_CERT_.*|(http|https|all|no)_proxy", re.IGNORECASE)
# Patterns in uv's output, and what to do; the first match counts, and the first is temporary.
_UNREACHABLE = "Failed to fetch|Failed to download|Request failed|error sending request"
_REMEDIES = {
    "network was disabled": "a package is not in uv's cache, and UV_OFFLINE forbids the network: unset it",
    "no usable wheels": "a version has no wheel for Python {python} on this machine: pin another version",
    _UNREACHABLE: "the package index does not answer: check the network",
    "no version of|not found in the package registry": "correct the name or the version",
    "No solution found": "correct the versions, so that they fit each other and Python {python}",
    "": "uv failed: free some space on the disk or correct the requirements",
}
# Lines of uv's output that are quoted.
_LAST_LINES = 8


@contextmanager
def held(settings: Settings, source: Source) -> Generator[Path]:
    """Make a module's environment, unless it is cached, and keep it while the context lasts.

    It lies below var/modules. It is made beside its final name and renamed, by one process at a time. Afterwards only
    the latest used ones are kept, `train.keep_environments` of them, and those that are in use.

    Yields:
        The environment's Python.

    Raises:
        TagifaiError: the requirements cannot be installed; the message names the module and quotes uv.
        ServiceError: the package index does not answer.
    """
    root = settings.var.resolve() / "modules"
    root.mkdir(parents=True, exist_ok=True)
    name = fingerprint.digest([source.requirements, PYTHON, sys.base_prefix, platform.machine()])
    folder = root / name
    with locked(root, name, fcntl.LOCK_SH) as lock:
        while not _is_made(folder):
            # One process makes it; the others wait here, then find it. Until the lock is shared, it may be deleted.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _is_made(folder):
                _make(folder, source, lock)
            fcntl.flock(lock, fcntl.LOCK_SH)
        os.utime(folder)
        _delete_oldest(root, keep=settings.train.keep_environments)
        yield folder / "bin" / "python"


def packages(python: Path) -> list[str]:
    """All packages of an environment, as NAME==VERSION."""
    return _run_uv(["pip", "freeze", "--python", python]).stdout.splitlines()


def _is_made(folder: Path) -> bool:
    return (folder / "bin" / "python").exists()


def _make(folder: Path, source: Source, lock: IO[str]) -> None:
    new = folder.with_suffix(".new")
    shutil.rmtree(folder, ignore_errors=True)
    # Left behind by a process that was killed.
    shutil.rmtree(new, ignore_errors=True)
    python = new / "bin" / "python"
    # Only wheels: a package that is built here runs its own code, with build tools that nobody has pinned.
    install = ["pip", "install", "--only-binary", ":all:", "--python", python, "-r", "-"]
    for arguments in (["venv", "--python", sys.executable, new], install):
        # uv inherits the lock: if this process is killed, the next one waits until its uv has ended.
        done = _run_uv(arguments, given="\n".join(source.requirements), pass_fds=[lock.fileno()])
        if done.returncode:
            raise _error(source, done.stderr)
    new.rename(folder)


def _error(source: Source, output: str) -> TagifaiError:
    pattern = next(each for each in _REMEDIES if re.search(each, output))
    kind = ServiceError if pattern == _UNREACHABLE else TagifaiError
    remedy, said = _REMEDIES[pattern].format(python=PYTHON), " ".join(output.splitlines()[-_LAST_LINES:])
    return kind(f"module {source.uri}: its requirements cannot be installed: {remedy}. uv: {said}")


def _run_uv(
    arguments: list[str | Path], *, given: str = "", pass_fds: list[int] | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if _INSTALLER.fullmatch(name)}
    return subprocess.run(
        [_uv(), *arguments, "--quiet"],
        input=given,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        env=environment | {"UV_PYTHON_DOWNLOADS": "never"},
        pass_fds=pass_fds or (),
    )


def _uv() -> str:
    """The locked uv, which lies beside the environment of this process, or the one on the path."""
    beside = Path(sys.prefix).parent / "uv" / "bin" / "uv"
    if found := str(beside) if beside.exists() else shutil.which("uv"):
        return found
    raise TagifaiError(f"uv, which makes the environments of modules, is neither {beside} nor on the path: install it")


@contextmanager
def locked(root: Path, name: str, mode: int) -> Generator[IO[str]]:
    """Hold a lock by the name of a folder in `root`; a BlockingIOError if others hold it and `mode` is not to wait."""
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, mode)
        yield lock


def _delete_oldest(root: Path, *, keep: int) -> None:
    made = []
    # Neither locks nor what is being made beside.
    for folder in (each for each in root.iterdir() if not each.suffix):
        # Another process may delete it meanwhile.
        with suppress(FileNotFoundError):
            made.append((-folder.stat().st_mtime, folder))
    for _, folder in sorted(each for each in made if _is_made(each[1]))[keep:]:
        try:
            with locked(root, folder.name, fcntl.LOCK_EX | fcntl.LOCK_NB):
                gone = folder.with_suffix(".new")
                # In one step, so that a half-deleted environment is never used.
                folder.rename(gone)
                shutil.rmtree(gone, ignore_errors=True)
        except BlockingIOError:
            continue
