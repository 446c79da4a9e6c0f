"""The command `tagifai`: each subcommand is a thin shell over one function and writes its facts as one JSON object."""

import json
import logging
import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import click

from tagifai.errors import ServiceError, TagifaiError

SNAPSHOT = click.option("--snapshot", "uri", required=True, help="URI that extract returned.")
MODEL = click.option("--model", "folder", required=True, help="URI that train returned.")
RESULT = click.option("--result", type=click.Path(dir_okay=False), help="File for the facts, or {'error': …}, as JSON.")


@click.group()
def main() -> None:
    """Tag machine-learning projects: title and description in, tag out."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("tagifai").setLevel(logging.INFO)


@main.command()
@RESULT
def extract(result: str | None) -> None:
    """Write the labelled projects of the warehouse as a snapshot."""
    _run("extract", result)


@main.command()
@SNAPSHOT
@click.option("--worker", type=int, default=0, show_default=True, help="Number of this worker, from 0.")
@RESULT
def optimize(result: str | None, **options: Any) -> None:
    """Run a worker's share of a snapshot's trials."""
    _run("optimize", result, **options)


@main.command()
@SNAPSHOT
@click.option("--study", required=True, help="Name that optimize returned.")
@RESULT
def train(result: str | None, **options: Any) -> None:
    """Fit the study's best parameters."""
    _run("train", result, **options)


@main.command()
@SNAPSHOT
@MODEL
@RESULT
def evaluate(result: str | None, **options: Any) -> None:
    """Measure a candidate on the held-out rows."""
    _run("evaluate", result, **options)


@main.command()
@SNAPSHOT
@MODEL
@RESULT
def promote(result: str | None, **options: Any) -> None:
    """Register a candidate and make it champion if it is no worse."""
    _run("promote", result, **options)


@main.command()
@click.option("--input", "source", help="CSV or Parquet file with id, title, description.")
@click.option("--output", "target", help="CSV or Parquet file to write: id, tag, probability.")
@RESULT
def predict(result: str | None, source: str | None, target: str | None) -> None:
    """Tag all projects of the warehouse, or those of a file, with the champion."""
    if bool(source) != bool(target):
        raise click.UsageError("--input and --output go together; without both, the warehouse's projects are tagged")
    if source:
        _run("predict", result, verb="predict_file", source=source, target=target)
    else:
        _run("predict", result)


def _run(module: str, result: str | None, *, verb: str | None = None, **options: Any) -> None:
    """Call a verb, by default the one its module is named after, imported only now: commands start without the rest."""
    from tagifai import artifacts, imports, settings

    settings.prepare_libraries()

    def tell(content: dict[str, Any]) -> None:
        if result:
            artifacts.write(result, json.dumps(content).encode())

    try:
        with imports.quick():
            function: Callable[..., dict[str, Any]] = getattr(import_module(f"tagifai.{module}"), verb or module)
            facts = function(settings.load(), **options)
    except TagifaiError as error:
        message = " ".join(str(error).split())
        tell({"error": message})
        print(message, file=sys.stderr)
        sys.exit(os.EX_TEMPFAIL if isinstance(error, ServiceError) else 1)
    tell(facts)
