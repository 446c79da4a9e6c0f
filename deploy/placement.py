"""The place that a bundle is made for: its config, and what of it cannot work on Composer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deploy import rules
from deploy.bundle import variables
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


def config(place: str, image: str | None = None) -> dict[str, Any]:
    """The merged config of a place on Composer; the preset itself has examples where a place has values.

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
    merged = places.config(place)
    if place == PRESET:
        merged = places.overlay(merged, EXAMPLES, places.path(place))
    merged["runner"]["image"] = merged["runner"]["image"] or image
    require(merged, places.path(place))
    return merged


def problems(config: dict[str, Any], file: Path) -> Iterator[str]:
    """What of a config cannot work on Composer, each with its remedy."""
    return (f"{file}: {problem}" for problem in _problems(config))


def _problems(config: dict[str, Any]) -> Iterator[str]:
    yield from _runner(config["runner"])
    warehouse, source = config["warehouse"], config["source"]
    if warehouse["type"] != "bigquery":
        yield f"warehouse.type: {warehouse['type']}: its driver is not among the packages: set bigquery"
    if warehouse.get("keyfile"):
        yield f"warehouse.keyfile: {warehouse['keyfile']} is on no machine of Composer: leave it null, and give the\
 environment's service account the roles"
    if not config["artifacts"].startswith("gs://"):
        yield "artifacts: what is written to a machine of Composer is lost: set gs://BUCKET/FOLDER"
    if urlsplit(config["mlflow"]).scheme not in ("http", "https") or _is_here(config["mlflow"]):
        yield f"mlflow: {config['mlflow']!r} is no server that Composer reaches: set its URL"
    if config["watch"]["seconds"] is not None and "://" not in source:
        yield f"source: {source}, which is watched, is on no machine of Composer: set a URL, or watch.seconds: null"
    folder = variables(config)["MLOPS_VAR"]
    if not folder.startswith("/") or Path(folder).is_relative_to(rules.MOUNTED):
        yield f"deploy.environment_variables: MLOPS_VAR={folder}: what is written below {rules.MOUNTED} does not last:\
 name another absolute folder"


def _runner(runner: dict[str, Any]) -> Iterator[str]:
    kinds = {"runner.type": runner["type"]}
    kinds |= {f"runner.tasks.{name}.type": each["type"] for name, each in runner["tasks"].items() if each.get("type")}
    for name, kind in kinds.items():
        if kind not in ("kubernetes", "gke"):
            yield f"{name}: {kind}: Composer's machines have no such commands: set kubernetes or gke"
    if not runner["image"]:
        yield "runner.image: set the image of the tasks by its digest, NAME@sha256:…"
    pods = runner["kubernetes"]
    if "kubernetes" in kinds.values():
        if pods["namespace"] != NAMESPACE:
            yield f"runner.kubernetes.namespace: {pods['namespace']}: Composer has {NAMESPACE} for pods: set that"
        if pods["kubeconfig"] not in (None, KUBECONFIG):
            yield f"runner.kubernetes.kubeconfig: {pods['kubeconfig']} is on no machine of Composer: set {KUBECONFIG}"
        if pods["host_network"]:
            yield "runner.kubernetes.host_network: Composer's cluster does not give pods its nodes' network: set false"
    if pods["claim"]:
        yield "runner.kubernetes.claim: Airflow's own tasks there cannot mount it: set null, with artifacts in a bucket"
    if not pods["secret"]:
        yield "runner.kubernetes.secret: name the Kubernetes Secret that has MLOPS_STUDIES and the logins"


def _is_here(url: str) -> bool:
    return (urlsplit(url).hostname or "") in ("127.0.0.1", "localhost", "::1")
