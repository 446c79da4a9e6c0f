"""Commands that work on an environment of Composer: deploy, rollback, status."""

from pathlib import Path

import click

from deploy import release
from deploy.session import Session
from deploy.settings import Target
from deploy.status import lines
from stack.cli.common import console
from stack.settings import ROOT

place_option = click.option("--place", required=True, help="A place of your own on the preset composer.")
bundle_option = click.option(
    "--bundle",
    type=click.Path(path_type=Path, file_okay=False),
    default=ROOT / "var" / "composer" / "bundle",
    help="Folder of the bundle.",
)
dry_option = click.option("--dry-run", is_flag=True, help="Print the commands that would change something.")


@click.command()
@place_option
@bundle_option
@dry_option
def deploy(place: str, bundle: Path, *, dry_run: bool) -> None:
    """Deploy the bundle to the place's environment."""
    release.deploy(Session(Target(place), console, is_dry=dry_run), bundle)
    if not dry_run:
        console.print(f"[green]{place} has what {bundle} holds[/]", highlight=False)


@click.command()
@place_option
@click.option("--to", help="Id of the manifest; by default the one before the current one.")
@dry_option
def rollback(place: str, to: str | None, *, dry_run: bool) -> None:
    """Put the manifest before, or another one, in place of what is deployed; not data, not secrets."""
    release.rollback(Session(Target(place), console, is_dry=dry_run), to or None)


@click.command()
@place_option
@bundle_option
def status(place: str, bundle: Path) -> None:
    """Show what is deployed, and how it differs from this checkout."""
    for line in lines(Session(Target(place), console), bundle):
        console.print(line, highlight=False, markup=False)


COMMANDS = [deploy, rollback, status]
