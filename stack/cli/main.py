"""The launcher's commands, one for each target of the Makefile."""

import signal
from pathlib import Path

import click

from stack.cli import airbyte, applications, places, runs, services
from stack.cli.common import Chosen, Commands
from stack.compose import jobs
from stack.settings import ROOT


@click.group(cls=Commands)
@click.option("--place", default="embedded", help="Name of a file of config/places.")
@click.option(
    "--var", type=click.Path(path_type=Path, file_okay=False), default=ROOT / "var", help="Folder for all data."
)
@click.option("--application", help="Name of the application that the command is about; default: the first.")
@click.pass_context
def main(context: click.Context, place: str, var: Path, application: str | None) -> None:
    """Run and inspect the stack."""
    # SIGTERM ends a command in good order, as Ctrl-C does; and Ctrl-C works even where the caller ignores it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    context.obj = Chosen(place, var, application or None)


for module in (runs, services, airbyte, applications, places, jobs):
    for command in module.COMMANDS:
        main.add_command(command)
