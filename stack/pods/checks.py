"""The checks of `make doctor` where commands run in pods: the cluster, what is allowed there, and what pods reach."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from stack.checks import Check
from stack.environments import DAGS, airflow_environment, command_of, common_environment
from stack.errors import StackError
from stack.pods.cluster import Cluster
from stack.pods.settings import task, types
from stack.settings import ROOT, Settings, write_private

# Characters of an unknown error that are shown.
SHOWN = 500
# Seconds that the probe pod may wait for its start.
START = 60
REMEDIES = {
    "warehouse": "check warehouse.host and MLOPS_WAREHOUSE__PASSWORD, and that the pods' network reaches it",
    "mlflow": "check `mlflow`, MLFLOW_TRACKING_…, and that the pods' network reaches it",
    "studies": "check MLOPS_STUDIES, and that the pods' network reaches it",
    "artifacts": "check `artifacts`, runner.kubernetes.claim and .service_account",
}


def cluster(settings: Settings) -> Iterator[Check]:
    """Check the image, the cluster, its namespace and what is allowed there, as far as the first that fails."""
    runner = settings.config["runner"]
    yield Check("image", "ok", f"{runner['image']}")
    if "kubernetes" not in types(settings.config):
        return
    try:
        found = Cluster(settings)
        yield Check("cluster", "ok", f"{found.server}, context {found.context}, Kubernetes {found.version()}")
        if not found.has_namespace():
            remedy = f"kubectl create namespace {found.namespace}, or set runner.kubernetes.namespace"
            yield Check("namespace", "fail", f"there is no namespace {found.namespace}", remedy)
            return
        if forbidden := found.forbidden():
            text = f"in {found.namespace} this account may not {', '.join(forbidden)}"
            yield Check("namespace", "fail", text, "let it, by a Role and a RoleBinding there (docs/places.md)")
            return
        yield Check("namespace", "ok", f"pods may be created in {found.namespace}")
        found.apply_secret()
    except StackError as error:
        yield Check("cluster", "fail", str(error), "then run `make doctor` again")


def probe(settings: Settings, console: Console) -> Iterator[Check]:
    """Check from inside of a pod, made like those of tasks, what its commands need.

    Services of this machine that they need are started for it, if they are down.
    """
    from stack.embedded.place import Place

    needed = {"mlflow": not settings.config["mlflow"], "postgres": True}
    try:
        with Place(settings, console).running([name for name, is_own in needed.items() if is_own]):
            facts = _probed(settings)
    except StackError as error:
        facts = {"error": str(error)}
    if "error" in facts:
        yield Check("probe pod", "fail", facts["error"], "tasks would fail alike: correct it, then `make doctor` again")
        return
    for name, problem in facts.items():
        if problem:
            yield Check(f"pod: {name}", "fail", problem, REMEDIES.get(name, ""))
        else:
            yield Check(f"pod: {name}", "ok", "can be used from inside of a pod")


def _probed(settings: Settings) -> dict[str, Any]:
    """The facts of the application's command `check` in a pod, or an `error`."""
    config = settings.var / "run" / "doctor.yaml"
    write_private(config, settings.config_texts()[settings.var / "config.yaml"])
    variables = common_environment(settings) | airflow_environment(settings)
    variables |= {"PYTHONPATH": DAGS, "MLOPS_CONFIG": str(config), "MLOPS_RUNNER__START_TIMEOUT": str(START)}
    arguments = [task(settings.config), settings.config["package"], "check"]
    command = command_of("airflow", "python", "-m", "pipeline.runners.probe", *arguments)
    if not Path(command[0]).exists():
        return {"error": f"there is no {command[0]}: `make setup`"}
    done = subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, text=True)
    *_, last = done.stdout.splitlines() or [""]
    try:
        return json.loads(last)
    except ValueError:
        return {"error": " ".join((done.stderr or done.stdout).split())[-SHOWN:]}
