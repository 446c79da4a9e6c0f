"""What the commands share: the console, options, and how an error becomes one line on the screen."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import httpx
import psycopg
from rich.console import Console
from rich.markup import escape

from airbyte_declaration.client import AirbyteError
from airbyte_declaration.declaration import DeclarationError
from stack.errors import StackError
from stack.place import BasePlace, place_class
from stack.settings import ConfigError

console = Console(soft_wrap=True)
# What the user can fix: settings, the machine, a service that does not answer.
FAILURES = (ConfigError, StackError, DeclarationError, AirbyteError, httpx.HTTPError, psycopg.Error, OSError)


@dataclass(frozen=True)
class Chosen:
    """The name of the place, the folder of the instance and the application that a command was given."""

    place: str
    var: Path
    application: str | None = None

    def open(self, *, source: str | None = None, config: Path | None = None, as_started: bool = False) -> BasePlace:
        """The place with the settings of the instance; see BasePlace.open."""
        opened = place_class(self.place).open
        given = {"source": source, "config": config, "application": self.application, "as_started": as_started}
        return opened(self.place, self.var, console, **given)


config_option = click.option("--config", type=click.Path(path_type=Path), help="YAML file that overrides config/.")


def settings_options(command: Callable) -> Callable:
    """The options that choose source files and settings."""
    source = click.option("--source", help="Folder or base URL of the source files.")
    return source(config_option(command))


class Commands(click.Group):
    """Commands whose errors that the user can fix become a line on the screen and exit status 1."""

    def invoke(self, ctx: click.Context) -> None:
        """Run the chosen command."""
        try:
            super().invoke(ctx)
        except FAILURES as error:
            console.print(f"[red]{escape(str(error) or repr(error))}[/]", highlight=False)
            sys.exit(1)
        except KeyboardInterrupt:
            sys.exit(130)
