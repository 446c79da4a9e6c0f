"""The databases of the stack on a PostgreSQL server: one role each, and the migration of Airflow's."""

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import scalar_row

from stack.errors import StackError, end_of

ROOT = Path(__file__).resolve().parents[1]

SUPERUSER = "postgres"
NAMES = ("airflow", "mlflow", "optuna", "warehouse")


def ensure(server: dict[str, Any], databases: dict[str, str]) -> None:
    """Create each database with a role of the same name and this password, which owns it and alone may connect.

    `server` has host, port, user and password of a role that may create databases and roles.
    """
    with psycopg.connect(**server, dbname="postgres", autocommit=True, row_factory=scalar_row) as connection:
        roles = set(connection.execute("select rolname from pg_roles"))
        present = set(connection.execute("select datname from pg_database"))
        for name, password in databases.items():
            role = sql.Identifier(name)
            verb = sql.SQL("alter" if name in roles else "create")
            connection.execute(sql.SQL("{} role {} login password {}").format(verb, role, sql.Literal(password)))
            if name not in present:
                # Only a superuser need not be a member of the role that will own the database.
                connection.execute(sql.SQL("grant {} to current_user").format(role))
                connection.execute(sql.SQL("create database {} owner {}").format(role, role))
            connection.execute(sql.SQL("revoke all on database {} from public").format(role))


def migrate_airflow(database: dict[str, Any], command: list[str], environment: dict[str, str], log: Path) -> None:
    """Migrate Airflow's database to the schema of the locked version, once per lock: a comment on it names the lock."""
    lock = hashlib.sha256((ROOT / "requirements" / "airflow.txt").read_bytes()).hexdigest()
    with psycopg.connect(**database, autocommit=True) as connection:
        noted = "select shobj_description(oid, 'pg_database') from pg_database where datname = current_database()"
        if connection.execute(noted).fetchone() == (lock,):
            return
        with log.open("w") as output:
            migrate = [*command, "db", "migrate"]
            code = subprocess.run(migrate, env=environment, cwd=ROOT, stdout=output, stderr=output).returncode
        if code:
            raise StackError(f"Airflow's database could not be migrated; see {log}\n{end_of(log)}")
        name = sql.Identifier(database["dbname"])
        connection.execute(sql.SQL("comment on database {} is {}").format(name, sql.Literal(lock)))
