"""What the container stack does beside its services, inside of containers: `python -m stack.compose.init COMMAND`."""

import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import httpx
import psutil
import psycopg
from rich.console import Console
from rich.markup import escape

from airbyte_declaration.client import AirbyteError
from airbyte_declaration.declaration import DeclarationError
from stack import databases
from stack.compose import elsewhere
from stack.compose.checks import DISK, GB, LOST_PASSWORD, MEMORY, require_layout
from stack.compose.settings import Settings, load
from stack.environments import airbyte_environment, airflow_environment, command_of, mlflow_environment, own_environment
from stack.errors import StackError
from stack.runs import summary
from stack.runs.job import connect, run_graphs
from stack.runs.links import Links
from stack.settings import ROOT, ConfigError, write_private

console = Console(soft_wrap=True)
FAILURES = (ConfigError, StackError, DeclarationError, AirbyteError, httpx.HTTPError, psycopg.Error, OSError)
# Volumes that each only one service sees, by its name, as the init job has them.
OWN_VOLUMES = Path("/run/mlops-volumes")
# Seconds that the init job waits for PostgreSQL, which makes its cluster at the first start.
PATIENCE = 120
# Of a server elsewhere, which is up or not.
PATIENCE_ELSEWHERE = 20
OLDEST_POSTGRES = 15
# Mounted from the repository, with what is looked for in each.
MOUNTED = ("airflow/dags", "dbt_transforms", "great_expectations", "config", "tagifai", "airbyte")


class Containers:
    """The services of the container stack: Docker looks after them, and `up` waited for them."""

    stays = True

    def __init__(self, settings: Settings):
        self.settings = settings

    def states(self) -> dict[str, str]:
        """Not asked: each container has a health check and is restarted."""
        return {"containers": "RUNNING"}

    def wait_until_ready(self) -> None:
        """`up` did."""

    def log(self, instance: dict[str, Any]) -> str:
        """Airflow's page of it; the file is in a volume."""
        return Links(self.settings).task(instance)


@click.group()
def main() -> None:
    """The container stack, from inside."""


@main.command()
def init() -> None:
    """Prepare what the services need: settings, secrets, databases; safe to run again."""
    with _told():
        for folder in MOUNTED:
            _require_readable(ROOT / folder)
        settings = load()
        require_layout(settings.var)
        _require_room(settings.var)
        for folder in ("airflow", "artifacts", "logs/airflow", "great_expectations", "dbt"):
            (settings.var / folder).mkdir(parents=True, exist_ok=True)
        # Where PostgreSQL says why it does not start; before its password, which it waits for.
        said = OWN_VOLUMES / "postgres" / "said"
        said.mkdir(exist_ok=True)
        said.chmod(0o777)
        (said / "reason").unlink(missing_ok=True)
        _write_postgres_password(settings)
        airflow = _environment(settings, airflow_environment(settings) | {"MLOPS_LINKS__DOCS": settings.link("docs")})
        passwords = json.dumps({"admin": settings.secrets["admin"]})
        _write("airflow", "passwords.json", passwords)
        _write("airflow", "environment", _lines(airflow))
        _write("airbyte", "environment", _lines(_environment(settings, airbyte_environment(settings))))
        _write("docs", "environment", _lines({"MLOPS_VAR": str(settings.var), "MLOPS_HOME__SERVICES": _uis(settings)}))
        _write("mlflow", "auth.ini", _mlflow_login(settings))
        _write("mlflow", "environment", _lines(_environment(settings, _mlflow_environment(settings))))
        elsewhere.require(settings)
        _wait_for_server(settings)
        _make_databases(settings)
        # The init job has Airflow's volume elsewhere than Airflow itself.
        own = airflow | {"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": "/dev/null"}
        log = settings.var / "logs" / "airflow-migrate.log"
        command = command_of("airflow", "airflow")
        databases.migrate_airflow(settings.database("airflow"), command, os.environ | own, log)
    console.print("Settings, secrets and databases are ready.")


