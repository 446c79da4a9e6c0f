"""Commands about Airbyte's connections: airbyte-plan, airbyte-apply, airbyte-sync."""

import json
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from airbyte_declaration.plan import Step
from stack import airbyte
from stack.cli.common import Chosen, console, settings_options
from stack.errors import StackError
from stack.place import BasePlace
from stack.runs.airflow_api import AirflowApi
from stack.settings import Settings

MARKS = {"create": "[green]+[/]", "update": "[yellow]~[/]", "delete": "[red]-[/]", "unchanged": " ", "keep": " "}


def airbyte_command(command: Callable) -> click.Command:
    """A command on a place and an overlay; the place's own Airbyte runs meanwhile if it is the one that is meant."""

    @click.command()
    @settings_options
    @click.option("--overlay", help="Use connections.OVERLAY.yaml and the Airbyte that it names.")
    @click.pass_obj
    @wraps(command)
    def run(chosen: Chosen, overlay: str | None, source: str | None, config: Path | None, **options: Any) -> None:
        place = chosen.open(source=source, config=config, as_started=True)
        own = _is_own(place.settings, overlay) and airbyte.declared(place.settings, overlay).airbyte is None
        with place.running(["postgres", "airbyte"]) if own else nullcontext():
            command(place, overlay, **options)

    return run


delete_option = click.option("--delete", is_flag=True, help="Delete what is not declared.")


@airbyte_command
@delete_option
def airbyte_plan(place: BasePlace, overlay: str | None, *, delete: bool) -> None:
    """Show what airbyte-apply would change."""
    for step in airbyte.plan(place.settings, overlay, delete=delete).steps():
        _show_step(step)


@airbyte_command
@delete_option
def airbyte_apply(place: BasePlace, overlay: str | None, *, delete: bool) -> None:
    """Make Airbyte's sources, destinations and connections match the declaration."""
    plan = airbyte.plan(place.settings, overlay, delete=delete)
    for step in plan.apply():
        _show_step(step)
    ids = plan.ids()
    if not _is_own(place.settings, overlay):
        path = airbyte.write_variables(place.settings, str(overlay), ids)
        console.print(
            f"Import the connections' ids into that Airflow: airflow variables import {path}", highlight=False
        )
    elif place.stays or place.states().get("airflow-api-server") == "RUNNING":
        AirflowApi.of(place.settings).set_variable("airbyte_connections", json.dumps(ids))
        console.print("Airflow now has the connections' ids.")
    else:
        console.print("Airflow gets the connections' ids when it starts.")


@airbyte_command
@click.option("--name", required=True, help="Name of the connection.")
def airbyte_sync(place: BasePlace, overlay: str | None, name: str) -> None:
    """Run a connection and show its progress."""
    if not name:
        raise StackError("name a connection: make airbyte-sync NAME=…")
    began = time.monotonic()
    if _is_own(place.settings, overlay):
        airbyte.apply(place.settings)
    job = airbyte.sync(airbyte.plan(place.settings, overlay), name, console)
    mark = "[green]✓[/]" if job["status"] == "succeeded" else "[red]✗[/]"
    moved = airbyte.moved(job, time.monotonic() - began)
    console.print(f"{mark} {name} {job['status']}: {moved}", highlight=False)
    labels = {
        "failureReason": "",
        "valuesNulled": "values that did not fit their type: ",
        "valuesTruncated": "times that were cut to microseconds: ",
        "logFile": "log: ",
    }
    for key in filter(job.get, labels):
        console.print(f"  {labels[key]}{escape(str(job[key]))}", highlight=False)
    sys.exit(0 if job["status"] == "succeeded" else 1)


def _is_own(settings: Settings, overlay: str | None) -> bool:
    """Whether an overlay is this place's, with this instance's Airflow."""
    return overlay in (None, settings.place)


def _show_step(step: Step) -> None:
    note = f": {step.why}" if step.why else ""
    console.print(f"  {MARKS[step.action]} {step.action:10}{step.kind} {escape(step.name + note)}", highlight=False)


COMMANDS = (airbyte_plan, airbyte_apply, airbyte_sync)
