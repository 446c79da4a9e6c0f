"""Checks of the machine for the embedded place."""

import importlib.util
import os
import platform
import pwd
import shutil
import subprocess
import sys
import time
from contextlib import suppress

import psutil

from stack.checks import GB, Check, amount, describe, holder_of, instance_of, is_taken, ports_check
from stack.embedded import postgres
from stack.embedded.supervision import Stack
from stack.embedded.supervisor import processes_of
from stack.settings import ROOT

# Less than the first stops a run, less than the second may. All services and a run on the sample peak at 1.3 GB of
# memory; a new instance and its first run write 0.1 GB in 4,000 files, and PostgreSQL's log of changes may grow.
MEMORY = (1.0 * GB, 2.0 * GB)
DISK = (0.3 * GB, 1.0 * GB)
INODES = (5_000, 20_000)
# Seconds that a file may be ahead of the clock, as a file server's can be.
AHEAD = 60


def python(stack: Stack) -> Check:
    """Check that the launcher's Python can make environments."""
    found = f"{platform.python_version()} in {sys.base_prefix}"
    if lacking := [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]:
        remedy = "install them before you set up again (Debian: apt install python3-venv python3-pip)"
        return Check("Python", "warn", f"{found}, without {' and '.join(lacking)}", remedy)
    return Check("Python", "ok", f"{found}, with venv and pip")


def tools(stack: Stack) -> Check:
    """Check that the programs that the stack calls are installed."""
    packages = {"setpriv": "util-linux"}
    if os.geteuid() == 0 and postgres.SYSTEM_USER not in {user.pw_name for user in pwd.getpwall()}:
        packages["useradd"] = "passwd"
    if lacking := [name for name in packages if not shutil.which(name)]:
        remedy = f"install {' '.join(packages[name] for name in lacking)} with the system's package manager"
        return Check("tools", "fail", f"not found: {', '.join(lacking)}", remedy)
    if not shutil.which("git"):
        return Check("tools", "warn", "not found: git", "install git; without it models do not record their revision")
    return Check("tools", "ok", ", ".join([*packages, "git"]))


def ports(stack: Stack) -> Check:
    """Check that every port is free or used by this instance."""
    known, ours = stack.settings.ports.model_dump(exclude_none=True), str(stack.settings.var)
    holders = {name: holder_of(port) for name, port in known.items() if is_taken(port)}
    strange = {name: describe(each) for name, each in holders.items() if not each or instance_of(each) != ours}
    file = "a file given as CONFIG=…"
    return ports_check(known, strange, in_use=bool(holders), setting="ports.{}".format, file=file)


def memory(stack: Stack) -> Check:
    """Check that there is enough memory, counting what this instance's services use already."""
    available = psutil.virtual_memory().available
    if available < MEMORY[1]:
        used = (process.info["memory_info"] for process in processes_of(stack.settings.var))
        available += sum(each.rss for each in used if each)
    return amount("memory", available, MEMORY, " GB", "available", "end programs that you do not need")


def disk(stack: Stack) -> Check:
    """Check that the disk has room for a run."""
    var = stack.settings.var
    return amount("disk", shutil.disk_usage(var).free, DISK, " GB", "free", f"free some space on the disk of {var}")


def inodes(stack: Stack) -> Check:
    """Check that the disk has room for the number of files of a run."""
    var = stack.settings.var
    status = os.statvfs(var)
    if not status.f_files:
        return Check("inodes", "ok", "not counted by this file system")
    return amount("inodes", status.f_favail, INODES, "", "free", f"delete small files on the disk of {var}")


def clock(stack: Stack) -> Check:
    """Check that the clock is not behind the newest file."""
    var = stack.settings.var
    newest, written = 0.0, ROOT
    for path in (ROOT / "Makefile", *ROOT.glob("requirements/*.txt"), *var.glob("*"), *var.glob("*/*")):
        # Logs come and go meanwhile.
        with suppress(OSError):
            newest, written = max((newest, written), (path.stat().st_mtime, path))
    now = time.time()
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if newest > now + AHEAD:
        found = f"{shown}, but {written} was changed {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(newest))}"
        remedy = "set the clock; or, if it is right and was wrong before, touch the files that are too new"
        return Check("clock", "warn", found, remedy)
    return Check("clock", "ok", f"{shown}, later than every file")


def docker(stack: Stack) -> Check:
    """List the versions of Docker, which `make run` does not need."""
    asked = {
        "client": ["docker", "version", "--format", "{{.Client.Version}}"],
        "daemon": ["docker", "version", "--format", "{{.Server.Version}}"],
        "compose": ["docker", "compose", "version", "--short"],
    }
    found = []
    for part, command in asked.items():
        with suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run(command, capture_output=True, text=True, timeout=5)
            # A client without a daemon tells its own version and fails.
            version = done.stdout.strip().splitlines()[:1]
            found.append(f"{part} {version[0] if version else 'does not answer'}")
    return Check("Docker", "ok", f"{', '.join(found) or 'not found'}; `make run` does not need it")
