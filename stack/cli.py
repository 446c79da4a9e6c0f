"""The launcher's commands, one a target of the Makefile."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import httpx
import psycopg
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from airbyte_declaration.client import AirbyteError
from airbyte_declaration.declaration import DeclarationError
from airbyte_declaration.plan import Step
from stack import airbyte, demo
from stack.compose import doctor as compose_doctor
from stack.embedded import doctor
from stack.embedded.supervision import Stack
from stack.environments import command_of, common_environment, task_environment
from stack.errors import BusyError, StackError
from stack.runs import page as explain
from stack.runs import summary
from stack.runs.airflow_api import AirflowApi
from stack.runs.job import connect, run_graphs
from stack.runs.links import Links
from stack.settings import ROOT, ConfigError, Settings, load

console = Console(soft_wrap=True)
# What a person can mend: settings, the machine, a service that does not answer.
FAILURES = (ConfigError, StackError, DeclarationError, AirbyteError, httpx.HTTPError, psycopg.Error, OSError)
MARKS = {"create": "[green]+[/]", "update": "[yellow]~[/]", "delete": "[red]-[/]", "unchanged": " ", "keep": " "}


@click.group()
@click.option("--var", type=click.Path(path_type=Path, file_okay=False), default=ROOT / "var", help="Where all lives.")
@click.pass_context
def main(context: click.Context, var: Path) -> None:
    """The embedded stack: all services as processes of this machine."""
    # A polite kill ends a command as Ctrl-C does, in good order; and Ctrl-C does so even where the caller ignores it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    context.obj = var


config_option = click.option("--config", type=click.Path(path_type=Path), help="YAML file laid over config/.")


def settings_options(command: Callable) -> Callable:
    """The options that choose source files and settings."""
    source = click.option("--source", help="Folder or base URL that holds projects.csv and tags.csv.")
    return source(config_option(command))


@main.command()
@settings_options
@click.pass_obj
def run(var: Path, source: str | None, config: Path | None) -> None:
    """Run dataops, then mlops, and say what came of it."""
    began = time.monotonic()
    facts = summary.empty(source)
    look_next, page = {"logs": f"{var}/logs/"}, {}
    try:
        settings = load(var, source=source, config=config)
        facts["source"] = summary.public(settings.config["source"])
        # Should this process be killed.
        unfinished = facts | {"error": "the run has not ended: it is at work, or was killed"}
        with running(settings, begun=lambda: summary.write(unfinished, var / "summary.json")) as stack:
            look_next |= _addresses(settings) if stack.stays else {"UIs": "make up"}
            try:
                run_graphs(stack, facts, console)
            finally:
                page = _page(settings, facts)
    except BusyError as error:
        # The summary is that of the other command.
        console.print(f"[red]{escape(str(error))}[/]", highlight=False)
        sys.exit(1)
    except FAILURES as error:
        facts["error"] = str(error) or repr(error)
    except KeyboardInterrupt:
        facts["error"] = "interrupted"
    facts["seconds"] = round(time.monotonic() - began, 1)
    docs = var / "great_expectations" / "data_docs" / "index.html"
    look_next |= {"data docs": str(docs)} if docs.exists() else {}
    try:
        summary.write(facts, var / "summary.json")
    except OSError as error:
        look_next["not written"] = str(error)
    summary.show(facts, console, look_next | {"these facts": f"{var}/summary.json"} | page)
    sys.exit(0 if facts["state"] == "success" else 1)


@main.command()
@settings_options
@click.pass_obj
def up(var: Path, source: str | None, config: Path | None) -> None:
    """Start the stack and leave it running."""
    with _told():
        settings = load(var, source=source, config=config)
        stack = Stack(settings)
        doctor.require(stack, console)
        if stack.stays and not stack.is_up_with(settings):
            console.print("Starting again with the new settings")
            stack.stop()
        if not stack.stays:
            with console.status("starting the services"):
                stack.start(stay=True)
                # At once: the watch may start dataops as soon as the late triggerer is up.
                connect(settings)
                stack.wait_until_ready()
        else:
            connect(settings)
        _show_status(stack)
        shown = var / "airflow" / "password-shown"
        if not shown.exists():
            console.print(f"\nThe logins, shown this once (kept in {var}/secrets.json):")
            for name, user, secret in (
                ("Airflow", "admin", "admin"),
                ("Airbyte", settings.airbyte_client_id, "airbyte_client_secret"),
            ):
                console.print(f"  {name}: user {user}, password {settings.secrets[secret]}", highlight=False)
            shown.touch()


@main.command()
@click.pass_obj
def status(var: Path) -> None:
    """Say what runs and where."""
    with _told():
        _show_status(Stack(load(var, as_started=True)))


@main.command()
@click.pass_obj
def down(var: Path) -> None:
    """Stop the stack."""
    with _told(), console.status("stopping"):
        # Whatever has become of the settings: this one is enough to stop.
        Stack(Settings.model_construct(var=var.resolve())).stop()
    console.print("The stack is stopped.")


@main.command("explain")
@click.option("--run", "run_id", help="Id of a run of dataops or mlops; default: the latest of dataops.")
@click.pass_obj
def explain_run(var: Path, run_id: str | None) -> None:
    """Write the page of a run."""
    with _told():
        settings = load(var, as_started=True)
        if not (settings.var / "airflow" / "migrated").exists():
            raise StackError(f"nothing has run in {settings.var} yet: make run")
        with running(settings, ["postgres", "airflow-api-server"]):
            page = explain.write(settings, run_id)
        console.print(page, highlight=False)


@main.command()
@click.option("--input", "source", required=True)
@click.option("--output", required=True)
@click.pass_obj
def predict(var: Path, source: str, output: str) -> None:
    """Tag the projects of a file with the champion."""
    with _told():
        if not source or not output:
            raise StackError("say which files: make predict INPUT=projects.csv OUTPUT=tagged.csv")
        files = ["--input", str(Path(source).resolve()), "--output", str(Path(output).resolve())]
        command = command_of("tagifai", "tagifai", "predict", *files)
        _run_command(load(var, as_started=True), ["postgres", "mlflow"], command)


place_option = click.option(
    "--place", default=Settings.place, help="Whose overlay of connections.yaml counts, and whose Airbyte."
)
delete_option = click.option("--delete", is_flag=True, help="Delete what is not declared.")


@main.command()
@settings_options
@place_option
@delete_option
@click.pass_obj
def airbyte_plan(var: Path, place: str, source: str | None, config: Path | None, *, delete: bool) -> None:
    """Say what airbyte-apply would change."""
    with _told():
        settings = load(var, source=source, config=config, as_started=True)
        with _airbyte(settings, place):
            for step in airbyte.plan(settings, place, delete=delete).steps():
                _show_step(step)


@main.command()
@settings_options
@place_option
@delete_option
@click.pass_obj
def airbyte_apply(var: Path, place: str, source: str | None, config: Path | None, *, delete: bool) -> None:
    """Make Airbyte's sources, destinations and connections as declared."""
    with _told():
        settings = load(var, source=source, config=config, as_started=True)
        with _airbyte(settings, place) as stack:
            plan = airbyte.plan(settings, place, delete=delete)
            for step in plan.apply():
                _show_step(step)
            ids = plan.ids()
            if place == Settings.place and stack.is_up(["airflow-api-server"]):
                AirflowApi(settings).set_variable("airbyte_connections", json.dumps(ids))
                console.print("Airflow knows the connections by their ids now.")
            elif place == Settings.place:
                console.print("Airflow gets to know the connections' ids when it starts.")
            else:
                path = airbyte.write_variables(settings, place, ids)
                console.print(f"For Airflow there: airflow variables import {path}", highlight=False)


