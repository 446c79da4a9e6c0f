"""Checks of the example application: a team with its own tables and model replaces this module with its own.

`faults` checks the tables and the model registry after a run. The torture of containers compares tables without the
columns `CHANGE_BY_RUN`, and the champion's `SCORE`. Kills of a process in `TASKS` come in these tasks only.
"""

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

# Columns whose values differ between two runs on the same source.
CHANGE_BY_RUN = ("model_version", "predicted_at")
# The metric that the champion is judged by.
SCORE = "f1_weighted"
# How the names DAG.TASK begin of the tasks that have a process, where not all have it.
TASKS = {"connector": "dataops.extract_and_load"}


def faults(warehouse: dict[str, Any], source: Path, versions: list[dict[str, Any]], champion: str) -> Iterator[str]:
    """Check that the published rows are the source's, and that the champion made one prediction for each project.

    Args:
        warehouse: arguments of a psycopg connection.
        source: folder of the source files.
        versions: of the model, as MLflow's REST API has them.
        champion: version of the champion.
    """
    with (source / "projects.csv").open(newline="") as projects, (source / "tags.csv").open(newline="") as tags:
        tag = {row["id"]: row["tag"] for row in csv.DictReader(tags)}
        every = [
            (int(row["id"]), row["title"].strip(), row["description"].strip(), tag.get(row["id"]))
            for row in csv.DictReader(projects)
        ]
        rows = [row for row in every if row[-1]]
    with psycopg.connect(**warehouse) as connection:
        published = connection.execute("select id, title, description, tag from marts.labeled_projects").fetchall()
        predicted = connection.execute("select id, model_version::text from marts.predictions").fetchall()
    if sorted(published) != sorted(rows):
        yield f"labeled_projects has {len(published)} rows, which are not the source's {len(rows)}"
    if sorted(predicted) != sorted((row[0], champion) for row in every):
        yield f"predictions are not one for each project by the champion, version {champion}"
    fingerprints = Counter(tag["value"] for each in versions for tag in each["tags"] if tag["key"] == "fingerprint")
    if twice := [fingerprint for fingerprint, count in fingerprints.items() if count > 1]:
        yield f"registered more than once: {twice}"
