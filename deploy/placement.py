"""The place that a bundle is made for: its config, and what of it cannot work on Composer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deploy import rules
from deploy.bundle import variables
from deploy.problem import Problem
from stack import places
from stack.settings import ConfigError, require

PRESET = "composer"
KUBECONFIG = "/home/airflow/composer_kube_config"
NAMESPACE = "composer-user-workloads"
# What the preset leaves to a place, so that it can be checked as it is.
EXAMPLES: dict[str, Any] = {
    "artifacts": "gs://example-bucket/mlops",
    "mlflow": "https://mlflow.example",
    "runner": {
        "image": f"europe-docker.pkg.dev/example/mlops/mlops-tasks@sha256:{'0' * 64}",
        "kubernetes": {"secret": "mlops"},
    },
    "warehouse": {"project": "example-project"},
}


def configs(place: str, image: str | None = None) -> list[dict[str, Any]]:
    """The merged config of each application of a place on Composer.

    The preset itself has examples where a place has values.

    Args:
        place: its name.
        image: stands for `runner.image` where that is not set.

    Raises:
        ConfigError: there is no such place, it is not on Composer, or a setting of it is wrong.
    """
    names = places.presets(place)
    if names[0] != PRESET:
        raise ConfigError(
            f"PLACE={place} is not on Composer: use a place of your own with `preset: {PRESET}` (docs/composer.md)"
        )
    found = list(places.configs(place, EXAMPLES if place == PRESET else None).values())
    for merged in found:
        merged["runner"]["image"] = merged["runner"]["image"] or image
        require(merged, places.path(place))
    return found


def problems(config: dict[str, Any], file: Path) -> Iterator[Problem]:
    """What of a config cannot work on Composer; `file` is the place's."""
    return (problem.at(file) for problem in (*_runner(config["runner"]), *_files(config)))


def _files(config: dict[str, Any]) -> Iterator[Problem]:
    """Files, folders and servers."""
    warehouse, source = config["warehouse"], config["source"]
    if warehouse["type"] != "bigquery":
        yield Problem(f"warehouse.type: {warehouse['type']}: its driver is not among the packages", "set bigquery")
    if keyfile := warehouse.get("keyfile"):
        remedy = "leave it null, and give the environment's service account the roles"
        yield Problem(f"warehouse.keyfile: {keyfile} is on no machine of Composer", remedy)
    if not config["artifacts"].startswith("gs://"):
        yield Problem("artifacts: what is written to a machine of Composer is lost", "set gs://BUCKET/FOLDER")
    if urlsplit(config["mlflow"]).scheme not in ("http", "https") or _is_here(config["mlflow"]):
        yield Problem(f"mlflow: {config['mlflow']!r} is no server that Composer reaches", "set its URL")
    if config["watch"]["seconds"] is not None and "://" not in source:
        remedy = "set a URL, or watch.seconds: null"
        yield Problem(f"source: {source}, which is watched, is on no machine of Composer", remedy)
    folder = variables(config)["MLOPS_VAR"]
    if not folder.startswith("/") or Path(folder).is_relative_to(rules.MOUNTED):
        where = f"deploy.environment_variables: MLOPS_VAR={folder}"
        yield Problem(f"{where}: what is written below {rules.MOUNTED} does not last", "name another absolute folder")


def _runner(runner: dict[str, Any]) -> Iterator[Problem]:
    kinds = {"runner.type": runner["type"]}
    kinds |= {f"runner.tasks.{name}.type": each["type"] for name, each in runner["tasks"].items() if each.get("type")}
    for name, kind in kinds.items():
        if kind not in ("kubernetes", "gke"):
            yield Problem(f"{name}: {kind}: Composer's machines have no such commands", "set kubernetes or gke")
    pods, section = runner["kubernetes"], "runner.kubernetes"
    if "kubernetes" in kinds.values():
        if pods["namespace"] != NAMESPACE:
            yield Problem(f"{section}.namespace: {pods['namespace']}: Composer puts no pods there", f"set {NAMESPACE}")
        if pods["kubeconfig"] not in (None, KUBECONFIG):
            yield Problem(f"{section}.kubeconfig: {pods['kubeconfig']} is not on Composer", f"set {KUBECONFIG}")
        if pods["host_network"]:
            yield Problem(f"{section}.host_network: Composer's pods do not get their nodes' network", "set false")
    if pods["claim"]:
        remedy = "set null, with artifacts in a bucket"
        yield Problem(f"{section}.claim: Airflow's own tasks cannot mount it on Composer", remedy)
    if not pods["secret"]:
        remedy = "name a Kubernetes Secret that has MLOPS_STUDIES and the logins"
        yield Problem(f"{section}.secret: pods would have no passwords", remedy)


def _is_here(url: str) -> bool:
    return (urlsplit(url).hostname or "") in ("127.0.0.1", "localhost", "::1")
