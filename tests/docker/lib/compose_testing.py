"""Container stacks of their own, which are deleted after the test."""

import json
import os
import re
import subprocess
import uuid

from docker_testing import ROOT, run

# Without the settings of the person who runs the tests.
OTHERS = r"(?!(COMPOSE|SOURCE|POSTGRES|AIRBYTE|MLFLOW|BUILD)_|[A-Z]+_PORT$)"
DEFAULTS = {name: value for name, value in os.environ.items() if re.match(OTHERS, name)}
FILE = ("docker", "compose", "--project-directory", str(ROOT), "--file", str(ROOT / "docker-compose.yml"))
COMPOSE = (*FILE, "--env-file", "/dev/null")


class Project:
    """docker-compose.yml with a project name and a `.env` of its own, and with the current code of stack/."""

    def __init__(self, folder):
        self.name = f"test{uuid.uuid4().hex[:12]}"
        self.clone, self.override = folder / "clone", folder / "override.json"
        self.clone.mkdir()
        self.env()
        # The containers' user is not the owner.
        self.clone.chmod(0o755)
        volumes = [f"{ROOT / 'stack'}:/opt/mlops/stack:ro", f"{self.clone}:/clone:ro"]
        services = {name: {"volumes": volumes} for name in ("init", "connect")}
        self.override.write_text(json.dumps({"services": services}))

    def env(self, *lines):
        """Write a `.env` of these lines."""
        (self.clone / ".env").write_text("\n".join(lines))
        (self.clone / ".env").chmod(0o644)

    def compose(self, *words, check=True):
        """A finished command of Compose with its output on both streams."""
        options = ("--file", str(self.override), "--env-file", str(self.clone / ".env"), "--project-name", self.name)
        return run(*FILE, *options, *words, check=check, env=DEFAULTS, stderr=subprocess.STDOUT, timeout=300)

    def shell(self, service, line):
        """A finished shell command in a new container of a service with its volumes; nothing else is started."""
        return self.compose("run", "--rm", "--no-deps", "--entrypoint", "sh", service, "-c", line)

    def start(self):
        """Start PostgreSQL and the init job without waiting."""
        return self.compose("up", "--detach", "postgres")

    def container(self, service):
        """Id of a service's container."""
        return self.compose("ps", "--all", "--quiet", service).stdout.strip()

    def exit_code(self, service):
        """Wait for a service to end; returns its exit code."""
        return int(run("docker", "wait", self.container(service), timeout=300).stdout)

    def log(self, service):
        """A service's log."""
        # Compose erases the line before, even without a terminal.
        return self.compose("logs", "--no-log-prefix", "--no-color", service).stdout.replace("\x1b[2K", "")

    def kill(self, *services):
        """Kill services that are running."""
        for service in services:
            run("docker", "kill", "--signal=KILL", self.container(service), check=False)

    def sql(self, query, database="postgres"):
        """The server's answer, asked in its own container; empty if there is none."""
        command = (
            "docker",
            "exec",
            self.container("postgres"),
            "psql",
            "-XtAU",
            "postgres",
            "-d",
            database,
            "-c",
            query,
        )
        return run(*command, check=False).stdout.split()

    def remove(self):
        """Delete its containers, networks and volumes."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "0")
