"""Checks of a machine, each with its remedy: what the doctors of all places share."""

import socket
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import psutil
from rich.console import Console
from rich.markup import escape
from rich.table import Table

GB = 10**9
MARKS = {"ok": "[green]✓[/]", "warn": "[yellow]![/]", "fail": "[red]✗[/]"}


@dataclass(frozen=True)
class Check:
    """The result of one check: what was found and how to fix it; `fail` stops a run, `warn` does not."""

    name: str
    state: Literal["ok", "warn", "fail"]
    found: str
    remedy: str = ""


def show(checks: Iterable[Check], console: Console) -> None:
    """Print a line for each check, and below it the remedy."""
    table = Table.grid(padding=(0, 1))
    for check in checks:
        table.add_row(MARKS[check.state], check.name, escape(check.found))
        if check.remedy:
            table.add_row("", "", f"[bold]→ {escape(check.remedy)}[/]")
    if table.row_count:
        console.print(table, highlight=False)


def show_all(checks: Iterable[Check], command: str, console: Console) -> bool:
    """Print all checks and the verdict on a command; returns whether it can start."""
    found = list(checks)
    show(found, console)
    wrong = sum(check.state == "fail" for check in found)
    verdict = f"[red]{wrong} of these would stop `{command}`[/]" if wrong else f"[green]`{command}` can start[/]"
    console.print(f"\n{verdict}", highlight=False)
    return not wrong


def amount(name: str, there: float, bounds: tuple[float, float], unit: str, word: str, remedy: str) -> Check:
    """Check that an amount is above the least that a run needs, and warn below what is comfortable."""
    stop, ample = bounds
    shown, least, enough = (f"{each / GB:.1f}" if unit else f"{each:,.0f}" for each in (there, stop, ample))
    if there >= ample:
        return Check(name, "ok", f"{shown}{unit} {word}")
    found = f"only {shown}{unit} {word}; a run needs at least {least}, better {enough}{unit}"
    return Check(name, "fail" if there < stop else "warn", found, remedy)


def ports_check(
    ports: Mapping[str, int], strange: Mapping[str, str], *, in_use: bool, setting: Callable[[str], str], file: str
) -> Check:
    """The check of the ports by service, given who else listens there, if known, and whether this stack has the rest.

    `setting` names the setting of a service's port, and `file` where it is set.
    """
    if not strange:
        listed = ", ".join(f"{name} {port}" for name, port in ports.items())
        return Check("ports", "ok", f"{listed}: {'used by this stack' if in_use else 'free'}")
    found = "; ".join(f"port {ports[name]} of {name} is taken" for name in strange)
    who = ", ".join(dict.fromkeys(filter(None, strange.values())))
    others = ", ".join(map(setting, strange))
    remedy = f"stop the process that listens there{who and f' ({who})'}, or set {others} in {file}"
    return Check("ports", "fail", found, remedy)


def instance_of(process: psutil.Process) -> str | None:
    """The `var` of the instance that a process belongs to; None: of none, or not known."""
    with suppress(psutil.Error):
        return process.environ().get("MLOPS_VAR")
    return None


def describe(process: psutil.Process | None) -> str:
    """Name and id of a process, and how to end it if it belongs to an instance; empty: None."""
    if process is None:
        return ""
    var = instance_of(process)
    with suppress(psutil.Error):
        return f"{process.name()}, pid {process.pid}{f': make down VAR={var}' if var else ''}"
    return f"pid {process.pid}"


def is_taken(port: int) -> bool:
    """Whether something listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        # As the services do, past connections that are still being closed.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def holder_of(port: int) -> psutil.Process | None:
    """The process that listens on a port; None: not known, for example another user's."""
    with suppress(psutil.Error):
        for each in psutil.net_connections("tcp"):
            # Not those that serve a connection: PostgreSQL's hide their environment.
            if each.laddr and each.laddr.port == port and each.status == psutil.CONN_LISTEN and each.pid:
                return psutil.Process(each.pid)
    return None
