"""docker/backup, docker/restore and docker/nuke with a stub in place of Docker, which takes milliseconds."""

import os
import shutil
import subprocess
from pathlib import Path

from docker_testing import ROOT, run

CONFIG = "name: kept\nservices:\n  mlflow:\n    image: mlops-mlflow\n{postgres}volumes: {{}}\n"
POSTGRES = "  postgres:\n    image: postgres:17\n"
# Remembers every call and which services run. HOOK is shell code that sees the call as $*.
DOCKER = """#!/bin/bash
state=${0%/*}/state
echo "$*" >>"$state/calls"
eval "$HOOK"
case "$*" in
  "compose config") cat "$state/config" ;;
  "compose ps --services --status running") cat "$state/running" ;;
  "ps "*service=task) cat "$state/tasks" ;;
  "compose ps --all --quiet" | "ps --all "*) cat "$state/containers" ;;
  "volume ls "*) cat "$state/volumes" ;;
  *" pg_dump "*) echo "dump of ${*: -1}" ;;
  *"show server_version") echo "17.6 (Debian)" ;;
  *" psql "*) cat >>"$state/sql" ;;
  *"--entrypoint tar "*) tar -cz -T /dev/null ;;
  *"pg_restore"* | *"tar -xz"*) cat >/dev/null ;;
  "run "*"du -sh"*) printf '3M\\tkept_var\\n' ;;
  "compose stop "*) for name in "${@:3}"; do sed -i "/^$name$/d" "$state/running"; done ;;
  "compose up "*) for name; do case $name in mlflow | postgres) echo "$name" >>"$state/running" ;; esac; done ;;
  "compose down"*) : >"$state/running"; : >"$state/containers" ;;
esac
"""


class StubbedScripts:
    """A copy of docker/ whose scripts call the stub.

    Attributes:
        folder: the copy of the repository; scripts run in it.
    """

    def __init__(self, folder: Path):
        self.folder, self.programs = folder / "clone", folder / "programs"
        shutil.copytree(ROOT / "docker", self.folder / "docker")
        (self.folder / "docker-compose.yml").touch()
        self.state = self.programs / "state"
        self.state.mkdir(parents=True)
        self.program("docker", DOCKER)
        self.set(running="mlflow\npostgres\n", containers="a\nb\n", tasks="", calls="", sql="")
        self.set(volumes="postgres kept_postgres\nvar kept_var\nsecrets kept_secrets\n")
        self.set(config=CONFIG.format(postgres=POSTGRES))

    def set(self, **state):
        """Write what the stub answers."""
        for name, text in state.items():
            (self.state / name).write_text(text)

    def use_external_postgres(self):
        """Answer as Compose does when POSTGRES_HOST is set: without the service postgres."""
        self.set(config=CONFIG.format(postgres=""))

    def program(self, name, text):
        """Put a program in front of the real one."""
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    def environment(self, hook="", **variables):
        """Environment of a script."""
        path = f"{self.programs}:{os.environ['PATH']}"
        return {**os.environ, "YES": "", "PATH": path, "HOOK": hook, **variables}

    def run(self, name, *words, **variables):
        """A finished script with its output on both streams."""
        options = {"cwd": self.folder, "env": self.environment(**variables), "stdin": subprocess.DEVNULL}
        return run(f"docker/{name}", *words, check=False, stderr=subprocess.STDOUT, **options)

    def start(self, name, *words, **variables):
        """A running script in a process group of its own."""
        options = {"cwd": self.folder, "env": self.environment(**variables), "start_new_session": True}
        return subprocess.Popen([f"docker/{name}", *words], stdin=subprocess.DEVNULL, **options)

    def calls(self):
        """The calls of Docker, one string each."""
        return (self.state / "calls").read_text().splitlines()

    def changes(self):
        """The calls that can change containers, volumes or databases."""
        changing = ("compose stop", "compose up", "compose down", "compose run", "compose exec", "volume rm", "rm ")
        return [call for call in self.calls() if call.startswith(changing)]

    def sql(self):
        """The SQL that was run."""
        return (self.state / "sql").read_text()

    def running(self):
        """Names of the running services."""
        return set((self.state / "running").read_text().split())
