"""The command `tagifai`: each subcommand calls one function and writes its facts and its report as one JSON object."""

import json
import logging
import os
import sys
from collections.abc import Callable
from datetime import datetime
from functools import partial
from importlib import import_module
from typing import Any

import click

from tagifai.errors import ServiceError, TagifaiError

SNAPSHOT = click.Option(["--snapshot", "uri"], required=True, help="URI that extract returned.")
STUDY = click.Option(["--study"], required=True, help="Name that optimize returned.")
MODEL = click.Option(["--model", "folder"], required=True, help="URI that train returned.")
WORKER = click.Option(["--worker"], type=int, default=0, show_default=True, help="Number of this worker, from 0.")
MODULE = click.Argument(["module"], metavar="URI#sha256=HASH")
INPUT = click.Option(["--input", "source"], help="File with id and texts: CSV, TSV, JSON Lines or Parquet.")
OUTPUT = click.Option(["--output", "target"], help="File to write: id, label, probability, as its suffix tells.")
PREDICTIONS = click.Option(["--predictions", "uri"], required=True, help="URI that predict returned.")
PREDICTED_AT = click.Option(
    ["--predicted-at"], type=datetime.fromisoformat, required=True, help="Time that predict returned."
)
FOLDER = click.Option(["--folder"], required=True, help="Folder with copies of the source files.")
RESULT = click.Option(
    ["--result"], type=click.Path(dir_okay=False), help="JSON file to write: the facts, or {'error': …}, and a report."
)
COMMANDS = {
    "check": ("Ask each service that the commands use, and tell what is wrong.", []),
    "extract": ("Write the labelled rows of the warehouse as a snapshot.", []),
    "optimize": ("Run a worker's share of a snapshot's trials.", [SNAPSHOT, WORKER]),
    "train": ("Fit a model with the best parameters of the study.", [SNAPSHOT, STUDY]),
    "run-module": ("Let a Python file fit a model in an environment of its own.", [MODULE, SNAPSHOT, STUDY]),
    "evaluate": ("Measure a candidate on the held-out rows.", [SNAPSHOT, MODEL]),
    "promote": ("Register a candidate and make it champion if it is no worse.", [SNAPSHOT, MODEL]),
    "predict": ("Label all rows of the warehouse, or those of a file, with the champion.", [INPUT, OUTPUT]),
    "publish": ("Publish predictions that are checked, unless newer ones are published.", [PREDICTIONS, PREDICTED_AT]),
    "spoil": ("Append bad rows to a source file, to demonstrate the gate that stops them.", [FOLDER]),
}


@click.group()
def main() -> None:
    """Classify texts: learn labels from rows that have them, and predict them for all."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("tagifai").setLevel(logging.INFO)


def _run(command: str, result: str | None, **options: Any) -> None:
    """Call the function of a command, which has its name with `_` for `-`, in the module with this name.

    The module is imported only here, so that a command starts without the libraries of the others.
    """
    if bool(options.get("source")) != bool(options.get("target")):
        raise click.UsageError(
            "--input and --output go together; without both, labels are predicted for the rows of the warehouse"
        )
    from tagifai import artifacts, imports, reports, settings

    settings.prepare_libraries()
    verb = command.replace("-", "_")

    def write(content: dict[str, Any]) -> None:
        if result:
            artifacts.write(result, json.dumps(content).encode())

    try:
        with imports.quick():
            loaded = settings.load()
            call: Callable[..., dict[str, Any]] = getattr(import_module(f"tagifai.{verb}"), verb)
            facts = call(loaded, **options)
            # Costs belong to the report alone, so that the results are the same in every place.
            billed = facts.pop("bytes_billed", None)
            report = reports.REPORTS[command](loaded, facts, options)
            report |= {} if billed is None else {"bytes_billed": billed}
    except TagifaiError as error:
        message = " ".join(str(error).split())
        write({"error": message, "report": {"note": message}})
        print(message, file=sys.stderr)
        sys.exit(os.EX_TEMPFAIL if isinstance(error, ServiceError) else 1)
    write(facts | {"report": report})


for _name, (_help, _options) in COMMANDS.items():
    main.add_command(click.Command(_name, help=_help, params=[*_options, RESULT], callback=partial(_run, _name)))
