"""spoil: append bad rows to a copy of the source, to demonstrate the gate that stops them."""

import csv
import io
import logging
from typing import Any

from tagifai import artifacts
from tagifai.errors import TagifaiError
from tagifai.settings import Settings

logger = logging.getLogger(__name__)


def spoil(settings: Settings, *, folder: str) -> dict[str, Any]:
    """Append three bad rows to projects.csv in a folder, in one step.

    Returns:
        `rows`: of each bad row the `id`, the `title` and what is `wrong` with it.

    Raises:
        TagifaiError: the file is missing, is no UTF-8 text, has no row, or lacks a column.
    """
    file = f"{folder}/projects.csv"
    content = artifacts.read(file, missing=f"there is no {file}: copy the files of the source to {folder} first")
    try:
        spoiled, bad = _spoiled(content.decode("utf-8"))
    except (KeyError, ValueError, IndexError) as error:
        raise TagifaiError(
            f"{file} cannot be spoiled ({error}): it must be UTF-8 text with rows and the columns id (a whole number), "
            "title and description"
        ) from None
    artifacts.write(file, spoiled.encode())
    logger.info("%s: %d bad rows appended", file, len(bad))
    return {"rows": [{"id": row["id"], "title": row["title"], "wrong": wrong} for row, wrong in bad]}


def _spoiled(projects: str) -> tuple[str, list[tuple[dict[str, str], str]]]:
    """The text of projects.csv with bad rows at its end, and these rows, each with what is wrong with it."""
    reader = csv.DictReader(io.StringIO(projects.removeprefix("\ufeff"), newline=""))
    rows = list(reader)
    first, middle, last = rows[0], rows[len(rows) // 2], rows[-1]
    free = max(int(row["id"]) for row in rows) + 1
    bad = [
        ({**first, "title": "Another title", "description": "Another description."}, "the id of another project"),
        ({**middle, "id": str(free)}, f"the same project as {middle['id']}"),
        ({**last, "id": str(free + 1), "title": "", "description": "No title."}, "no title"),
    ]
    text = io.StringIO(newline="")
    text.write(projects if projects.endswith("\n") else f"{projects}\n")
    csv.DictWriter(text, reader.fieldnames or (), lineterminator="\n").writerows(row for row, _ in bad)
    return text.getvalue(), bad
