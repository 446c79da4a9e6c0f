"""Jobs of the container place, which run inside containers: `init` prepares the services, `connect` Airbyte."""

import json
import os
import shlex
import shutil
from pathlib import Path

import click
import psutil

from stack import airbyte, databases
from stack.checks import GB
from stack.cli.common import Chosen, console
from stack.compose import elsewhere, server
from stack.compose.checks import DISK, MEMORY, require_layout
from stack.compose.settings import Settings, load
from stack.environments import (
    airbyte_environment,
    airflow_environment,
    command_of,
    docs_environment,
    mlflow_environment,
    own_environment,
    without_proxy,
)
from stack.errors import StackError
from stack.runs.job import connect
from stack.settings import ROOT, read, write_private

# Where the init job has the volumes that only one service each sees, by the service's name.
OWN_VOLUMES = Path("/run/mlops-volumes")
# Mounted from the repository, beside the application's package.
MOUNTED = ("airflow/dags", "dbt_transforms", "great_expectations", "config", "airbyte")


@click.command(hidden=True)
@click.pass_obj
def init(chosen: Chosen) -> None:
    """Prepare settings, secrets and databases for the services; safe to run again."""
    package = read(ROOT / "config" / "base.yaml")["package"]
    for folder in (*MOUNTED, package):
        _require_readable(ROOT / folder)
    settings = load(chosen.var)
    require_layout(settings.var)
    _require_room(settings.var)
    for folder in ("airflow", "artifacts", "logs/airflow", "great_expectations", "dbt"):
        (settings.var / folder).mkdir(parents=True, exist_ok=True)
    # Where PostgreSQL writes why it does not start; before its password, which it waits for.
    messages = OWN_VOLUMES / "postgres" / "said"
    messages.mkdir(exist_ok=True)
    messages.chmod(0o777)
    (messages / "reason").unlink(missing_ok=True)
    _write_postgres_password(settings)
    own = {"MLOPS_LINKS__DOCS": settings.link("docs"), "AIRFLOW_CONN_AIRBYTE_DEFAULT": airbyte.connection(settings)}
    airflow = _environment(settings, airflow_environment(settings) | own)
    _write("airflow", "passwords.json", json.dumps({"admin": settings.secrets["admin"]}))
    _write_environment("airflow", airflow)
    _write_environment("airbyte", _environment(settings, airbyte_environment(settings)))
    _write_environment("docs", docs_environment(settings))
    _write("mlflow", "auth.ini", _mlflow_login(settings))
    _write_environment("mlflow", _environment(settings, _mlflow_environment(settings)))
    elsewhere.require(settings)
    server.wait(settings, messages)
    server.create_databases(settings)
    # The init job has Airflow's volume elsewhere than Airflow itself.
    here = airflow | {"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": "/dev/null"}
    log = settings.var / "logs" / "airflow-migrate.log"
    command = command_of("airflow", "airflow")
    databases.migrate_airflow(settings.database("airflow"), command, os.environ | here, log)
    console.print("Settings, secrets and databases are ready.")


@click.command(hidden=True)
@click.pass_obj
def postgres_password(chosen: Chosen) -> None:
    """Write the superuser's password for PostgreSQL; docker/restore needs it before there are databases."""
    _write_postgres_password(load(chosen.var))


@click.command("connect", hidden=True)
@click.pass_obj
def connect_airbyte(chosen: Chosen) -> None:
    """Create Airbyte's connections as declared and give their ids to Airflow."""
    connect(load(chosen.var))
    console.print("Airflow has the ids of Airbyte's connections.")


def _environment(settings: Settings, own: dict[str, str]) -> dict[str, str]:
    direct = without_proxy(os.environ, "airflow-api-server", "airbyte", "mlflow", "postgres", "docs")
    return own_environment(settings) | own | direct


def _mlflow_environment(settings: Settings) -> dict[str, str]:
    port = settings.environment.mlflow_port
    return {
        **mlflow_environment(settings),
        "MLFLOW_AUTH_CONFIG_PATH": "/run/mlops/auth.ini",
        "MLFLOW_FLASK_SERVER_SECRET_KEY": settings.secrets["mlflow_secret_key"],
        # Protects against DNS rebinding.
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
        # Seconds for which a correct password is cached: checking it takes tens of milliseconds.
        "auth_cache_ttl_seconds": 60,
    }
    return "\n".join(["[mlflow]", *(f"{name} = {value}".replace("%", "%%") for name, value in login.items()), ""])


def _write(volume: str, name: str, text: str) -> None:
    write_private(OWN_VOLUMES / volume / name, text)


def _write_environment(volume: str, variables: dict[str, str]) -> None:
    _write(volume, "environment", "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items()))


def _write_postgres_password(settings: Settings) -> None:
    _write("postgres", "password", settings.secrets["postgres"])
    # The server runs as another user, the only other one who sees the volume.
    (OWN_VOLUMES / "postgres" / "password").chmod(0o644)


def _require_readable(folder: Path) -> None:
    """Raise a StackError that names the first file of a mounted folder that the containers' user cannot read."""
    for path in (folder, *folder.rglob("*")):
        if not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
            name = path.relative_to(ROOT)
            raise StackError(f"{name} cannot be read by the containers' user: `chmod -R a+rX {name}`")


def _require_room(var: Path) -> None:
    """Raise a StackError if Docker's disk is almost full, and warn if memory may be too small."""
    free, memory = shutil.disk_usage(var).free, psutil.virtual_memory().total
    if free < DISK[0]:
        told = f"only {free / GB:.1f} GB are free on Docker's disk, and a start needs {DISK[0] / GB:.1f} GB"
        raise StackError(f"{told}: `docker system df` shows what uses it, `docker image prune` deletes old images")
    if memory < MEMORY[0]:
        told = f"Docker has {memory / GB:.1f} GB of memory, and a run needs {MEMORY[0] / GB:.0f} GB"
        console.print(f"[yellow]{told}: give it more, or use external services (.env.example)[/]", highlight=False)


COMMANDS = (init, postgres_password, connect_airbyte)
