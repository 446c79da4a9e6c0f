"""A container stack that runs the code of its clone, with programs that can be put in front of the real ones."""

import json
import os
import subprocess

from docker_testing import run

from devtools.containers import ContainerInstance
from stack.settings import ROOT

# Creates a champion; runs in MLflow's container.
CHAMPION = """
import mlflow
mlflow.set_tracking_uri("http://mlflow:5000")
with mlflow.start_run() as run:
    mlflow.log_text("the weights", "model/weights.txt")
client = mlflow.MlflowClient()
client.create_registered_model("tagifai")
version = client.create_model_version("tagifai", f"runs:/{run.info.run_id}/model", run.info.run_id).version
client.set_registered_model_alias("tagifai", "champion", version)
"""
WEIGHTS = """
import mlflow
mlflow.set_tracking_uri("http://mlflow:5000")
run = mlflow.MlflowClient().get_model_version_by_alias("tagifai", "champion").run_id
print(mlflow.artifacts.load_text(f"runs:/{run}/model/weights.txt"))
"""
# Without the settings of the person who runs the tests.
OWN = {"POSTGRES_HOST": "", "AIRBYTE_URL": "", "MLFLOW_URL": "", "SOURCE_URL": "", "YES": "", "FILE": ""}


class CloneStack(ContainerInstance):
    """A container stack whose jobs run the code of the clone."""

    def __init__(self, folder, **environment):
        folder.chmod(0o755)
        own = OWN | {"COMPOSE_FILE": "docker-compose.yml:override.json"} | environment
        super().__init__(folder / "clone", source=ROOT / "data" / "sample", **own)
        mounted = {"volumes": ["./stack:/opt/mlops/stack:ro"]}
        self.override = {"services": {"init": mounted, "connect": mounted}}
        self.write_override()
        self.name = self.environment["COMPOSE_PROJECT_NAME"]
        self.programs = folder / "programs"
        self.programs.mkdir()

    def write_override(self):
        """Write the file that overrides docker-compose.yml."""
        (self.folder / "override.json").write_text(json.dumps(self.override))

    def up(self, *services):
        """Start services and their dependencies, and wait until they are healthy."""
        self.compose("up", "--detach", "--wait", "--no-build", *services)

    def script(self, name, *words, check=True, **environment):
        """A finished script of docker/ with its output on both streams."""
        options = {"cwd": self.folder, "env": self.environment | environment, "stdin": subprocess.DEVNULL}
        return run(f"docker/{name}", *words, check=check, stderr=subprocess.STDOUT, **options)

    def wrap(self, program, lines):
        """Run lines of bash before each call of a program by a script."""
        real = run("which", program).stdout.strip()
        path = self.programs / program
        path.write_text(f'#!/bin/bash\n{lines}\nexec {real} "$@"\n')
        path.chmod(0o755)
        self.environment["PATH"] = f"{self.programs}:{os.environ['PATH']}"

    def unwrap(self):
        """Remove all such lines."""
        for path in self.programs.iterdir():
            path.unlink()

    def python(self, code):
        """The last line that a program prints in MLflow's container."""
        words = ("exec", "-T", "mlflow", "entrypoint", "sh", "-c")
        login = 'MLFLOW_TRACKING_USERNAME=admin MLFLOW_TRACKING_PASSWORD="$0" exec python -c "$1"'
        return self.compose(*words, login, self.logins["mlflow"][1], code).stdout.splitlines()[-1:]

    def volumes(self):
        """Names of its volumes."""
        label = f"label=com.docker.compose.project={self.name}"
        return run("docker", "volume", "ls", "--quiet", "--filter", label).stdout.split()

    def running(self):
        """The start time of each running service."""
        found = self.containers() if self.compose("ps", "--quiet").stdout else {}
        return {name: each["State"]["StartedAt"] for name, each in found.items() if each["State"]["Running"]}

    def start(self, name, *words, **environment):
        """A running script of docker/ in a process group of its own."""
        options = {"cwd": self.folder, "env": self.environment | environment, "start_new_session": True}
        return subprocess.Popen([f"docker/{name}", *words], stdin=subprocess.DEVNULL, **options)
