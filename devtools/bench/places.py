"""The group `places`: the main job on the emulators, a command in a pod, and the import of the DAG files.

The pod runs on the cluster that `make cluster-up` has started, from the image of the tasks in its registry.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from devtools.bench.instance import timed, two_cores
from devtools.bench.table import Options, Row
from devtools.cluster.cluster import Cluster, default_folder
from devtools.instance import Instance
from stack.environments import command_of, common_environment
from stack.errors import StackError
from stack.settings import ROOT, Settings

ROUNDS = 5
# Seconds.
BOUNDS = {"emulated_run": 180, "dag_import": 1, "pod_command": 3}
SCRIPT = Path(__file__).with_name("parse.py")
COMMAND = Path(__file__).with_name("command.py")


def measure(options: Options) -> Generator[Row]:
    """Yield the rows, and each again after every further round."""
    rounds, status = options.rounds or ROUNDS, options.console.status
    image = _image()
    with two_cores():
        with status("places: a first run on the emulators, not measured"):
            folder = options.var / "bench" / "places"
            instance = Instance(folder, place="bigquery-emulator", source=options.source, config=options.config)
            instance.renew_source()
            timed(instance.command("run"), instance.environment, folder / "make-run.log")
        emulated: list[float] = []
        imports: list[float] = []
        pods: list[float] = []
        venvs: list[float] = []
        for number in range(1, rounds + 1):
            with status(f"places: a new snapshot on the emulators, {number} of {rounds}"):
                instance.renew_source()
                emulated.append(timed(instance.command("run"), instance.environment, folder / "make-run.log"))
            yield from _row("emulated_run", emulated)
            with status(f"places: the import of the DAG files, {number} of {rounds}"):
                imports.append(max(_measured(instance.settings, SCRIPT, _runner("kubernetes", image)).values()))
            yield from _row("dag_import", imports)
            with status(f"places: a command in a pod and in an environment, {number} of {rounds}"):
                pods.append(_measured(instance.settings, COMMAND, _runner("kubernetes", image))["seconds"])
                venvs.append(_measured(instance.settings, COMMAND, _runner("venv", image))["seconds"])
            slower = [pod - venv for pod, venv in zip(pods, venvs, strict=True)]
            yield from _row("pod_command", slower)


def _image() -> str:
    """The reference by digest of the image of the tasks, pushed to the registry of the cluster that is up."""
    cluster = Cluster(default_folder())
    if not cluster.running():
        raise StackError("no cluster is up: make images cluster-up, then run this again")
    pushed = subprocess.run(
        ["docker/push", "mlops-tasks", f"{cluster.registry}/mlops-tasks"], cwd=ROOT, capture_output=True, text=True
    )
    if pushed.returncode:
        raise StackError(f"the image of the tasks cannot be pushed: {pushed.stderr.strip()}")
    return pushed.stdout.split()[-1]


def _runner(kind: str, image: str) -> dict[str, Any]:
    kubeconfig = str(Cluster(default_folder()).kubeconfig)
    return {"type": kind, "image": image, "kubernetes": {"kubeconfig": kubeconfig}}


def _measured(settings: Settings, script: Path, runner: dict[str, Any]) -> dict[str, float]:
    """What a script prints as JSON, in Airflow's environment with this runner."""
    with tempfile.TemporaryDirectory() as home:
        environment = common_environment(settings) | {
            "AIRFLOW_HOME": home,
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
            "MLOPS_RUNNER": json.dumps(runner),
            "PYTHONPATH": os.pathsep.join([str(ROOT / "airflow" / "dags")]),
        }
        done = subprocess.run(
            command_of("airflow", "python", str(script)), env=environment, cwd=ROOT, capture_output=True, text=True
        )
    if done.returncode:
        raise StackError(f"{script.name} failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _row(name: str, seconds: list[float]) -> Iterator[Row]:
    yield Row(name, median(seconds), "s", BOUNDS[name], rounds=len(seconds) if len(seconds) != ROUNDS else None)
