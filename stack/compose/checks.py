"""Limits and checks of the container place, for the init job and for `make doctor`."""

from pathlib import Path

from stack.checks import GB
from stack.errors import StackError
from stack.settings import write_private

# The services take 2.2 GB of memory when nothing runs; a run on the sample takes 1 GB more.
MEMORY = (3 * GB, 5 * GB)
# Free space on Docker's disk: less than the first stops a start, less than the second may stop a run.
DISK = (0.3 * GB, 1.0 * GB)
# Building all images, with what the builder keeps.
BUILD = 10 * GB
# Increased whenever a new version cannot use an older `var` volume.
LAYOUT = 1
LAYOUT_FILE = "layout"
AGAIN = "`make nuke`, then `make restore FILE=…`"
LOST_PASSWORD = (
    "PostgreSQL refuses the password: its volume was created with other secrets; with a backup "
    f"{AGAIN}; without one see docs/compose.md"
)


def layout_problem(found: str) -> str:
    """Why this version cannot use the `var` volume with this file `layout`, with the remedy; empty: it can."""
    if found.strip() == str(LAYOUT):
        return ""
    made = "a newer" if found.strip().isdigit() and int(found) > LAYOUT else "another"
    return (
        f"the volume `var` was written by {made} version (layout {found.strip() or 'unknown'}, this one has {LAYOUT}): "
        f"check out that version again; or run `make backup` there, and here {AGAIN}"
    )


def require_layout(var: Path) -> None:
    """Raise a StackError if the `var` volume has another layout; one without a number gets the present one."""
    file = var / LAYOUT_FILE
    if not file.exists():
        # Layout 1 is the first that has a number.
        write_private(file, f"{LAYOUT}\n")
    if problem := layout_problem(file.read_text(encoding="utf-8")):
        raise StackError(problem)


def cluster_problem(volume: str, image: str) -> str:
    """Why a PostgreSQL cannot use a volume of another major version, with the remedy; empty: it can.

    docker/postgres-start has the same message.
    """
    if volume == image:
        return ""
    return (
        f"the volume `postgres` holds a cluster of PostgreSQL {volume}, and this image is PostgreSQL {image}: "
        f"run `make backup` with that image, then {AGAIN} with this one"
    )
