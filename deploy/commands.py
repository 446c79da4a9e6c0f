"""Commands that need no cloud, or only look at it: check, packages, bundle."""

import sys
from pathlib import Path

import click

from deploy import check as checking
from deploy import packages as packaged
from deploy import placement
from deploy.bundle import left_out
from deploy.gcloud import Gcloud
from deploy.settings import UNKNOWN, Target
from stack import places
from stack.checks import show
from stack.cli.common import console
from stack.errors import StackError
from stack.settings import ROOT

FOLDER = ROOT / "var" / "composer"
PREINSTALLED = FOLDER / "preinstalled.txt"
BUNDLE = FOLDER / "bundle"

place_option = click.option("--place", default=placement.PRESET, help="A place of config/places on Composer.")
preinstalled_option = click.option(
    "--preinstalled",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"File of the environment's own packages; by default {PREINSTALLED.relative_to(ROOT)}.",
)


@click.command()
@place_option
@preinstalled_option
def check(place: str, preinstalled: Path | None) -> None:
    """Check what would fail on Composer; exit status 2: only the packages could not be checked."""
    if preinstalled and not preinstalled.exists():
        raise StackError(
            f"there is no file PREINSTALLED={preinstalled}: name another, or `make composer-packages` with it"
        )
    result = checking.run(place, preinstalled or PREINSTALLED)
    show(result.checks, console)
    wrong = sum(each.state == "fail" for each in result.checks)
    verdict = f"[red]{wrong} of these would fail on Composer[/]" if wrong else "[green]nothing found is wrong[/]"
    console.print(f"\n{verdict}" + ("" if result.is_complete else f"; {checking.UNCHECKED}"), highlight=False)
    sys.exit(result.status)


@click.command()
@place_option
@click.option("--environment", help="Name of the environment; by default the place's.")
@click.option("--location", help="Its region; by default the place's, or else gcloud's composer/location.")
@click.option("--project", help="Its project; by default the place's, or else gcloud's core/project.")
@preinstalled_option
def packages(
    place: str, environment: str | None, location: str | None, project: str | None, preinstalled: Path | None
) -> None:
    """Fetch the list of an environment's own packages, for `check`."""
    section = placement.configs(place)[0]["deploy"]
    name = environment or section["environment"]
    if not name:
        raise StackError(f"give ENVIRONMENT=NAME, or set deploy.environment in {places.path(place)}")
    gcloud = Gcloud(project or section["project"], console)
    found = packaged.fetch(gcloud, name, location or section["location"])
    file = preinstalled or PREINSTALLED
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(found.text, encoding="utf-8")
    console.print(f"{found.environment}: {len(found.versions)} packages, in {file}", markup=False, highlight=False)
    if found.added:
        told = f"it has packages of its own ({', '.join(found.added)}); what these brought counts as the image's"
        console.print(f"{told}: an environment without any gives a better list", style="yellow", markup=False)


@click.command()
@place_option
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), default=BUNDLE, help="Folder to write.")
def bundle(place: str, output: Path) -> None:
    """Write the bundle of a place: files, packages and manifest."""
    target = Target(place)
    made = target.bundle()
    made.write(output)
    size = sum(each.size for each in made.manifest.files.values())
    told = f"{output}: {made.manifest.id}, {len(made.manifest.files)} files, {size:,} bytes"
    console.print(told, markup=False, highlight=False)
    if UNKNOWN in made.manifest.images.values():
        told = "its image is not known before `make deploy` pushes it, which makes a bundle of its own"
        console.print(f"[yellow]{told}[/]", highlight=False)
    if names := left_out(place, target.config):
        console.print(f"not in git, so left out: {', '.join(names)}", style="yellow", markup=False)


COMMANDS = [check, packages, bundle]
