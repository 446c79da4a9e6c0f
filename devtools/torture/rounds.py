"""Break the main job at random moments, and check that it ends with the right tables and one champion."""

import os
import subprocess
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from devtools.containers import ContainerInstance
from devtools.instance import Instance
from devtools.torture.containers import SERVICES, ContainerTorture
from devtools.torture.moments import Outcome
from devtools.torture.strikes import Torture
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
    """Strike runs under `folder`, one strike a run, each `rounds` times, with seeds from `seed` on; print the results.

    Returns:
        Whether every run, or the one after it, ended with the right tables and one champion.
    """
    outcomes: dict[str, list[Outcome]] = {}
    with closing(_strikes(folder, console, source, config, only, range(seed, seed + rounds))) as strikes:
        for name, number, strike in strikes:
            with console.status(f"{name}, seed {number}"):
                outcome = strike(seed=number)
            outcomes.setdefault(name, []).append(outcome)
            _show(console, outcome)
    console.print(_table(outcomes))
    return not any(outcome.faults for each in outcomes.values() for outcome in each)


def _strikes(
    folder: Path, console: Console, source: str | None, config: Path | None, only: str | None, seeds: range
) -> Generator[tuple[str, int, Callable[..., Outcome]]]:
    """Name, seed and function of each strike; what is struck runs meanwhile."""
    if only == CONTAINERS:
        with _containers(folder / CONTAINERS, console, source) as containers:
            for number in seeds:
                yield from ((f"{CONTAINERS}: {name}", number, partial(containers.strike, name)) for name in SERVICES)
        return
    with disk(folder):
        if only != SYNCS:
            tortured = Torture(Instance(folder / "instance", source=source, config=config))
            names = list(tortured.strikes())
            if only and only not in names:
                raise StackError(f"unknown fault {only}; possible here: {', '.join([*names, SYNCS, CONTAINERS])}")
            with console.status("a run without a strike"):
                tortured.prepare()
            for number in seeds:
                yield from ((name, number, partial(tortured.strike, name)) for name in ([only] if only else names))
        if only in (None, SYNCS):
            syncs = SyncTorture(Instance(folder / SYNCS, source=source, config=config))
            with syncs.serving():
                for number in range(seeds.start, seeds.start + SYNC_ROUNDS * len(seeds)):
                    yield from ((f"{SYNCS}: {name}", number, partial(syncs.strike, name)) for name in NAMES)


@contextmanager
def _containers(folder: Path, console: Console, source: str | None) -> Generator[ContainerTorture]:
    if source and "://" in source:
        raise StackError(f"SOURCE={source}: containers are tortured on a folder; give SOURCE=folder")
    instance = ContainerInstance(folder, source=Path(source or ROOT / "data" / "sample").resolve())
    try:
        with console.status("containers: up, and a run without a strike"):
            instance.compose("up", "--wait")
            states = instance.ended(instance.api.trigger("dataops", "torture"))
            if set(states.values()) != {"success"}:
                raise StackError(f"the main job fails without a strike: {states}")
            tortured = ContainerTorture(instance)
        yield tortured
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


def _show(console: Console, outcome: Outcome) -> None:
    mark = "[red]✗[/]" if outcome.faults else "[green]✓[/]"
    texts = [*outcome.strikes, *(f"{name} came too late" for name in outcome.missed)]
    console.print(f"{mark} {'; '.join(texts)}: {outcome.seconds:.0f} s", highlight=False)
    for text in [*([outcome.error] if outcome.error else []), *outcome.faults]:
        console.print(f"    {escape(text)}", highlight=False, style="red" if text in outcome.faults else "dim")


def _table(outcomes: dict[str, list[Outcome]]) -> Table:
    table = Table("fault", "runs", "succeeded", "next run succeeded", "seconds", "problems", box=None)
    for name, each in outcomes.items():
        survived, slowest = sum(one.error is None for one in each), max(one.seconds for one in each)
        faults = sum(bool(one.faults) for one in each)
        table.add_row(name, *map(str, (len(each), survived, len(each) - survived, round(slowest), faults)))
    return table
