"""The container place, seen from inside one of its containers: Docker starts, watches and restarts the services."""

import os
import subprocess
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from stack.compose.settings import load
from stack.environments import DAGS, command_of, own_environment, task_environment
from stack.errors import StackError
from stack.place import BasePlace
from stack.runs.links import Links
from stack.settings import ROOT, ConfigError


class Place(BasePlace):
    """The stack of a Compose project; `settings` and `console` as in BasePlace."""

    @classmethod
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
    ) -> "Place":
        """Read the settings; source and configuration are those of `.env` and config/."""
        if source or config:
            raise ConfigError("containers read config/ and .env: set the source and settings there")
        return cls(load(var, application), console)

    @property
    def stays(self) -> bool:
        """True: `docker compose up` started them."""
        return True

    def start(self) -> None:
        """Refuse: containers are started from outside."""
        raise StackError("containers are started from outside: docker compose up")

    @classmethod
    def stop(cls, var: Path, console: Console) -> None:
        """Refuse: containers are stopped from outside."""
        raise StackError("containers are stopped from outside: docker compose stop")

    @contextmanager
    def running(
        self, names: Collection[str] | None = None, *, begun: Callable[[], None] = lambda: None
    ) -> Generator[None]:
        """Context in which services run: they run already."""
        begun()
        yield

    def wait_until_ready(self) -> None:
        """Return at once: `docker compose up --wait` has waited."""

    def states(self) -> dict[str, str]:
        """One entry for all services: Docker watches each container's health and restarts it."""
        return {"containers": "RUNNING"}

    def run_command(self, environment: str, *command: str, services: Collection[str]) -> int:
        """Run a command as tasks do; returns its exit status."""
        variables = os.environ | own_environment(self.settings) | task_environment(self.settings)
        variables |= {"PYTHONPATH": DAGS, "MLOPS_LINKS__DOCS": self.settings.link("docs")}
        return subprocess.run(command_of(environment, *command), env=variables, cwd=ROOT).returncode

    def log(self, instance: dict[str, Any]) -> str:
        """Airflow's page of the log; the file is in a volume."""
        return Links(self).task(instance)

    def page(self, path: Path) -> str:
        """URL of the page on the docs server, which serves the volume."""
        return self.file(path) or str(path)

    def file(self, path: Path) -> str | None:
        """URL of what the docs server serves; nothing else in the volume can be reached."""
        return self.settings.docs_url(path)

    def look_next(self) -> dict[str, str]:
        """The web pages."""
        return {name: self.settings.link(name) for name in ("docs", "airflow", "mlflow", "airbyte")}
