"""Break the main job at random moments, and check that it ends with the right tables and one champion."""

import os
import subprocess
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from devtools.containers import ContainerInstance
from devtools.instance import Instance
from devtools.torture.containers import SERVICES, ContainerTorture
from devtools.torture.strikes import Outcome, Torture
from devtools.torture.syncs import NAMES, SyncTorture
from stack.errors import StackError
from stack.settings import ROOT

# Bytes of the disk that is filled.
DISK = 3 << 29
# Kills of containers; only on request, since they need Docker and the images.
CONTAINERS = "containers"
# Kills in the middle of single syncs; they are quick, so each round has this many.
SYNCS = "syncs"
SYNC_ROUNDS = 10


def torture(
    folder: Path, console: Console, *, source: str | None, config: Path | None, only: str | None, rounds: int, seed: int
) -> bool:
    """Strike runs, one strike a run, and print the results.

    Args:
        folder: of the instances that are struck.
        console: where the results are printed.
        source: folder or URL of the source files; None: the config's.
        config: YAML file laid over config/; None: none.
        only: the one strike; None: all.
        rounds: how often each.
        seed: of the first round; the next round has the next one.

    Returns:
        Whether every run, or the one after it, ended with the right tables and one champion.

    Raises:
        StackError: the strike is unknown, or the main job fails without one.
    """
    outcomes: dict[str, list[Outcome]] = {}
    if only == CONTAINERS:
        _torture_containers(outcomes, folder / CONTAINERS, console, source=source, rounds=rounds, seed=seed)
        console.print(_table(outcomes))
        return not any(outcome.faults for each in outcomes.values() for outcome in each)
    with disk(folder):
        if only != SYNCS:
            with console.status("two runs without a strike"):
                tortured = Torture(Instance(folder / "instance", source=source, config=config))
                tortured.calibrate()
            names = list(tortured.strikes())
            if only and only not in names:
                raise StackError(f"unknown strike {only}; possible here: {', '.join([*names, SYNCS, CONTAINERS])}")
            for number in range(seed, seed + rounds):
                for name in [only] if only else names:
                    _strike(outcomes, name, tortured.strike, number, console)
        if only in (None, SYNCS):
            syncs = SyncTorture(Instance(folder / SYNCS, source=source, config=config))
            with syncs.serving():
                for number in range(seed, seed + SYNC_ROUNDS * rounds):
                    for name in NAMES:
                        _strike(outcomes, name, syncs.strike, number, console, of=f"{SYNCS}: ")
    console.print(_table(outcomes))
    return not any(outcome.faults for each in outcomes.values() for outcome in each)


def _torture_containers(
    outcomes: dict[str, list[Outcome]], folder: Path, console: Console, *, source: str | None, rounds: int, seed: int
) -> None:
    instance = ContainerInstance(folder, source=Path(source or ROOT / "data" / "sample").resolve())
    try:
        with console.status("containers: up, and a run without a strike"):
            instance.compose("up", "--wait")
            states = instance.ended(instance.api.trigger("dataops", "torture"))
            if set(states.values()) != {"success"}:
                raise StackError(f"the main job fails without a strike: {states}")
            tortured = ContainerTorture(instance)
        for number in range(seed, seed + rounds):
            for service in SERVICES:
                _strike(outcomes, service, tortured.strike, number, console, of=f"{CONTAINERS}: ")
    finally:
        instance.delete()


@contextmanager
def disk(folder: Path) -> Generator[Path]:
    """A folder on a small disk in memory, where we may mount one; else an ordinary folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() or os.path.ismount(folder):
        yield folder
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=755", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def _strike(
    outcomes: dict[str, list[Outcome]],
    name: str,
    strike: Callable[..., Outcome],
    seed: int,
    console: Console,
    *,
    of: str = "",
) -> None:
    with console.status(f"{of}{name}, seed {seed}"):
        outcome = strike(name, seed=seed)
    outcomes.setdefault(of + name, []).append(outcome)
    _show(console, outcome)


def _show(console: Console, outcome: Outcome) -> None:
    mark = "[red]✗[/]" if outcome.faults else "[green]✓[/]"
    texts = [*outcome.strikes, *(f"{name} came too late" for name in outcome.missed)]
    console.print(f"{mark} {'; '.join(texts)}: {outcome.seconds:.0f} s", highlight=False)
    for text in [*([outcome.error] if outcome.error else []), *outcome.faults]:
        console.print(f"    {escape(text)}", highlight=False, style="red" if text in outcome.faults else "dim")


def _table(outcomes: dict[str, list[Outcome]]) -> Table:
    table = Table("strike", "runs", "succeeded", "the next one did", "seconds", "faults", box=None)
    for name, each in outcomes.items():
        survived, slowest = sum(one.error is None for one in each), max(one.seconds for one in each)
        faults = sum(bool(one.faults) for one in each)
        table.add_row(name, *map(str, (len(each), survived, len(each) - survived, round(slowest), faults)))
    return table
