"""Commands about the services: up, status, down, doctor, password."""

import sys
from importlib import import_module
from pathlib import Path

import click
from rich.table import Table

from stack import places
from stack.cli.common import Chosen, config_option, console, settings_options
from stack.place import place_class
from stack.settings import Settings


@click.command()
@settings_options
@click.pass_obj
def up(chosen: Chosen, source: str | None, config: Path | None) -> None:
    """Start the services and keep them running."""
    place = chosen.open(source=source, config=config)
    place.start()
    _show_status(place.states(), place.settings)
    shown = chosen.var / "airflow" / "password-shown"
    if not shown.exists():
        console.print(f"\nThe logins, from {chosen.var}/secrets.json; `make password` shows them again:")
        _show_logins(place.settings)
        shown.touch()


@click.command()
@click.pass_obj
def status(chosen: Chosen) -> None:
    """List the services, their states and their addresses."""
    place = chosen.open(as_started=True)
    _show_status(place.states(), place.settings)


@click.command()
@click.pass_obj
def down(chosen: Chosen) -> None:
    """Stop the services."""
    place_class(chosen.place).stop(chosen.var, console)
    console.print("The stack is stopped.")


@click.command()
@config_option
@click.pass_obj
def doctor(chosen: Chosen, config: Path | None) -> None:
    """Check this machine and explain how to fix problems."""
    fit = import_module(f"stack.{places.launcher(chosen.place)}.doctor").look(
        console, place=chosen.place, var=chosen.var, config=config
    )
    sys.exit(0 if fit else 1)


@click.command()
@click.pass_obj
def password(chosen: Chosen) -> None:
    """Show the logins."""
    _show_logins(chosen.open(as_started=True).settings)


def _show_status(states: dict[str, str], settings: Settings) -> None:
    if not states:
        console.print("Nothing is running; `make up` starts the stack.")
        return
    table = Table("service", "state", "port", box=None, header_style="dim")
    ports = settings.ports.model_dump(exclude_none=True)
    for name, state in states.items():
        port = ports.get(name, ports["airflow"] if name == "airflow-api-server" else "")
        table.add_row(name, f"[{'green' if state == 'RUNNING' else 'red'}]{state.lower()}[/]", str(port))
    console.print(table)
    for name in ("docs", "airflow", "mlflow", "airbyte"):
        console.print(f"{name:8}{settings.link(name)}", highlight=False)


def _show_logins(settings: Settings) -> None:
    for service, user, secret in settings.logins():
        login = f"user {user}  password {settings.secrets[secret]}"
        console.print(f"{service:8}{settings.link(service.lower())}  {login}", highlight=False)


COMMANDS = (up, status, down, doctor, password)
