"""A separate instance of the stack: its own folder and ports, a copy of the source files, and `make` commands on it."""

import csv
import io
import shutil
import subprocess
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import IO, Any

import psutil
import yaml
from rich.console import Console

from devtools.ports import free_port
from stack.demo import fetch
from stack.embedded.place import Place
from stack.embedded.settings import load
from stack.embedded.supervision import Stack
from stack.errors import StackError
from stack.settings import ROOT, Settings, inherited_environment, write_private

# Variables of an outer make, which must not reach an inner one.
MAKE_VARIABLES = ("MAKE", "MFLAGS")


class Instance:
    """One instance under `folder`; what an earlier one left there is stopped and deleted.

    Attributes:
        folder: of everything; the instance's own `var` is in it.
        settings: the launcher's.
        source: folder of its source files.
    """

    def __init__(self, folder: Path, *, source: str | None, config: Path | None, place: str = "embedded"):
        """Make the folder anew, choose free ports and copy the source files; the others as of `make run`."""
        var = folder / "var"
        if var.exists():
            Stack(load(var, place=place)).stop()
            shutil.rmtree(folder)
        chosen = load(var, place=place, source=source, config=config).config
        self._place = place
        self.folder, self.source, self._snapshots = folder, folder / "source", 0
        self._config = folder / "config.yaml"
        self._files = source_files(chosen)
        self.source.mkdir()
        for name, text in self._files.items():
            (self.source / name).parent.mkdir(parents=True, exist_ok=True)
            write_private(self.source / name, text)
        ports = {name: free_port() for name in chosen["ports"]}
        own = chosen | {"source": str(self.source), "ports": ports}
        self._config.write_text(yaml.safe_dump(own, allow_unicode=True), encoding="utf-8")
        self.settings = load(var, place=place, config=self._config)

    def renew_source(self) -> None:
        """Change one value, so that the next snapshot, and with it the study, is new and of the same size."""
        self._snapshots += 1
        name, text = next(iter(self._files.items()))
        write_private(self.source / name, renewed(text, self._snapshots))

    def command(self, target: str) -> list[str]:
        """Command line of a target of the Makefile on this instance."""
        given = {"PLACE": self._place, "VAR": self.settings.var, "CONFIG": self._config, "SOURCE": self.source}
        return ["make", target, *(f"{name}={value}" for name, value in given.items())]

    def make(self, target: str) -> subprocess.CompletedProcess[str]:
        """Run a target of the Makefile; its output is text."""
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.run(self.command(target), cwd=ROOT, env=self.environment, **output, text=True)

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables of these commands."""
        return {k: v for k, v in inherited_environment().items() if not k.startswith(MAKE_VARIABLES)}

    def processes(self) -> list[psutil.Process]:
        """Processes of this instance, connectors too, whose environment only has a folder of the instance."""
        found = []
        for process in psutil.process_iter(["name", "cmdline"]):
            with suppress(psutil.Error):
                environment, var = process.environ(), str(self.settings.var)
                if environment.get("MLOPS_VAR") == var or environment.get("TMPDIR", "").startswith(f"{var}/"):
                    found.append(process)
        return found


def running(settings: Settings, *services: str) -> AbstractContextManager[None]:
    """Context in which services run: those that are up already, or else ones that end with it."""
    return Place(settings, Console()).running(services)


def start(command: list[str], environment: dict[str, str], output: IO[str]) -> subprocess.Popen[bytes]:
    """Start a command from the repository's root in its own session; it gets SIGTERM when this process ends."""
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", *command],
        cwd=ROOT,
        env=environment,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
    )


def source_files(config: dict[str, Any]) -> dict[str, str]:
    """Text of each source file by name, in the order of the setting `sources`; errors as of fetch."""
    files = [source["file"] for source in config["sources"].values()]
    return {name: fetch(config["source"], name).decode("utf-8-sig") for name in files}


def renewed(text: str, number: int) -> str:
    """A CSV file's text with `number` behind the last column of the first row that has a value there."""
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    row = next((row for row in rows if len(row) == len(header) and row[-1]), None)
    if row is None:
        raise StackError(f"the column {header[-1]} is empty in all rows; take another source, SOURCE=…")
    row[-1] += f" {number}"
    changed = io.StringIO(newline="")
    csv.writer(changed).writerows([header, *rows])
    return changed.getvalue()
