"""Commands about Airbyte's connections: airbyte-plan, airbyte-apply, airbyte-sync."""

import json
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

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


def airbyte_options(command: Callable) -> Callable:
    """The options that choose source, settings and Airbyte."""
    overlay = click.option("--overlay", help="Use connections.OVERLAY.yaml and the Airbyte that it names.")
    return settings_options(overlay(command))


delete_option = click.option("--delete", is_flag=True, help="Delete what is not declared.")


@click.command()
@airbyte_options
@delete_option
@click.pass_obj
def airbyte_plan(chosen: Chosen, overlay: str | None, source: str | None, config: Path | None, *, delete: bool) -> None:
    """Show what airbyte-apply would change."""
    with _airbyte(chosen, overlay, source, config) as place:
        for step in airbyte.plan(place.settings, overlay, delete=delete).steps():
            _show_step(step)


@click.command()
@airbyte_options
@delete_option
@click.pass_obj
def airbyte_apply(
    chosen: Chosen, overlay: str | None, source: str | None, config: Path | None, *, delete: bool
) -> None:
    """Make Airbyte's sources, destinations and connections match the declaration."""
    with _airbyte(chosen, overlay, source, config) as place:
        settings = place.settings
        plan = airbyte.plan(settings, overlay, delete=delete)
        for step in plan.apply():
            _show_step(step)
        ids = plan.ids()
        if not _is_own(settings, overlay):
            path = airbyte.write_variables(settings, str(overlay), ids)
            console.print(
                f"Import the connections' ids into that Airflow: airflow variables import {path}", highlight=False
            )
        elif "airflow-api-server" in place.states() or place.stays:
            AirflowApi(settings).set_variable("airbyte_connections", json.dumps(ids))
            console.print("Airflow now has the connections' ids.")
        else:
            console.print("Airflow gets the connections' ids when it starts.")


@click.command()
@airbyte_options
@click.option("--name", required=True, help="Name of the connection.")
@click.pass_obj
def airbyte_sync(chosen: Chosen, name: str, overlay: str | None, source: str | None, config: Path | None) -> None:
    """Run a connection and show its progress."""
    with _airbyte(chosen, overlay, source, config) as place:
        if not name:
            raise StackError("name a connection: make airbyte-sync NAME=…")
        began = time.monotonic()
        if _is_own(place.settings, overlay):
            airbyte.apply(place.settings)
        job = airbyte.sync(airbyte.plan(place.settings, overlay), name, console)
        seconds = time.monotonic() - began
    mark = "[green]✓[/]" if job["status"] == "succeeded" else "[red]✗[/]"
    console.print(f"{mark} {name} {job['status']}: {airbyte.moved(job, seconds)}", highlight=False)
    labels = {"failureReason": "", "valuesNulled": "values that did not fit their type: ", "logFile": "log: "}
    for key in filter(job.get, labels):
        console.print(f"  {labels[key]}{escape(str(job[key]))}", highlight=False)
    sys.exit(0 if job["status"] == "succeeded" else 1)


def _is_own(settings: Settings, overlay: str | None) -> bool:
    """Whether an overlay is this place's, with this instance's Airflow."""
    return overlay in (None, settings.place)


@contextmanager
def _airbyte(chosen: Chosen, overlay: str | None, source: str | None, config: Path | None) -> Generator[BasePlace]:
    """The instance's place; its own Airbyte service runs meanwhile if it is the one that is meant."""
    place = chosen.open(source=source, config=config, as_started=True)
    if _is_own(place.settings, overlay) and airbyte.declared(place.settings, overlay).airbyte is None:
        with place.running(["postgres", "airbyte"]):
            yield place
    else:
        yield place


def _show_step(step: Step) -> None:
    note = f": {step.why}" if step.why else ""
    console.print(f"  {MARKS[step.action]} {step.action:10}{step.kind} {escape(step.name + note)}", highlight=False)


COMMANDS = (airbyte_plan, airbyte_apply, airbyte_sync)
