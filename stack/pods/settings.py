"""The settings of the pods: what the launcher fills in, and which addresses pods cannot reach."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stack.checks import Check
from stack.settings import ROOT, Settings, identity

# Types of runners whose commands run in pods.
TYPES = ("kubernetes", "gke")
# Names by which every machine calls itself.
LOCAL = ("127.0.0.1", "localhost", "::1")


def types(config: dict[str, Any]) -> set[str]:
    """Types of runners of all tasks that run in pods."""
    runner = config["runner"]
    return {runner["type"], *(each.get("type") for each in runner["tasks"].values())} & set(TYPES)


def task(config: dict[str, Any]) -> str:
    """Id of a task that runs in a pod, or any other id if all do."""
    runner = config["runner"]
    if runner["type"] in TYPES:
        return "check"
    return next(name for name, each in runner["tasks"].items() if each.get("type") in TYPES)


def complete(config: dict[str, Any], var: Path) -> None:
    """Fill in what is not set: kubeconfig, context and Secret, and on a cluster on this machine the user of the pods.

    `config` is valid.
    """
    if not types(config):
        return
    pods = config["runner"]["kubernetes"]
    if is_mounted(config) and pods["user"] is None and os.geteuid():
        # So that both can write what the other has made. Root is not for pods: they keep the image's user.
        pods["user"] = os.geteuid()
    if "kubernetes" in types(config):
        pods["secret"] = pods["secret"] or own_secret(var)
        # From now on the cluster is the same, whichever one is current later.
        pods["kubeconfig"] = _kubeconfig(pods["kubeconfig"])
        pods["context"] = pods["context"] or _context(pods["kubeconfig"])


def own_secret(var: Path) -> str:
    """Name of the Secret that the launcher keeps for the instance in `var`."""
    return f"mlops-{identity(var)}"


def is_mounted(config: dict[str, Any]) -> bool:
    """Whether pods write to the folder of the artifacts on this machine, which is their node."""
    pods = config["runner"]["kubernetes"]
    return pods["host_network"] and not pods["claim"] and "://" not in config["artifacts"]


def unreachable(settings: Settings) -> list[str]:
    """What pods need and cannot reach, since it is on this machine; for each its address and what to set."""
    config, pods = settings.config, settings.config["runner"]["kubernetes"]
    found = []
    if "://" not in config["artifacts"] and not pods["claim"] and not pods["host_network"]:
        found.append(f"artifacts {settings.artifacts}: set artifacts to gs://…, or runner.kubernetes.claim")
    if settings.is_emulated:
        found.append("the emulators, whose key file is on this machine: set a warehouse that is no emulator")
    elif keyfile := config["warehouse"].get("keyfile"):
        found.append(
            f"{keyfile}: set runner.kubernetes.service_account, with workload identity, in place of a key file"
        )
    if pods["host_network"]:
        return found
    if config["warehouse"]["type"] == "postgres" and (host := settings.warehouse()["host"]) in LOCAL:
        found.append(f"warehouse {host}: set warehouse.host, .user, … and MLOPS_WAREHOUSE__PASSWORD=…")
    if urlsplit(address := config["mlflow"] or settings.url("mlflow")).hostname in LOCAL:
        found.append(f"MLflow {address}: set mlflow")
    if (host := urlsplit(settings.studies()).hostname) in LOCAL:
        found.append(
            f"the database of the studies {host}: set MLOPS_STUDIES=postgresql+psycopg2://… in the environment"
        )
    return found


def addresses(settings: Settings) -> Check:
    """Check that pods reach all that they need."""
    is_node = settings.config["runner"]["kubernetes"]["host_network"]
    if found := unreachable(settings):
        text = f"pods cannot reach what is on this machine: {'; '.join(found)}"
        host_network = "or, if this machine is their node, runner.kubernetes.host_network: true"
        remedy = "docs/places.md tells more" if is_node else host_network
        return Check("addresses", "fail", text, remedy)
    return Check("addresses", "ok", "pods have this machine's network" if is_node else "none is on this machine")


def _kubeconfig(given: str | None) -> str | None:
    """Absolute paths of the files that are set, or else of those that exist and kubectl would read; None: none does."""
    files = given or os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    folder = ROOT if given else Path()
    paths = [(folder / Path(each).expanduser()).absolute() for each in files.split(os.pathsep) if each]
    return os.pathsep.join(str(path) for path in paths if given or path.is_file()) or None


def _context(kubeconfig: str | None) -> str | None:
    """The current context; None: there is none."""
    from kubernetes.config import ConfigException, list_kube_config_contexts

    try:
        _, current = list_kube_config_contexts(kubeconfig)
    except ConfigException:
        # The first request says so.
        return None
    return current["name"]