@main.command()
@settings_options
@click.option("--name", required=True, help="Of the connection.")
@place_option
@click.pass_obj
def airbyte_sync(var: Path, name: str, place: str, source: str | None, config: Path | None) -> None:
    """Run a connection and show how it goes."""
    with _told():
        settings = load(var, source=source, config=config, as_started=True)
        if not name:
            raise StackError("say which connection: make airbyte-sync NAME=projects")
        with _airbyte(settings, place):
            began = time.monotonic()
            if place == Settings.place:
                airbyte.apply(settings)
            job = airbyte.sync(airbyte.plan(settings, place), name, console)
            seconds = time.monotonic() - began
    mark = "[green]✓[/]" if job["status"] == "succeeded" else "[red]✗[/]"
    console.print(f"{mark} {name} {job['status']}: {airbyte.moved(job, seconds)}", highlight=False)
    told = {"failureReason": "", "valuesNulled": "values that did not fit their type: ", "logFile": "log: "}
    for key in filter(job.get, told):
        console.print(f"  {told[key]}{escape(str(job[key]))}", highlight=False)
    sys.exit(0 if job["status"] == "succeeded" else 1)


@main.command()
@click.pass_obj
def validate(var: Path) -> None:
    """Run the Great Expectations checkpoints without Airflow."""
    with _told():
        command = command_of("airflow", "python", "-m", "pipeline.checkpoints")
        _run_command(load(var, as_started=True), ["postgres"], command)


@main.command()
@settings_options
@click.option("--only", help="The one group to measure.")
@click.option("--rounds", type=click.IntRange(1), help="How often each thing is measured.")
@click.pass_obj
def bench(var: Path, only: str | None, **options: Any) -> None:
    """Measure, and hold what was measured against its bounds."""
    # Groups start services as these commands do.
    from devtools.bench import GROUPS
    from devtools.bench.table import Options, measure

    with _told():
        all_ok = measure(GROUPS, Options(var.resolve(), console, **options), only=only)
    sys.exit(0 if all_ok else 1)


@main.command()
@config_option
@click.pass_obj
def demo_failure(var: Path, config: Path | None) -> None:
    """Feed bad rows on purpose and show the gate that stops them."""
    with _told(), running(load(var, config=config, as_started=True)) as stack:
        stopped = demo.demonstrate(stack, console)
    sys.exit(0 if stopped else 1)