@main.command("postgres-password")
def postgres_password() -> None:
    """Give PostgreSQL the superuser's password; docker/restore needs it before there are databases."""
    with _told():
        _write_postgres_password(load())


@main.command("connect")
def connect_airbyte() -> None:
    """Make Airbyte's connections as declared and tell Airflow their ids."""
    with _told():
        connect(load())
    console.print("Airflow knows Airbyte's connections.")


@main.command()
def run() -> None:
    """Run dataops, then mlops, and say what came of it."""
    began = time.monotonic()
    with _told():
        settings = load()
    facts = summary.empty(settings.config["source"], settings.place)
    try:
        run_graphs(Containers(settings), facts, console)
    except FAILURES as error:
        facts["error"] = str(error) or repr(error)
    except KeyboardInterrupt:
        facts["error"] = "interrupted; the run itself goes on in Airflow"
    facts["seconds"] = round(time.monotonic() - began, 1)
    summary.write(facts, settings.var / "summary.json")
    links = {name: settings.link(name.lower()) for name in ("Airflow", "MLflow", "Airbyte", "docs")}
    summary.show(facts, console, links)
    sys.exit(0 if facts["state"] == "success" else 1)


@main.command()
def password() -> None:
    """Show the logins."""
    with _told():
        settings = load()
    logins = [("Airflow", "admin", "admin"), ("MLflow", settings.mlflow_user, "mlflow_admin")]
    logins.append(("Airbyte", settings.airbyte_client_id, "airbyte_client_secret"))
    for name, user, secret in logins:
        if user:
            address = settings.link(name.lower())
            console.print(f"{name:8}{address}  user {user}  password {settings.secrets[secret]}", highlight=False)


def _environment(settings: Settings, own: dict[str, str]) -> dict[str, str]:
    # Services reach each other directly, whatever proxy leads out.
    direct = ",".join(("localhost", "127.0.0.1", "airflow-api-server", "airbyte", "mlflow", "postgres", "docs"))
    no_proxy = ",".join(filter(None, (os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), direct)))
    return {**own_environment(settings), **own, "NO_PROXY": no_proxy, "no_proxy": no_proxy}


def _uis(settings: Settings) -> str:
    """What the home page tells of the other services, as JSON."""
    uis = (
        ("Airflow", "/api/v2/monitor/health", "runs and their tasks"),
        ("MLflow", "/health", "experiments, models and the champion"),
        ("Airbyte", "/api/public/v1/health", "connections, syncs and their logs"),
    )
    return json.dumps(
        [
            {
                "name": name,
                "url": settings.link(name.lower()),
                "health": f"{settings.url(name.lower())}{path}",
                "purpose": purpose,
            }
            for name, path, purpose in uis
        ]
    )


def _mlflow_environment(settings: Settings) -> dict[str, str]:
    port = settings.environment.mlflow_port
    return {
        **mlflow_environment(settings),
        "MLFLOW_AUTH_CONFIG_PATH": "/run/mlops/auth.ini",
        "MLFLOW_FLASK_SERVER_SECRET_KEY": settings.secrets["mlflow_secret_key"],
        # Against sites that make a name of theirs point to this machine.
        "MLFLOW_SERVER_ALLOWED_HOSTS": f"mlflow:{settings.ports.mlflow},localhost:{port},127.0.0.1:{port},localhost",
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": f"http://localhost:{port}",
    }


def _mlflow_login(settings: Settings) -> str:
    # Its reader takes % for the beginning of a variable.
    login = {
        "default_permission": "NO_PERMISSIONS",
        "database_uri": settings.database_url("mlflow", "postgresql+psycopg2"),
        "admin_username": "admin",
        "admin_password": settings.secrets["mlflow_admin"],
        # Seconds for which a password that was right is not computed again, which takes tens of milliseconds.
        "auth_cache_ttl_seconds": 60,
    }
    return "\n".join(["[mlflow]", *(f"{name} = {value}".replace("%", "%%") for name, value in login.items()), ""])


