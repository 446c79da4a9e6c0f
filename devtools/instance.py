"""An instance of the stack beside the user's: its own folder and ports, a copy of the source, `make run` on it."""

import csv
import io
import shutil
import subprocess
from pathlib import Path
from typing import IO

import httpx
import psutil
import yaml

from devtools.ports import free_port
from stack.embedded.settings import load
from stack.embedded.supervision import Stack
from stack.embedded.supervisor import processes_of
from stack.errors import StackError
from stack.settings import ROOT, inherited_environment, write_private

FILES = ("projects.csv", "tags.csv")
# Of the outer make; what it was called with is not meant for an inner one.
MAKE_VARIABLES = ("MAKE", "MFLAGS")


class Instance:
    """One instance under `folder`; whatever an earlier one left there is ended and deleted.

    Attributes:
        folder: of everything; the instance's own `var` is in it.
        settings: the launcher's.
        source: folder of its source files.
    """

    def __init__(self, folder: Path, *, source: str | None, config: Path | None):
        """Make the folder, choose free ports and fetch the source.

        Args:
            folder: deleted if it is there.
            source: folder or URL of the source files; None: the config's.
            config: YAML file laid over config/; None: none.

        Raises:
            ConfigError: a setting is wrong.
            StackError: the source lacks a file.
            httpx.HTTPError: the source's server does not answer, or refuses.
        """
        var = folder / "var"
        if var.exists():
            Stack(load(var)).stop()
            shutil.rmtree(folder)
        chosen = load(var, source=source, config=config).config
        self.folder, self.source, self._snapshots = folder, folder / "source", 0
        self._config = folder / "config.yaml"
        self._files = {name: fetch(chosen["source"], name) for name in FILES}
        ports = {name: free_port() for name in chosen["ports"]}
        own = chosen | {"source": str(self.source), "ports": ports}
        self._config.write_text(yaml.safe_dump(own, allow_unicode=True), encoding="utf-8")
        self.settings = load(var, config=self._config)

    def renew_source(self) -> None:
        """Change a word of one row, so that the next snapshot, and with it the study, is new and as large as before."""
        self._snapshots += 1
        self.source.mkdir(exist_ok=True)
        for name, text in self._files.items():
            write_private(self.source / name, renewed(text, self._snapshots) if name == "projects.csv" else text)

    def command(self, target: str) -> list[str]:
        """Command line of a target of the Makefile on this instance."""
        places = {"VAR": self.settings.var, "CONFIG": self._config, "SOURCE": self.source}
        return ["make", target, *(f"{name}={value}" for name, value in places.items())]

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables of that command."""
        return {k: v for k, v in inherited_environment().items() if not k.startswith(MAKE_VARIABLES)}

    def processes(self) -> list[psutil.Process]:
        """Processes that were told that they are this instance's."""
        return processes_of(self.settings.var)


def start(command: list[str], environment: dict[str, str], output: IO) -> subprocess.Popen:
    """Start a command from the repository's root in a session of its own; it is told to end when this process ends.

    Args:
        command: what is run.
        environment: all its variables.
        output: where its output goes.
    """
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", *command],
        cwd=ROOT,
        env=environment,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
    )


def renewed(projects: str, number: int) -> str:
    """The text of projects.csv with `number` behind the description of its first project that has one.

    Raises:
        StackError: no row has a description.
    """
    reader = csv.DictReader(io.StringIO(projects, newline=""))
    rows = list(reader)
    first = next((row for row in rows if row.get("description")), None)
    if first is None:
        raise StackError("projects.csv has no row with a description; take another source, SOURCE=…")
    first["description"] += f" {number}"
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, reader.fieldnames)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def fetch(source: str, name: str) -> str:
    """The text of a file of a source, which is a folder or a URL.

    Raises:
        StackError: it cannot be read.
        httpx.HTTPError: the source's server does not answer, or refuses.
    """
    if source.startswith("http"):
        return httpx.get(f"{source}/{name}", timeout=60, follow_redirects=True).raise_for_status().text
    try:
        return (Path(source) / name).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise StackError(f"{source}/{name}: cannot be read ({error}); take another source, SOURCE=…") from None
