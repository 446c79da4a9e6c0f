"""Commands that work on an environment of Composer: deploy, rollback, status."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from deploy import images, release
from deploy.session import Session
from deploy.settings import UNKNOWN, Target
from deploy.status import lines
from stack.cli.common import console

place_option = click.option("--place", required=True, help="A place of your own on the preset composer.")
bundle_option = click.option(
    "--bundle",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of a bundle that is made already; by default it is made now.",
)
dry_option = click.option("--dry-run", is_flag=True, help="Print the commands that would change something.")


@click.command()
@place_option
@bundle_option
@dry_option
def deploy(place: str, bundle: Path | None, *, dry_run: bool) -> None:
    """Build and push the image, make the bundle and deploy it to the place's environment."""
    target = Target(place)
    session = Session(target, console, is_dry=dry_run)
    needs = release.ready(session)
    if bundle is None and (registry := target.deploy.registry):
        # What is wrong with the bundle is found before an image is built for it.
        target.bundle()
        target.config["runner"]["image"] = images.push(registry, session.gcloud) or UNKNOWN
    with _bundle(target, bundle) as folder:
        release.deploy(session, folder, needs)
    if not dry_run:
        console.print(f"[green]{place} is deployed[/]", highlight=False)


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
def status(place: str, bundle: Path | None) -> None:
    """Show what is deployed, and how it differs from this checkout."""
    target = Target(place)
    session = Session(target, console)
    session.kept = session.bucket.kept()
    if target.deploy.registry and (now := session.kept.pointer.current):
        # The image is made when it is deployed; the rest can be compared.
        target.config["runner"]["image"] = session.kept.manifest(now).images.get("tasks", UNKNOWN)
    with _bundle(target, bundle) as folder:
        for line in lines(session, folder):
            console.print(line, highlight=False, markup=False)


@contextmanager
def _bundle(target: Target, given: Path | None) -> Iterator[Path]:
    """Folder of the bundle that was given, or of that of this checkout, which no other command changes."""
    with TemporaryDirectory() as name:
        folder = given or Path(name) / "bundle"
        if given is None:
            target.bundle().write(folder)
        yield folder


COMMANDS = [deploy, rollback, status]
