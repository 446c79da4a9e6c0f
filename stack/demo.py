"""`make demo-failure`: bad rows on purpose, the gate that stops them, and what consumers read before and after."""

import csv
import io
import subprocess
import sys
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import httpx
import psycopg
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from devtools.instance import FILES, fetch
from stack import airbyte
from stack.embedded.supervision import Stack
from stack.errors import StackError
from stack.runs import dag_runs, summary
from stack.runs.airflow_api import AirflowApi
from stack.runs.job import run_graphs
from stack.settings import ROOT, Settings, inherited_environment, write_private

TABLES = ("marts.labeled_projects", "marts.predictions")
# Characters of rows and content that are shown.
SHOWN = 20


def demonstrate(stack: Stack, console: Console) -> bool:
    """Run dataops on the source with bad rows behind the others, and show what stops them.

    Args:
        stack: all of whose services are up; where nothing is published yet, a good run comes first.
        console: where it is shown.

    Returns:
        Whether a gate stopped the run and all that consumers read is as before.

    Raises:
        StackError: the good run fails, or the source cannot be read.
        httpx.HTTPError: the source's server or one of the services does not answer.
    """
    settings = stack.settings
    source, folder = settings.config["source"], settings.var / "demo-failure"
    stack.wait_until_ready()
    before = published(settings)
    if not before:
        console.print(f"\nNothing is published yet, so first a good run on {escape(source)}", highlight=False)
        _good_run(stack, console)
        before = published(settings)
    folder.mkdir(exist_ok=True)
    files = {name: fetch(source, name) for name in FILES}
    files["projects.csv"], bad = spoiled(files["projects.csv"])
    for name, text in files.items():
        write_private(folder / name, text)
    console.print(f"\nBad rows, behind those of {escape(source)}:", highlight=False)
    _show_rows(bad, console)
    console.print(f"They are the last ones in {folder}/projects.csv\n", highlight=False)
    facts = summary.empty(str(folder))
    spoiled_settings = settings.model_copy(update={"config": settings.config | {"source": str(folder)}})
    put_back = [sys.executable, "-m", "stack", "--var", str(settings.var), "airbyte-apply"]
    # Services that stay would go on loading the bad rows.
    with on_kill(put_back) if stack.stays else nullcontext():
        try:
            run_graphs(stack, facts, console, settings=spoiled_settings)
            console.print("\n[red]No gate stopped them.[/]")
        except StackError as error:
            _show_error(str(error), console)
        finally:
            airbyte.apply(settings)
    stopped = _show_gate(settings, facts, console)
    after = published(settings)
    _show_published(before, after, console)
    console.print("\nThe bad rows are in raw.projects until the next `make run` loads its source.", highlight=False)
    return stopped and after == before


@contextmanager
def on_kill(command: list[str]) -> Iterator[None]:
    """Another process gives a command, should this one be killed within the block."""
    # The input that it waits for ends with this process.
    waiting = ["sh", "-c", 'read -r _; exec "$@"', "sh", *command]
    unseen = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(waiting, stdin=subprocess.PIPE, cwd=ROOT, start_new_session=True, **unseen) as process:
        try:
            yield
        finally:
            process.kill()


def published(settings: Settings) -> dict[str, str]:
    """What consumers read, by name: rows and MD5 of both tables, and the champion; empty before a good run."""
    found = {}
    with psycopg.connect(**settings.database("warehouse")) as connection:
        for table in TABLES:
            if connection.execute("select to_regclass(%s)", (table,)).fetchone() == (None,):
                return {}
            # In the order of the ids, whatever order the rows lie in.
            query = f"select count(*), md5(string_agg(md5(t::text), '' order by id)) from {table} as t"  # noqa: S608
            rows, content = connection.execute(query).fetchone()
            found[table] = f"{rows} rows, {content}"
    name = settings.config["model"]["name"]
    address = f"{settings.url('mlflow')}/api/2.0/mlflow/registered-models/alias"
    answer = httpx.get(address, params={"name": name, "alias": "champion"}, timeout=60, trust_env=False)
    if answer.is_client_error:
        return {}
    version = answer.raise_for_status().json()["model_version"]["version"]
    return found | {"champion": f"{name} version {version}"}


