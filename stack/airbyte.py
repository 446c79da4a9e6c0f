"""The declared connections and the Airbyte that an instance of the stack uses."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from airbyte_declaration.applications import described
from airbyte_declaration.client import ACTIVE, AirbyteApi, AirbyteError, AirbyteUnavailableError
from airbyte_declaration.declaration import Address, Declaration, load
from airbyte_declaration.plan import Plan
from stack import places
from stack.environments import common_environment, task_environment
from stack.settings import ROOT, ConfigError, Settings, write_private

# Seconds between two queries of a sync; seconds for a service to restart.
POLL = 0.5
PATIENCE = 60


def local_api(settings: Settings) -> AirbyteApi:
    """The client of this instance's own service."""
    url = f"{settings.url('airbyte')}/api/public/v1"
    return AirbyteApi(url, settings.airbyte_client_id, settings.secrets["airbyte_client_secret"])


def declared(settings: Settings, place: str | None = None) -> Declaration:
    """The declaration with the overlays of a place (None: this one), filled from the environment and the settings.

    This place has the overlay of its warehouse's type, then its preset's and its own, as far as there are such.
    """
    # What is set for the stack counts more than what the caller's shell says.
    environment = {**os.environ, **common_environment(settings), **task_environment(settings)}
    environment["MLOPS_SOURCE"] = settings.config["source"]
    if place is None or place == settings.place:
        return overlaid(list(settings.configs.values()), _overlays(settings), environment)
    path = ROOT / settings.config["airbyte"]["connections"]
    if not (overlay := path.with_suffix(f".{place}.yaml")).exists():
        known = sorted(each.name.split(".")[-2] for each in path.parent.glob(f"{path.stem}.*.yaml"))
        known = ", ".join([settings.place, *known])
        raise ConfigError(f"{overlay} is missing: create it, or use one of PLACE={known}")
    return overlaid(list(settings.configs.values()), [place], environment)


def overlaid(configs: Sequence[dict[str, Any]], names: list[str], environment: Mapping[str, str]) -> Declaration:
    """The declaration for applications with these configs, with those overlays of `names` that exist.

    It is filled from an environment.

    Raises:
        DeclarationError: it is wrong.
    """
    found = overlays(configs[0], names)
    path = ROOT / configs[0]["airbyte"]["connections"]
    return load(path, environment, overlays=found, applications=described(configs))


def overlays(config: dict[str, Any], names: list[str]) -> list[Path]:
    """The overlays of `names` that exist for the declaration that a config names."""
    path = ROOT / config["airbyte"]["connections"]
    return [each for each in (path.with_suffix(f".{name}.yaml") for name in names) if each.exists()]


def _overlays(settings: Settings) -> list[str]:
    """Names of the overlays of this place, as far as there are such."""
    kind = settings.config["warehouse"]["type"]
    # The preset of this name is for that type of warehouse, which a place on top of it may have changed.
    return [kind, *(name for name in places.presets(settings.place) if name not in ("bigquery", kind))]


def connection(settings: Settings) -> str:
    """Airflow's connection to the Airbyte of this instance, as JSON."""
    if address := declared(settings).airbyte:
        return connection_to(address)
    url = f"{settings.url('airbyte')}/api/public/v1"
    return _connection(url, settings.airbyte_client_id, settings.secrets["airbyte_client_secret"])


def connection_to(address: Address) -> str:
    """Airflow's connection to an Airbyte elsewhere, as JSON."""
    return _connection(address.url, address.client_id, address.client_secret.get_secret_value())


def _connection(url: str, login: str, password: str) -> str:
    url = f"{url.rstrip('/')}/"
    address = {"conn_type": "airbyte", "host": url, "schema": f"{url}applications/token"}
    return json.dumps(address | {"login": login, "password": password})


def plan(settings: Settings, place: str | None = None, *, delete: bool = False, lenient: bool = False) -> Plan:
    """Compare the declaration of a place with its Airbyte.

    Args:
        settings: of this instance.
        place: name of the overlay, which may name an Airbyte, else this instance's own; None: this place's.
        delete: whether what is not declared is deleted.
        lenient: whether the local service takes configurations without a check.

    Raises:
        ConfigError: the place has no overlay, or its overlay names no Airbyte.
        DeclarationError: the declaration is wrong.
    """
    declaration = declared(settings, place)
    address = declaration.airbyte
    if address is None and place not in (None, settings.place):
        raise ConfigError(f"the overlay of {place} names no Airbyte: give it airbyte: {{url, clientId, clientSecret}}")
    key = address.client_secret.get_secret_value() if address else settings.secrets["airbyte_client_secret"]
    api = AirbyteApi(address.url, address.client_id, key) if address else local_api(settings)
    digests = settings.var / "airbyte-applied.json"
    return Plan(declaration, api, digests, key=key, delete=delete, lenient=lenient)


def apply(settings: Settings) -> dict[str, str]:
    """Make the Airbyte of this instance match the declaration; returns the ids of the connections by name.

    Without checks: the first sync shows errors.

    Raises:
        ConfigError, DeclarationError, AirbyteError: the declaration is wrong, or Airbyte refused it.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        found = plan(settings, lenient=True)
        try:
            for _ in found.apply():
                pass
            return found.ids()
        except AirbyteUnavailableError:
            # What was created before is found by its name.
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL)


def write_variables(settings: Settings, place: str, ids: dict[str, str]) -> Path:
    """Write the ids as `airflow variables import` takes them, for an Airflow elsewhere; returns the file's path."""
    path = settings.var / f"airbyte-variables.{place}.json"
    write_private(path, json.dumps({"airbyte_connections": json.dumps(ids)}, indent=1))
    return path


def sync(found: Plan, name: str, console: Console) -> dict[str, Any]:
    """Run a connection and show records, bytes and rate; Ctrl-C cancels it.

    Returns:
        The finished job as Airbyte's API returns it.

    Raises:
        AirbyteError: there is no such connection, it runs already, or Airbyte does not answer.
    """
    ids, api = found.ids(), found.api
    if name not in ids:
        raise AirbyteError(f"there is no connection {name!r}: NAME is one of {', '.join(ids)}")
    job, began = api.submit(ids[name]), time.monotonic()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[moved]}"))
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(name, total=None, moved="")
            while True:
                job = api.job(job)
                progress.update(task, moved=moved(job, time.monotonic() - began))
                if job["status"] not in ACTIVE:
                    return job
                time.sleep(POLL)
    except KeyboardInterrupt:
        api.call("DELETE", f"/jobs/{job['jobId']}")
        raise


def moved(job: dict[str, Any], seconds: float) -> str:
    """Records, bytes and rate of a job, in words."""
    rows, size = job.get("rowsSynced") or 0, job.get("bytesSynced") or 0
    rate = f", {rows / seconds:,.0f} records/s" if seconds else ""
    return f"{rows:,} records, {size / 1e6:,.1f} MB in {seconds:.1f} s{rate}"
