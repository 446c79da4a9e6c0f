"""The PostgreSQL server of the container place: wait for it, and create databases and roles."""

import time
from pathlib import Path

import psycopg

from stack import databases
from stack.compose.checks import LOST_PASSWORD
from stack.compose.settings import Settings
from stack.errors import StackError

# Seconds to wait for the container, which creates its cluster at the first start; and for an external server.
PATIENCE = 120
PATIENCE_ELSEWHERE = 20
OLDEST = 15


def wait(settings: Settings, messages: Path) -> None:
    """Wait until the server accepts connections; docker/postgres-start writes why it does not start to `messages`.

    Raises:
        StackError: it does not answer in time, refuses the login, or is too old; the message says how to fix it.
    """
    is_elsewhere, address = bool(settings.environment.postgres_host), _address(settings)
    deadline = time.monotonic() + (PATIENCE_ELSEWHERE if is_elsewhere else PATIENCE)
    while True:
        try:
            with psycopg.connect(**settings.superuser(), dbname="postgres", connect_timeout=5) as connection:
                version = connection.info.server_version // 10000
        except psycopg.OperationalError as error:
            reason = " ".join(str(error).split())
        else:
            if version < OLDEST:
                raise StackError(f"PostgreSQL at {address} is version {version}: {OLDEST} or later is needed")
            # docker/postgres-start wrote it; from now on the cluster holds data.
            if not is_elsewhere:
                (messages / "making").unlink(missing_ok=True)
            return
        if not is_elsewhere and (messages / "reason").exists():
            raise StackError((messages / "reason").read_text().strip())
        wrong = any(words in reason for words in ("authentication failed", "no pg_hba.conf entry"))
        if wrong and not is_elsewhere:
            raise StackError(LOST_PASSWORD)
        if wrong or time.monotonic() > deadline:
            shows = "`docker compose logs postgres` shows why"
            remedy = "correct POSTGRES_HOST, _PORT, _USER and _PASSWORD in .env" if is_elsewhere else shows
            raise StackError(f"PostgreSQL at {address} cannot be used: {reason}; {remedy}")
        time.sleep(0.2)


def create_databases(settings: Settings) -> None:
    """Create the databases and their roles, unless they exist; a StackError says what the user lacks."""
    try:
        databases.ensure(settings.superuser(), {name: settings.secrets[name] for name in databases.NAMES})
    except psycopg.errors.InsufficientPrivilege as error:
        user, names = settings.superuser()["user"], ", ".join(databases.NAMES)
        raise StackError(
            f"PostgreSQL at {_address(settings)}: {error.diag.message_primary}; POSTGRES_USER {user} must be a role "
            f"with CREATEDB and CREATEROLE; {names} must be its own databases and roles, or not exist yet"
        ) from None


def _address(settings: Settings) -> str:
    return "{host}:{port}".format(**settings.server())
