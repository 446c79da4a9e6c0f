"""`make demo-failure`: load bad rows, show the gate that stops them, and what consumers read before and after."""

import json
import subprocess
import sys
import time
import webbrowser
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from stack import airbyte
from stack.errors import StackError
from stack.place import BasePlace
from stack.runs import dag_runs, summary
from stack.runs.airflow_api import AirflowApi
from stack.runs.job import run_graphs
from stack.settings import ROOT, Settings, inherited_environment
from stack.warehouses import warehouse

# Characters of rows and content that are shown.
SHOWN = 18


def demonstrate(place: BasePlace) -> bool:
    """Run dataops on the source with bad rows added, after a good run if nothing is published yet.

    Returns:
        Whether a gate stopped the run and everything that consumers read is unchanged.
    """
    settings, console = place.settings, place.console
    source, folder = settings.config["source"], settings.var / "demo-failure"
    place.wait_until_ready()
    before = published(settings)
    if not before:
        console.print(f"\nNothing is published yet, so first a good run on {escape(source)}", highlight=False)
        _good_run(place)
        before = published(settings)
    folder.mkdir(exist_ok=True)
    for name in (each["file"] for each in settings.config["sources"].values()):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(fetch(source, name))
    console.print(f"\nBad rows, added to a copy of {escape(source)} in {folder}:", highlight=False)
    _show_rows(_spoil(place, folder), console)
    facts = summary.empty(str(folder), settings.place)
    spoiled = settings.changed(source=str(folder))
    restore = [sys.executable, "-m", "stack", "--place", settings.place, "--var", str(settings.var), "airbyte-apply"]
    # Services that keep running would go on loading the bad rows.
    with on_kill(restore) if place.stays else nullcontext():
        try:
            run_graphs(place, facts, console, settings=spoiled)
            console.print("\n[red]No gate stopped them.[/]")
        except StackError as error:
            _show_error(str(error), console)
        finally:
            airbyte.apply(settings)
    stopped = _show_gate(settings, facts, console)
    after = published(settings)
    _show_published(before, after, console)
    console.print("\nThe bad rows stay in the loaded tables until the next `make run`.", highlight=False)
    return stopped and after == before


@contextmanager
def on_kill(command: list[str]) -> Generator[None]:
    """Another process runs a command if this one is killed within the block."""
    # The input that it waits for ends with this process.
    waiting = ["sh", "-c", 'read -r _; exec "$@"', "sh", *command]
    unseen = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(waiting, stdin=subprocess.PIPE, cwd=ROOT, start_new_session=True, **unseen) as process:
        try:
            yield
        finally:
            process.kill()


def published(settings: Settings) -> dict[str, str]:
    """What consumers read, by name: rows and MD5 of the published tables, and the champion; empty before a good run."""
    found: dict[str, str] = {}
    for table in settings.tables["published"].values():
        if (digest := warehouse(settings).digest(table)) is None:
            return {}
        found[table] = digest
    name = settings.config["model"]["name"]
    address = f"{settings.url('mlflow')}/api/2.0/mlflow/registered-models/alias"
    login = (settings.mlflow_user, settings.secrets["mlflow_admin"]) if settings.mlflow_user else None
    asked = {"name": name, "alias": "champion"}
    answer = httpx.get(address, params=asked, auth=login, timeout=60, trust_env=False)
    if answer.status_code in (httpx.codes.NOT_FOUND, httpx.codes.BAD_REQUEST):
        return {}
    version = answer.raise_for_status().json()["model_version"]["version"]
    return found | {"champion": f"{name} version {version}"}


def fetch(source: str, name: str) -> bytes:
    """The content of a file of a source, which is a folder or a URL; a StackError if it cannot be read."""
    if source.startswith("http"):
        return httpx.get(f"{source}/{name}", timeout=60, follow_redirects=True).raise_for_status().content
    try:
        return (Path(source) / name).read_bytes()
    except OSError as error:
        raise StackError(f"{source}/{name}: cannot be read ({error}); use another source, SOURCE=…") from None


def _spoil(place: BasePlace, folder: Path) -> list[dict[str, Any]]:
    """Let the application add bad rows to the files in a folder; returns these rows, with what is wrong with each."""
    package, result = place.settings.config["package"], folder / "bad-rows.json"
    command = [package, "spoil", "--folder", str(folder), "--result", str(result)]
    if place.run_command(package, *command, services=[]):
        raise StackError(f"`{' '.join(command)}` failed: see above")
    return json.loads(result.read_text(encoding="utf-8"))["rows"]


def _good_run(place: BasePlace) -> None:
    """What `make run` does, its summary included."""
    facts, began = summary.empty(place.settings.config["source"], place.settings.place), time.monotonic()
    try:
        run_graphs(place, facts, place.console)
    except StackError as error:
        facts["error"] = str(error)
        raise
    finally:
        facts["seconds"] = round(time.monotonic() - began, 1)
        summary.write(facts, place.settings.var / "summary.json")


def _show_rows(bad: list[dict[str, Any]], console: Console) -> None:
    table = Table(*(Column(name, no_wrap=True) for name in bad[0]), box=None, header_style="dim")
    for row in bad:
        table.add_row(*(escape(str(value)) for value in row.values()))
    console.print(table, highlight=False)
    console.print()


def _show_error(message: str, console: Console) -> None:
    """Print the error message of a failed run, one expectation per paragraph."""
    head, *expectations = message.splitlines()
    console.print(f"\n[red]{escape(head)}[/]", highlight=False)
    table = Table.grid(padding=(0, 1))
    for expectation in expectations:
        table.add_row(" [red]✗[/]", escape(expectation))
    console.print(table, highlight=False)


def _show_gate(settings: Settings, facts: dict[str, Any], console: Console) -> bool:
    """Open the page of the checkpoint that failed; returns whether there is one."""
    if not facts["dataops"]:
        return False
    run = dag_runs.read(AirflowApi.of(settings), settings.dataops, facts["dataops"]["run_id"])
    for instance, report in run.reports():
        if report.checks and report.checks.failed:
            gate, page = dag_runs.name(instance), f"{report.checks.page}#failed-1"
            console.print(f"\nThe gate [bold]{gate}[/] stopped them; in the data docs:\n{page}", highlight=False)
            if console.is_terminal and inherited_environment().keys() & {"DISPLAY", "WAYLAND_DISPLAY"}:
                webbrowser.open(page)
            return True
    return False


def _show_published(before: dict[str, str], after: dict[str, str], console: Console) -> None:
    columns = (Column(name, no_wrap=True) for name in ("what consumers read", "before", "after", ""))
    table = Table(*columns, box=None, header_style="dim")
    for name, was in before.items():
        now = after.get(name, "nothing")
        same = "[green]unchanged[/]" if now == was else "[red]CHANGED[/]"
        table.add_row(name, *(value if len(value) <= SHOWN else f"{value[: SHOWN - 1]}…" for value in (was, now)), same)
    console.print()
    console.print(table, highlight=False)