def _lines(variables: dict[str, str]) -> str:
    """Variables as a shell reads them."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())


def _write(volume: str, name: str, text: str) -> None:
    write_private(OWN_VOLUMES / volume / name, text)


def _write_postgres_password(settings: Settings) -> None:
    _write("postgres", "password", settings.secrets["postgres"])
    # Its server is another user, and the only other one who sees the volume.
    (OWN_VOLUMES / "postgres" / "password").chmod(0o644)


def _wait_for_server(settings: Settings) -> None:
    is_elsewhere = bool(settings.environment.postgres_host)
    said = OWN_VOLUMES / "postgres" / "said"
    deadline = time.monotonic() + (PATIENCE_ELSEWHERE if is_elsewhere else PATIENCE)
    while True:
        try:
            with psycopg.connect(**settings.superuser(), dbname="postgres", connect_timeout=5) as connection:
                version = connection.info.server_version // 10000
        except psycopg.OperationalError as error:
            reason = " ".join(str(error).split())
        else:
            if version < OLDEST_POSTGRES:
                raise StackError(
                    f"PostgreSQL at {_address(settings)} is version {version}: {OLDEST_POSTGRES} or later is needed"
                )
            # Of docker/postgres-start: from now on there is something in the cluster.
            if not is_elsewhere:
                (said / "making").unlink(missing_ok=True)
            return
        if not is_elsewhere and (said / "reason").exists():
            raise StackError((said / "reason").read_text().strip())
        wrong = any(words in reason for words in ("authentication failed", "no pg_hba.conf entry"))
        if wrong and not is_elsewhere:
            raise StackError(LOST_PASSWORD)
        if wrong or time.monotonic() > deadline:
            shows = "`docker compose logs postgres` shows why"
            remedy = "correct POSTGRES_HOST, _PORT, _USER and _PASSWORD in .env" if is_elsewhere else shows
            raise StackError(f"PostgreSQL at {_address(settings)} cannot be used: {reason}; {remedy}")
        time.sleep(0.2)


def _make_databases(settings: Settings) -> None:
    try:
        databases.ensure(settings.superuser(), {name: settings.secrets[name] for name in databases.NAMES})
    except psycopg.errors.InsufficientPrivilege as error:
        user, names = settings.superuser()["user"], ", ".join(databases.NAMES)
        raise StackError(
            f"PostgreSQL at {_address(settings)}: {error.diag.message_primary}; POSTGRES_USER {user} has to be a role "
            f"with CREATEDB and CREATEROLE, and {names} its own databases and roles, or not there yet"
        ) from None


def _address(settings: Settings) -> str:
    server: dict[str, Any] = settings.server()
    return f"{server['host']}:{server['port']}"


def _require_readable(folder: Path) -> None:
    """Whether the containers' user may read what is mounted.

    Raises:
        StackError: it may not; the message names the first file.
    """
    for path in (folder, *folder.rglob("*")):
        if not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
            name = path.relative_to(ROOT)
            raise StackError(f"{name} cannot be read by the containers' user: `chmod -R a+rX {name}`")


def _require_room(var: Path) -> None:
    """Whether Docker's disk has room, and tell where memory may not suffice.

    Raises:
        StackError: the disk is as good as full.
    """
    free, memory = shutil.disk_usage(var).free, psutil.virtual_memory().total
    if free < DISK[0]:
        told = f"only {free / GB:.1f} GB are free where Docker stores, and a start needs {DISK[0] / GB:.1f} GB"
        raise StackError(f"{told}: `docker system df` shows what takes it, `docker image prune` deletes old images")
    if memory < MEMORY[0]:
        told = f"Docker has {memory / GB:.1f} GB of memory, and a run needs {MEMORY[0] / GB:.0f} GB"
        console.print(f"[yellow]{told}: give it more, or use services elsewhere (.env.example)[/]", highlight=False)


@contextmanager
def _told() -> Iterator[None]:
    """Turn what a person can mend into a line on the screen and exit status 1."""
    try:
        yield
    except (*FAILURES, databases.MigrationError) as error:
        console.print(f"[red]{escape(str(error) or repr(error))}[/]", highlight=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