def spoiled(projects: str) -> tuple[str, list[tuple[dict[str, str], str]]]:
    """The text of projects.csv with bad rows behind the others, and these rows, each with what is wrong with it."""
    reader = csv.DictReader(io.StringIO(projects, newline=""))
    rows = list(reader)
    first, middle, last = rows[0], rows[len(rows) // 2], rows[-1]
    free = max(int(row["id"]) for row in rows) + 1
    bad = [
        ({**first, "title": "Another title", "description": "Another description."}, "the id of another project"),
        ({**middle, "id": str(free)}, f"the same project as {middle['id']}"),
        ({**last, "id": str(free + 1), "title": "", "description": "No title."}, "no title"),
    ]
    text = io.StringIO(newline="")
    text.write(projects if projects.endswith("\n") else f"{projects}\n")
    csv.DictWriter(text, reader.fieldnames, lineterminator="\n").writerows(row for row, _ in bad)
    return text.getvalue(), bad


def _good_run(stack: Stack, console: Console) -> None:
    """What `make run` does, its summary included."""
    facts, began = summary.empty(stack.settings.config["source"]), time.monotonic()
    try:
        run_graphs(stack, facts, console)
    except StackError as error:
        facts["error"] = str(error)
        raise
    finally:
        facts["seconds"] = round(time.monotonic() - began, 1)
        summary.write(facts, stack.settings.var / "summary.json")


def _show_rows(bad: list[tuple[dict[str, str], str]], console: Console) -> None:
    table = Table(box=None, header_style="dim")
    for column in ("id", "title", "what is wrong"):
        table.add_column(column, no_wrap=True)
    for row, wrong in bad:
        table.add_row(row["id"], escape(row["title"]), escape(wrong))
    console.print(table, highlight=False)


def _show_error(message: str, console: Console) -> None:
    """Print what `make run` says of a failed run, an expectation a paragraph."""
    head, *expectations = message.splitlines()
    console.print(f"\n[red]{escape(head)}[/]", highlight=False)
    table = Table.grid(padding=(0, 1))
    for expectation in expectations:
        table.add_row(" [red]✗[/]", escape(expectation))
    console.print(table, highlight=False)


def _show_gate(settings: Settings, facts: dict[str, Any], console: Console) -> bool:
    """Open the page of the checkpoint that failed where it tells of that; returns whether there is one."""
    if not facts["dataops"]:
        return False
    run = dag_runs.read(AirflowApi(settings), "dataops", facts["dataops"]["run_id"])
    for gate in summary.CHECKPOINTS["dataops"]:
        for validation in (run.result(gate) or {}).get("validation_results", []):
            if not validation["success"]:
                page = f"{validation['result_url']}#failed-1"
                console.print(f"\nThe gate [bold]{gate}[/] stopped them; in the data docs:\n{page}", highlight=False)
                if console.is_terminal and inherited_environment().keys() & {"DISPLAY", "WAYLAND_DISPLAY"}:
                    webbrowser.open(page)
                return True
    return False


def _show_published(before: dict[str, str], after: dict[str, str], console: Console) -> None:
    table = Table(box=None, header_style="dim")
    for column in ("what consumers read", "before", "after", ""):
        table.add_column(column, no_wrap=True)
    for name, was in before.items():
        now = after.get(name, "nothing")
        same = "[green]unchanged[/]" if now == was else "[red]CHANGED[/]"
        table.add_row(name, *(value if len(value) <= SHOWN else f"{value[: SHOWN - 1]}…" for value in (was, now)), same)
    console.print()
    console.print(table, highlight=False)
