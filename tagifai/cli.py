"""The command `tagifai`: each subcommand calls one function and writes its facts and its report as one JSON object."""

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
RESULT = click.option(
    "--result", type=click.Path(dir_okay=False), help="JSON file to write: the facts, or {'error': …}, and a report."
)


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
    """Fit a model with the best parameters of the study."""
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
        raise click.UsageError(
            "--input and --output go together; without both, the projects of the warehouse are tagged"
        )
    if source:
        _run("predict", result, function="predict_file", source=source, target=target)
    else:
        _run("predict", result)


@main.command()
@click.option("--folder", required=True, help="Folder with copies of the source files.")
@RESULT
def spoil(result: str | None, folder: str) -> None:
    """Append bad rows to projects.csv, to demonstrate the gate that stops them."""
    _run("spoil", result, folder=folder)


def _run(command: str, result: str | None, *, function: str | None = None, **options: Any) -> None:
    """Call a command's function, by default the one with its name in the module with its name.

    The module is imported only here, so that a command starts without the libraries of the others.
    """
    from tagifai import artifacts, imports, reports, settings

    settings.prepare_libraries()

    def write(content: dict[str, Any]) -> None:
        if result:
            artifacts.write(result, json.dumps(content).encode())

    try:
        with imports.quick():
            loaded = settings.load()
            call: Callable[..., dict[str, Any]] = getattr(import_module(f"tagifai.{command}"), function or command)
            facts = call(loaded, **options)
            report = reports.of(command, loaded, facts, options)
    except TagifaiError as error:
        message = " ".join(str(error).split())
        write({"error": message, "report": reports.of_failure(message)})
        print(message, file=sys.stderr)
        sys.exit(os.EX_TEMPFAIL if isinstance(error, ServiceError) else 1)
    write(facts | {"report": report})
