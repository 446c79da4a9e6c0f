"""The embedded place: the services as processes of this machine, under one supervisor."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.console import Console

from stack.embedded import doctor
from stack.embedded.settings import load
from stack.embedded.supervision import Stack
from stack.embedded.supervisor import Supervisor
from stack.environments import DAGS, command_of, common_environment, task_environment
from stack.place import BasePlace
from stack.pods.preparation import prepare
from stack.runs import dag_runs
from stack.runs.job import connect
from stack.settings import ROOT, Settings


class Place(BasePlace):
    """One instance; `settings` and `console` as in BasePlace."""

    def __init__(self, settings: Settings, console: Console):
        super().__init__(settings, console)
        self._stack = Stack(settings)

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
        """Read the settings of the instance in `var`."""
        settings = load(var, place=name, source=source, config=config, application=application, as_started=as_started)
        return cls(settings, console)

    @property
    def stays(self) -> bool:
        """Whether the services run and outlive this process."""
        return self._stack.stays

    def start(self) -> None:
        """Start all services and leave them running; again if they run with other settings."""
        doctor.require(self._stack, self.console)
        if self._stack.stays and not self._stack.is_up_with(self.settings):
            self.console.print("Starting again with the new settings")
            self._stack.stop()
        if self._stack.stays:
            connect(self.settings)
            return
        with self.console.status("starting the services"):
            self._stack.start(stay=True)
            # At once: the watch may start dataops as soon as the late triggerer is up.
            connect(self.settings)
            self._stack.wait_until_ready()

    @classmethod
    def stop(cls, var: Path, console: Console) -> None:
        """Stop the services of an instance, whatever has happened to its settings."""
        _stop(Supervisor(var.resolve()), console)

    @contextmanager
    def running(
        self, names: Collection[str] | None = None, *, begun: Callable[[], None] = lambda: None
    ) -> Generator[None]:
        """Context in which services run; see BasePlace. If all run with other settings, they start again with these."""
        stack = self._stack
        if names is not None and self.settings.is_emulated:
            names = {*names, "bigquery", "storage"}
        # Services that end with another command are not to be used: starting ours says so.
        if stack.is_up(names) and (names or stack.stays):
            begun()
            if names is None:
                doctor.require(stack, self.console)
            if names is None and not stack.is_up_with(self.settings):
                self.console.print("The stack runs with other settings: starting it again with the new ones")
                stack.stop()
                stack.start(stay=True)
                stack.wait_until_ready()
            elif names is None:
                prepare(self.settings)
            yield
            return
        doctor.require(stack, self.console)
        # Without services that stay there is no schedule and no watch.
        self._stack = Stack(self.settings.changed_for_all(dataops_schedule=None, watch={"seconds": None}))
        began = time.monotonic()
        with self.console.status("starting the services"):
            self._stack.start(names, stay=False, begun=begun)
        try:
            if names:
                self._stack.wait_until_ready()
            seconds = time.monotonic() - began
            self.console.print(f"  [green]✓[/] {'services are up':38}{seconds:7.1f} s", highlight=False)
            yield
        finally:
            _stop(self._stack, self.console)
            self._stack = stack

    def wait_until_ready(self) -> None:
        """Wait for MLflow and the triggerer, without which a run can begin."""
        self._stack.wait_until_ready()

    def states(self) -> dict[str, str]:
        """The supervisor's name for the state of each service; empty if no supervisor runs."""
        return self._stack.states()

    def run_command(self, environment: str, *command: str, services: Collection[str]) -> int:
        """Run a command as tasks do while `services` run; returns its exit status."""
        # Without services there is nothing to start, also while this process has started its own.
        with self.running(services) if services else nullcontext():
            variables = common_environment(self.settings) | task_environment(self.settings) | {"PYTHONPATH": DAGS}
            if self.stays:
                variables["MLOPS_LINKS__DOCS"] = self.settings.link("docs")
            return subprocess.run(command_of(environment, *command), env=variables, cwd=ROOT).returncode

    def log(self, instance: dict[str, Any]) -> str:
        """Path of the log."""
        return str(dag_runs.log_file(self.settings.var, instance))

    def page(self, path: Path) -> str:
        """The path itself."""
        return str(path)

    def file(self, path: Path) -> str:
        """URL of what the docs server serves, or else the path from the page's own folder."""
        url = self.settings.docs_url(path) if self.stays else None
        return url or quote(os.path.relpath(path, self.settings.var / "explain"))

    def look_next(self) -> dict[str, str]:
        """The web pages while they are served, and the data docs."""
        names = ("docs", "airflow", "mlflow", "airbyte")
        pages = {name: self.settings.link(name) for name in names} if self.stays else {"web pages": "make up"}
        docs = self.settings.var / "great_expectations" / "data_docs" / self.settings.application / "index.html"
        return pages | ({"data docs": str(docs)} if docs.exists() else {})


def _stop(stack: Supervisor, console: Console) -> None:
    # A second Ctrl-C must not leave half of them.
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    with console.status("stopping the services"):
        stack.stop()
    for number, handler in handlers.items():
        signal.signal(number, handler)
