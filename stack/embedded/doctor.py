"""`make doctor` of the embedded place; its quick checks also run before each start."""

import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
from rich.console import Console

from stack import places
from stack.checks import GB, Check, describe, instance_of, show, show_all
from stack.embedded.machine import clock, disk, docker, inodes, memory, ports, python, tools
from stack.embedded.settings import load
from stack.embedded.supervision import Stack
from stack.embedded.supervisor import processes_of
from stack.environments import names
from stack.errors import StackError
from stack.pods.preparation import USER
from stack.pods.settings import addresses, types
from stack.settings import ENVIRONMENTS, ROOT, ConfigError, Settings

# Bytes that the environments take.
SETUP = 3 * GB
# Seconds that a process that was killed may take to end.
ENDING = 3
# Bytes of var's path: a socket's address, with the id that the supervisor puts behind it at first, has at most 107.
LONGEST_PATH = 107 - len("/run/supervisor.sock.4194304")


def path(stack: Stack) -> Check:
    """Check that the path is short enough for a socket below it."""
    var = stack.settings.var
    length = len(os.fsencode(var))
    if length > LONGEST_PATH:
        found = f"{var}: the path is too long for a socket, {length} bytes of at most {LONGEST_PATH}"
        return Check("path", "fail", found, "move the repository nearer to /, or give a shorter VAR=…")
    return Check("path", "ok", f"{var}, short enough for a socket")


def scripts(stack: Stack) -> Check:
    """Check that the environments' programs start their own Python, not one at an earlier place of the repository."""
    if moved := [name for name in names(stack.settings) if _is_moved(ENVIRONMENTS / name)]:
        remedy = f"delete {ENVIRONMENTS}, then `make setup`"
        return Check("scripts", "fail", f"made for another folder than {ENVIRONMENTS}: {', '.join(moved)}", remedy)
    return Check("scripts", "ok", "the environments have not been moved")


def database(stack: Stack) -> Check:
    """Check that no lock file keeps PostgreSQL from starting, because its process id now belongs to another process."""
    file = stack.settings.var / "postgres" / "postmaster.pid"
    try:
        process = psutil.Process(int(file.read_text().partition("\n")[0]))
        if instance_of(process) == str(stack.settings.var):
            return Check("database", "ok", "PostgreSQL runs")
        with suppress(psutil.TimeoutExpired):
            # One that is ending has no environment any more.
            process.wait(ENDING)
        # PostgreSQL looks only at processes of its own user.
        if process.uids().real == file.stat().st_uid:
            found = f"{file} was left behind, and its process id now belongs to {describe(process)}"
            return Check("database", "fail", found, f"delete {file}")
    except (OSError, ValueError, psutil.Error):
        pass  # no file, or no process of that id
    return Check("database", "ok", "PostgreSQL left no lock file")


def folder(stack: Stack) -> Check:
    """Check that this user owns and can write the instance's folders."""
    var = stack.settings.var
    folders = [var, *(each for each in var.iterdir() if each.name != "postgres")]
    remedy = f"sudo chown -R {pwd.getpwuid(os.geteuid()).pw_name} {var}"
    if closed := [each for each in folders if not os.access(each, os.R_OK | os.W_OK)]:
        return Check("folder", "fail", f"{closed[0]} cannot be written", remedy)
    # Pods of root's instance write to one of them.
    owners = {os.geteuid(), *([USER] if types(stack.settings.config) else [])}
    if foreign := [each for each in folders if each.stat().st_uid not in owners]:
        found = f"{foreign[0]} belongs to user {foreign[0].stat().st_uid}, who may be unable to read what you write"
        return Check("folder", "warn", found, remedy)
    return Check("folder", "ok", f"{var} belongs to this user and can be written")


def locks(stack: Stack) -> Check:
    """Check that no other command uses the instance, and that a killed one left no processes."""
    if holder := _locker(stack.settings.var / "run" / "lock"):
        remedy = "wait until it ends, or press Ctrl-C there"
        return Check("locks", "fail", f"another command is using this instance: {holder}", remedy)
    processes, states = processes_of(stack.settings.var), stack.states()
    if processes and not states:
        listed = ", ".join(f"{process.info['name']} {process.pid}" for process in processes[:5])
        found = f"{len(processes)} processes are left without a supervisor: {listed}"
        return Check("locks", "warn", found, "`make down` ends them, and so does the next start")
    return Check("locks", "ok", f"no other command is running, the stack is {'up' if states else 'down'}")


def environments(stack: Stack) -> Check:
    """Check that every environment exists and holds the locked packages."""
    every = names(stack.settings)
    if stale := [name for name in every if not _is_set_up(name)]:
        free = shutil.disk_usage(ENVIRONMENTS).free
        found = f"missing or older than their lock: {', '.join(stale)}"
        if free < SETUP:
            found = f"{found}; setting up takes {SETUP / GB:.0f} GB, and {free / GB:.1f} GB are free"
            return Check("environments", "fail", found, f"free some space on the disk of {ENVIRONMENTS}")
        return Check("environments", "warn", found, "`make setup`; commands that need them run it first")
    if wrong := [name for name in every if not _holds_what_is_locked(name)]:
        remedy = f"delete {', '.join(str(ENVIRONMENTS / name) for name in wrong)}, then `make setup`"
        return Check("environments", "fail", f"differ from their lock: {', '.join(wrong)}", remedy)
    return Check("environments", "ok", f"{', '.join(every)} hold the locked packages")