@main.command("doctor")
@config_option
@click.option("--place", type=click.Choice([Settings.place, "compose"]), default=Settings.place, help="Where it runs.")
@click.pass_obj
def run_doctor(var: Path, config: Path | None, place: str) -> None:
    """Look at all that a run needs, and say what to do where it is not fit."""
    fit = compose_doctor.look(console) if place == "compose" else doctor.look(var, config, console)
    sys.exit(0 if fit else 1)


@main.command()
@settings_options
@click.option("--only", help="The one strike to try.")
@click.option("--rounds", type=click.IntRange(1), default=3, help="How often each is tried.")
@click.option("--seed", type=int, default=1, help="Chooses the moments.")
@click.pass_obj
def torture(var: Path, **options: Any) -> None:
    """Break runs on purpose, and see that they or the next ones end well."""
    from devtools.torture import torture

    with _told():
        ended_well = torture(var.resolve() / "torture", console, **options)
    sys.exit(0 if ended_well else 1)


@contextmanager
def _airbyte(settings: Settings, place: str) -> Iterator[Stack]:
    """The Airbyte of a place; the local service runs as long as it is needed."""
    if place == Settings.place and airbyte.declared(settings, place).airbyte is None:
        with running(settings, ["postgres", "airbyte"]) as stack:
            yield stack
    else:
        yield Stack(settings)


def _show_step(step: Step) -> None:
    note = f": {step.why}" if step.why else ""
    console.print(f"  {MARKS[step.action]} {step.action:10}{step.kind} {escape(step.name + note)}", highlight=False)


@contextmanager
def running(
    settings: Settings, names: list[str] | None = None, *, begun: Callable[[], None] = lambda: None
) -> Iterator[Stack]:
    """Services for as long as they are needed: those that are up already, or started here and stopped again.

    Args:
        settings: of the instance; a stack that is up with other settings is started again with these.
        names: which services; None: all.
        begun: called when it is sure that no other command is at work.
    """
    stack = Stack(settings)
    # One that runs but does not stay belongs to another command; to start is to be told so.
    if stack.is_up(names) and (names or stack.stays):
        begun()
        if names is None:
            doctor.require(stack, console)
        if names is None and not stack.is_up_with(settings):
            console.print("The stack is up with other settings: starting it again with these")
            stack.stop()
            stack.start(stay=True)
            stack.wait_until_ready()
        yield stack
        return
    doctor.require(stack, console)
    # Nobody stays to serve a schedule, or to watch.
    watch = settings.config["watch"] | {"seconds": None}
    once = settings.model_copy(update={"config": settings.config | {"dataops_schedule": None, "watch": watch}})
    stack = Stack(once)
    began = time.monotonic()
    with console.status("starting the services"):
        stack.start(names, stay=False, begun=begun)
    try:
        if names:
            stack.wait_until_ready()
        console.print(f"  [green]✓[/] {'services are up':38}{time.monotonic() - began:7.1f} s", highlight=False)
        yield stack
    finally:
        # A second one must not leave half of them.
        handlers = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        with console.status("stopping the services"):
            stack.stop()
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _run_command(settings: Settings, names: list[str], command: list[str]) -> None:
    with running(settings, names):
        environment = common_environment(settings) | task_environment(settings)
        environment["PYTHONPATH"] = str(ROOT / "airflow" / "dags")
        code = subprocess.run(command, env=environment, cwd=ROOT).returncode
    sys.exit(code)


@contextmanager
def _told() -> Iterator[None]:
    """Turn what a person can mend into a line on the screen and exit status 1."""
    try:
        yield
    except FAILURES as error:
        console.print(f"[red]{escape(str(error) or repr(error))}[/]", highlight=False)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _addresses(settings: Settings) -> dict[str, str]:
    links = Links(settings)
    return {"Airflow": links.airflow, "MLflow": links.mlflow, "Airbyte": links.airbyte}


def _page(settings: Settings, facts: dict[str, Any]) -> dict[str, str]:
    """Write the page of a run that has begun; returns where to look for it."""
    if not facts["dataops"]:
        return {}
    try:
        return {"page": str(explain.write(settings, facts["dataops"]["run_id"]))}
    except Exception as error:
        # Whatever is wrong with its page, the run is what it is.
        return {"page": f"could not be written: {error!r}"}


def _show_status(stack: Stack) -> None:
    states = stack.states()
    if not states:
        console.print("Nothing is running; `make up` starts the stack.")
        return
    table = Table(box=None, header_style="dim")
    for column in ("service", "state", "port"):
        table.add_column(column)
    ports: dict[str, Any] = dict(stack.settings.ports)
    for name, state in states.items():
        port = ports.get(name, ports["airflow"] if name == "airflow-api-server" else "")
        table.add_row(name, f"[{'green' if state == 'RUNNING' else 'red'}]{state.lower()}[/]", str(port))
    console.print(table)
    for name, address in _addresses(stack.settings).items():
        console.print(f"{name}: {address}")
