"""The contract of a place: where the services run, and what the commands need from it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console

from stack import places
from stack.settings import Settings


class BasePlace(ABC):
    """One instance of the stack, in the place that a subclass is for; progress is printed on `console`."""

    def __init__(self, settings: Settings, console: Console):
        self.settings = settings
        self.console = console

    @classmethod
    @abstractmethod
    def open(
        cls,
        name: str,
        var: Path,
        console: Console,
        *,
        source: str | None,
        config: Path | None,
        application: str | None,
        as_started: bool,
    ) -> "BasePlace":
        """Read the settings of an instance.

        Args:
            name: of the place.
            var: folder of everything that the instance writes.
            console: where progress is printed.
            source: folder or URL of the source files; None: as configured.
            config: YAML file that overrides config/; None: none.
            application: name of the one that the command is about; None: the first.
            as_started: use the settings that the instance was last started with.

        Raises:
            ConfigError: a setting is wrong, or cannot be given in this place.
        """

    @property
    @abstractmethod
    def stays(self) -> bool:
        """Whether the services run and outlive this process."""

    @abstractmethod
    def start(self) -> None:
        """Start all services and leave them running.

        Raises:
            BusyError: another command uses the instance.
            StackError: a service does not start, or services are started by other means in this place.
        """

    @classmethod
    @abstractmethod
    def stop(cls, var: Path, console: Console) -> None:
        """Stop the services of an instance, whatever has happened to its settings.

        Raises:
            StackError: services are stopped by other means in this place.
        """

    @abstractmethod
    def running(
        self, names: Collection[str] | None = None, *, begun: Callable[[], None] = lambda: None
    ) -> AbstractContextManager[None]:
        """Context in which services run; those that it has to start are stopped at its end.

        Args:
            names: of the services; None: all.
            begun: called once it is certain that no other command uses the instance, before anything starts.

        Raises:
            BusyError: another command uses the instance.
            StackError: a service does not start.
        """

    @abstractmethod
    def wait_until_ready(self) -> None:
        """Wait for the services that may start later than the others.

        Raises:
            StackError: one does not start.
        """

    @abstractmethod
    def states(self) -> dict[str, str]:
        """State of each service by name, such as RUNNING; empty: nothing supervises them any more."""

    @abstractmethod
    def run_command(self, environment: str, *command: str, services: Collection[str]) -> int:
        """Run a command as tasks do, on the terminal, while `services` run; returns its exit status."""

    @abstractmethod
    def log(self, instance: dict[str, Any]) -> str:
        """Where to read the log of a try of a task instance: a path or a URL."""

    @abstractmethod
    def page(self, path: Path) -> str:
        """Where to open a page that was written under `var`: a path or a URL."""

    @abstractmethod
    def file(self, path: Path) -> str | None:
        """Address of a file or folder under `var` for a link on the page of a run; None: a browser cannot reach it."""

    @abstractmethod
    def look_next(self) -> dict[str, str]:
        """Where to look after a run, by name."""


def place_class(name: str) -> type[BasePlace]:
    """The class of a place; imported only now, since an image holds the libraries of its own place alone.

    Raises:
        ConfigError: there is no such place, or its services are not started from here.
    """
    return import_module(f"stack.{places.launcher(name)}.place").Place
