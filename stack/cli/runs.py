"""Commands about runs of the graphs: run, explain, predict, validate, demo-failure."""

import shutil
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from stack import demo
from stack.cli.common import FAILURES, Chosen, console, settings_options
from stack.errors import BusyError, StackError
from stack.place import BasePlace
from stack.runs import page, summary
from stack.runs.job import run_graphs


@click.command()
@settings_options
@click.pass_obj
def run(chosen: Chosen, source: str | None, config: Path | None) -> None:
    """Run dataops, then mlops, and print a summary."""
    began = time.monotonic()
    facts, file = summary.empty(source, chosen.place), chosen.var / "summary.json"
    look_next = {"logs": f"{chosen.var}/logs/"}
    place = None
    try:
        place = chosen.open(source=source, config=config)
        facts["source"] = summary.public(place.settings.config["source"])
        # In case this process is killed.
        unfinished = facts | {"error": "the run has not ended: it is still running, or it was killed"}
        with place.running(begun=lambda: summary.write(unfinished, file)):
            look_next |= place.look_next()
            try:
                run_graphs(place, facts, console)
            finally:
                look_next |= {"summary": str(file), **_page(place, facts)}
    except BusyError:
        # The summary belongs to the other command.
        raise
    except FAILURES as error:
        facts["error"] = str(error) or repr(error)
    except KeyboardInterrupt:
        stays = place is not None and place.stays
        facts["error"] = "interrupted; the run itself goes on in Airflow" if stays else "interrupted"
    facts["seconds"] = round(time.monotonic() - began, 1)
    try:
        summary.write(facts, file)
    except OSError as error:
        look_next["not written"] = str(error)
    summary.show(facts, console, look_next)
    sys.exit(0 if facts["state"] == "success" else 1)


@click.command()
@click.option("--run", "run_id", help="Id of a run of dataops or mlops; default: the latest of dataops.")
@click.pass_obj
def explain(chosen: Chosen, run_id: str | None) -> None:
    """Write the page of a run."""
    place = chosen.open(as_started=True)
    if not (place.settings.var / "airflow").exists():
        raise StackError(f"nothing has run in {place.settings.var} yet: make run")
    with place.running(["postgres", "airflow-api-server"]):
        written = page.write(place, run_id)
    console.print(place.page(written), highlight=False)


@click.command()
@click.option("--input", "source", required=True, help="CSV, TSV, JSON Lines or Parquet file with the texts.")
@click.option("--output", "target", required=True, help="File to write; its suffix tells the format.")
@click.option("--to-stdout", is_flag=True, help="Print the content of the output file instead of keeping it.")
@click.pass_obj
def predict(chosen: Chosen, source: str, target: str, *, to_stdout: bool) -> None:
    """Predict the labels of the rows of a file with the champion."""
    with TemporaryDirectory() as folder:
        if not source or not target:
            raise StackError("name both files: make predict INPUT=file.csv OUTPUT=predicted.csv")
        place = chosen.open(as_started=True)
        output = Path(folder, Path(target).name) if to_stdout else Path(target).resolve()
        package = place.settings.config["package"]
        command = [package, "predict", "--input", str(Path(source).resolve()), "--output", str(output)]
        status = place.run_command(package, *command, services=["postgres", "mlflow"])
        if to_stdout and not status:
            with output.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
    sys.exit(status)


@click.command()
@click.pass_obj
def validate(chosen: Chosen) -> None:
    """Run the Great Expectations checkpoints without Airflow."""
    place = chosen.open(as_started=True)
    sys.exit(place.run_command("airflow", "python", "-m", "pipeline.checkpoints", services=["postgres"]))


@click.command()
@settings_options
@click.pass_obj
def demo_failure(chosen: Chosen, source: str | None, config: Path | None) -> None:
    """Load bad rows on purpose and show the gate that stops them."""
    place = chosen.open(source=source, config=config, as_started=True)
    with place.running():
        stopped = demo.demonstrate(place)
    sys.exit(0 if stopped else 1)


def _page(place: BasePlace, facts: dict[str, Any]) -> dict[str, str]:
    """Write the page of a run that has begun; returns where to open it."""
    if not facts["dataops"]:
        return {}
    try:
        return {"page": place.page(page.write(place, facts["dataops"]["run_id"]))}
    except Exception as error:
        # A broken page does not change the result of the run.
        return {"page": f"could not be written: {error!r}"}


COMMANDS = (run, explain, predict, validate, demo_failure)
