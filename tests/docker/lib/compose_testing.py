"""Container stacks of their own, which end with the test."""

import json
import os
import re
import subprocess
import uuid

from docker_testing import ROOT, run

# Without settings of whoever runs the tests.
OTHERS = r"(?!(COMPOSE|SOURCE|POSTGRES|AIRBYTE|MLFLOW|BUILD)_|[A-Z]+_PORT$)"
DEFAULTS = {name: value for name, value in os.environ.items() if re.match(OTHERS, name)}
FILE = ("docker", "compose", "--project-directory", str(ROOT), "--file", str(ROOT / "docker-compose.yml"))
COMPOSE = (*FILE, "--env-file", "/dev/null")


class Project:
    """docker-compose.yml as a project with a name and a `.env` of its own, with the launcher's code as it is now."""

    def __init__(self, folder):
        self.name = f"test{uuid.uuid4().hex[:12]}"
        self.clone, self.override = folder / "clone", folder / "override.json"
        self.clone.mkdir()
        self.env()
        # Parents of a temporary folder are for its owner alone, which a mount does not mind.
        self.clone.chmod(0o755)
        volumes = [f"{ROOT / 'stack'}:/opt/mlops/stack:ro", f"{self.clone}:/clone:ro"]
        services = {name: {"volumes": volumes} for name in ("init", "connect")}
        self.override.write_text(json.dumps({"services": services}))

    def env(self, *lines):
        """Make a `.env` of these lines."""
        (self.clone / ".env").write_text("\n".join(lines))
        (self.clone / ".env").chmod(0o644)

    def compose(self, *words, check=True):
        """A finished compose command, with what it said on both streams."""
        options = ("--file", str(self.override), "--env-file", str(self.clone / ".env"), "--project-name", self.name)
        return run(*FILE, *options, *words, check=check, env=DEFAULTS, stderr=subprocess.STDOUT, timeout=300)

    def shell(self, service, line):
        """A finished line of shell in a new container of a service, with its volumes, and nothing else started."""
        return self.compose("run", "--rm", "--no-deps", "--entrypoint", "sh", service, "-c", line)

    def start(self):
        """Start PostgreSQL and the init job, and wait for nothing."""
        return self.compose("up", "--detach", "postgres")

    def container(self, service):
        """The id of a service's container."""
        return self.compose("ps", "--all", "--quiet", service).stdout.strip()

    def exit_code(self, service):
        """A service's exit code, when it has ended."""
        return int(run("docker", "wait", self.container(service), timeout=300).stdout)

    def log(self, service):
        """What a service said."""
        # Compose erases the line before it, even where there is no terminal.
        return self.compose("logs", "--no-log-prefix", "--no-color", service).stdout.replace("\x1b[2K", "")

    def kill(self, *services):
        """End services as a power cut does; one that has ended already stays so."""
        for service in services:
            run("docker", "kill", "--signal=KILL", self.container(service), check=False)

    def sql(self, query, database="postgres"):
        """What the server answers, asked in its own container; empty where it does not."""
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
        """Remove its containers, networks and volumes."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "0")