def sources(stack: Stack) -> Check:
    """Check that folders with source files have those of their applications."""
    configs = stack.settings.configs
    folders = {name: Path(config["source"]) for name, config in configs.items() if "://" not in config["source"]}
    for name, folder in folders.items():
        if lacking := places.lacking(configs[name], folder):
            found = f"{folder} has no {' and no '.join(lacking)}, which {name} reads"
            return Check("sources", "fail", found, "correct `source` or `file` in its file of config/applications")
    return Check("sources", "ok", "; ".join(f"{name} reads {config['source']}" for name, config in configs.items()))


QUICK: tuple[Callable[[Stack], Check], ...] = (tools, ports, memory, disk, inodes, clock, path, scripts, database)
FULL = (python, *QUICK, sources, folder, locks, environments, docker)


def look(console: Console, *, place: str, var: Path, config: Path | None) -> bool:
    """Print the results of all checks; returns whether a run could start."""
    return show_all(_checks(place, var, config, console), "make run", console)


def _checks(place: str, var: Path, config: Path | None, console: Console) -> Iterator[Check]:
    try:
        stack = Stack(load(var, place=place, config=config))
        yield Check("settings", "ok", f"valid; applications: {', '.join(stack.settings.configs)}")
        yield from (check(stack) for check in FULL)
        if stack.settings.config["warehouse"]["type"] == "bigquery" and not stack.settings.is_emulated:
            # Importing Google's libraries takes a second.
            from stack import bigquery

            yield from bigquery.checks(stack.settings)
        if wrong := [*secrets(stack.settings)]:
            yield from wrong
            return
        yield from _pods(stack.settings, console)
    except ConfigError as error:
        yield Check("settings", "fail", str(error), "fix it; then the other checks can run")
    except OSError as error:
        remedy = f"let user {os.geteuid()} write to {var}, or use another folder, VAR=…"
        yield Check("folder", "fail", f"{error.filename}: {error.strerror}", remedy)


def _pods(settings: Settings, console: Console) -> Iterator[Check]:
    """The checks of pods, if any task runs in one; the last only if the others are good."""
    if not types(settings.config):
        return
    # The client of Kubernetes takes half a second to import.
    from stack.pods.checks import cluster, probe

    wrong = False
    for check in (addresses(settings), *cluster(settings)):
        yield check
        wrong = wrong or check.state == "fail"
    if not wrong:
        yield from probe(settings, console)


def require(stack: Stack, console: Console) -> None:
    """Print warnings of the quick checks; a StackError lists all that failed, with the remedies."""
    found = [check(stack) for check in QUICK]
    if types(stack.settings.config):
        found.append(addresses(stack.settings))
    found += secrets(stack.settings)
    show([check for check in found if check.state == "warn"], console)
    if wrong := [check for check in found if check.state == "fail"]:
        raise StackError("\n".join(f"{check.found}: {check.remedy}" for check in wrong))


def secrets(settings: Settings) -> Iterator[Check]:
    """Checks that fail, of the secrets that the settings need from elsewhere."""
    warehouse = settings.config["warehouse"]
    if (key := warehouse.get("keyfile")) and not os.access(key, os.R_OK):
        yield Check("key file", "fail", f"the key file {key} cannot be read", "correct warehouse.keyfile")
    # Without it, a second terminal would replace the pods' password by none.
    if "host" in warehouse and "password" not in warehouse and "MLOPS_WAREHOUSE__PASSWORD" not in os.environ:
        found = f"MLOPS_WAREHOUSE__PASSWORD is not set, the password of the user at {warehouse['host']}"
        yield Check("password", "fail", found, "export it; if none is needed, as an empty text")


def _is_moved(environment: Path) -> bool:
    """Whether a program of an environment starts a Python that is not the environment's own."""
    for program in environment.glob("bin/*"):
        with program.open("rb") as file:
            first = file.read(300)
        if re.match(rb"#!.*\bpython", first, re.DOTALL):
            # A folder above may be a link to a larger disk.
            return not any(
                os.fsencode(each / "bin" / "python") in first for each in (environment, environment.resolve())
            )
    return False


def _is_set_up(name: str) -> bool:
    """Whether make takes the environment for made, and made since its lock changed."""
    ready = ENVIRONMENTS / name / ".ready"
    return ready.exists() and ready.stat().st_mtime >= _lock(name).stat().st_mtime


def _holds_what_is_locked(name: str) -> bool:
    # The lock lists all packages; what they require of each other may be overridden in the .in file.
    uv, python = ENVIRONMENTS / "uv" / "bin" / "uv", ENVIRONMENTS / name / "bin" / "python"
    command = [uv, "pip", "install", "--no-deps", "--dry-run", "--offline", "--python", python, "-r", _lock(name)]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode == 0 and "Would make no changes" in done.stderr


def _lock(name: str) -> Path:
    return ROOT / "requirements" / f"{name}.txt"


def _locker(lock: Path) -> str:
    """Who holds a lock, as the kernel lists it; empty: nobody."""
    with suppress(OSError):
        inode = lock.stat().st_ino
        # Such as `1: FLOCK ADVISORY WRITE 4711 fe:00:10010878 0 EOF`.
        if found := re.search(rf"FLOCK +\w+ +\w+ +(\d+) \w+:\w+:{inode} ", Path("/proc/locks").read_text()):
            with suppress(psutil.Error):
                return f"{' '.join(psutil.Process(int(found[1])).cmdline())} (pid {found[1]})"
            return f"pid {found[1]}"
    return ""
