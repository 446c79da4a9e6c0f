"""The command about applications: init."""

import os
import sys

import click
from rich.progress import Progress, SpinnerColumn, TextColumn

from stack import places, strict_yaml
from stack.applications import files, write
from stack.applications.profile import Profile, profile
from stack.applications.proposal import propose
from stack.cli.common import Chosen, console
from stack.errors import StackError
from stack.settings import read, require


@click.command("init-application")
@click.option("--name", required=True, help="Name of the application, such as tickets.")
@click.option("--data", required=True, help="One or two files, a folder, or URLs.")
@click.option("--id", "key", help="Column of the id.")
@click.option("--texts", help="Columns of the texts, with commas between them.")
@click.option("--label", help="Column of the label.")
@click.option("--date", help="Column of the date.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def init_application(
    chosen: Chosen, name: str, data: str, key: str, texts: str, label: str, date: str, *, yes: bool
) -> None:
    """Look at source files and write an application's file for them."""
    if not name or not data:
        raise StackError("name the application and its data: make init NAME=tickets DATA=tickets.csv")
    path = write.path_of(name)
    found = files.find(data)
    profiles = {each.name: _profiled(each) for each in found}
    given = {"id": key, "texts": [each.strip() for each in texts.split(",")] if texts else [], "label": label}
    proposal = propose(found, list(profiles.values()), given | {"date": date})
    write.show(proposal, profiles, console)
    shown, text = os.path.relpath(path), write.text(name, proposal, profiles)
    edited = None if yes else _answered(text, shown)
    if edited:
        # It may be wrong; it is not lost.
        path.write_text(edited, encoding="utf-8")
    (config,) = places.configs("embedded", read(path) if edited else strict_yaml.load(text), path).values()
    require(config, shown)
    if config["application"] != name:
        raise StackError(f"{shown}: application must be {name}, the name of the file, not {config['application']!r}")
    path.write_text(edited or text, encoding="utf-8")
    console.print(f"\nWritten: {shown}. Next: make run CONFIG={shown}", highlight=False)


def _answered(text: str, shown: str) -> str | None:
    """The content of the file if the user has changed it; None: it is accepted as it is.

    Raises:
        StackError: there is nobody to answer, or the answer is no.
    """
    if not sys.stdin.isatty():
        raise StackError("nothing is written without an answer: add YES=1 to accept this, or name the columns")
    console.print("\nOther columns: ID=… TEXTS=a,b LABEL=… DATE=…")
    answers = click.Choice(["y", "e", "n"])
    asked = f"Write {shown}? y: yes, e: change it in an editor before, n: no"
    answer = click.prompt(asked, type=answers, default="y", show_choices=False)
    if answer == "n":
        raise StackError("nothing is written")
    return click.edit(text, extension=".yaml") if answer == "e" else None


def _profiled(file: files.File) -> Profile:
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), console=console, transient=True) as progress:
        progress.add_task(f"reading {file.name}", total=None)
        return profile(file.types, file.rows())


COMMANDS = (init_application,)
