"""Benchmarks and torture tests: `python -m devtools --var VAR bench` and `python -m devtools --var VAR torture`."""

import signal
import sys
from pathlib import Path
from typing import Any

import click

from devtools.bench import airbyte, compose, composer, places, run, size
from devtools.bench.table import Options, measure
from devtools.torture import rounds
from stack.cli.common import Commands, console, settings_options
from stack.settings import ROOT

# By place: the groups of measurements, each a function that yields rows as it measures them.
GROUPS = {
    "embedded": {
        "run": run.measure,
        "airbyte": airbyte.measure,
        "places": places.measure,
        "composer": composer.measure,
        "size": size.measure,
    },
    "compose": {"compose": compose.measure},
}


@click.group(cls=Commands)
@click.option(
    "--var", type=click.Path(path_type=Path, file_okay=False), default=ROOT / "var", help="Folder to work in."
)
@click.pass_context
def main(context: click.Context, var: Path) -> None:
    """Measure the stack, and break it on purpose."""
    # SIGTERM stops the services as Ctrl-C does, and Ctrl-C works even where the caller ignores it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    context.obj = var.resolve()


@main.command()
@settings_options
@click.option("--only", help="Measure this group only.")
@click.option("--rounds", type=click.IntRange(1), help="How often each thing is measured.")
@click.option("--place", type=click.Choice(list(GROUPS)), default="embedded", help="Where the stack runs.")
@click.pass_obj
def bench(var: Path, place: str, only: str | None, **options: Any) -> None:
    """Measure, and compare the results with their bounds."""
    all_ok = measure(GROUPS[place], Options(var, console, **options), only=only)
    sys.exit(0 if all_ok else 1)


@main.command()
@settings_options
@click.option("--only", help="Use this fault only, such as postgres, syncs or containers.")
@click.option("--rounds", type=click.IntRange(1), default=3, help="How often each fault is used.")
@click.option("--seed", type=int, default=1, help="Chooses the moments.")
@click.pass_obj
def torture(var: Path, **options: Any) -> None:
    """Break runs on purpose, and check that they or the next ones succeed."""
    succeeded = rounds.torture(var / "torture", console, **options)
    sys.exit(0 if succeeded else 1)


if __name__ == "__main__":
    main(prog_name="python -m devtools")
