"""What a run must not leave behind, however it was struck."""

import csv
from collections.abc import Iterator

import psycopg

from devtools.instance import Instance
from stack.embedded.supervision import Stack
from stack.settings import Settings

CHAMPION = """
    select v.version from registered_model_aliases a join model_versions v on v.name = a.name and v.version = a.version
    where a.alias = 'champion' and a.name = %s and v.status = 'READY'
"""


def faults(instance: Instance) -> list[str]:
    """What is not as a run has to leave it, of an instance that does not run."""
    left = [" ".join(each.info["cmdline"] or [each.info["name"]]) for each in instance.processes()]
    found = [f"left running: {'; '.join(left)}"] if left else []
    stack = Stack(instance.settings)
    stack.start(["postgres"], stay=False)
    try:
        return found + [fault for look in (_tables, _champion, _runs) for fault in look(instance)]
    finally:
        stack.stop()


def _tables(instance: Instance) -> Iterator[str]:
    """Whether the published rows are the source's, and each of them has one prediction, by the champion."""
    settings, folder = instance.settings, instance.source
    with (folder / "projects.csv").open(newline="") as projects, (folder / "tags.csv").open(newline="") as tags:
        tag = {row["id"]: row["tag"] for row in csv.DictReader(tags)}
        rows = [
            (int(row["id"]), row["title"].strip(), row["description"].strip(), tag[row["id"]])
            for row in csv.DictReader(projects)
        ]
    published = _query(settings, "warehouse", "select id, title, description, tag from marts.labeled_projects")
    if sorted(published) != sorted(rows):
        yield f"labeled_projects has {len(published)} rows, which are not the source's {len(rows)}"
    (champion,) = _query(settings, "mlflow", CHAMPION, settings.config["model"]["name"]) or [(None,)]
    predicted = _query(settings, "warehouse", "select id, model_version::int from marts.predictions")
    if sorted(predicted) != sorted((row[0], champion[0]) for row in rows):
        yield f"predictions are not one for each row, by the champion, version {champion[0]}"


def _champion(instance: Instance) -> Iterator[str]:
    """Whether there is one champion, and no model was registered twice."""
    settings, name = instance.settings, instance.settings.config["model"]["name"]
    champions = _query(settings, "mlflow", CHAMPION, name)
    if len(champions) != 1:
        yield f"there are {len(champions)} champions"
    twice = "select value from model_version_tags where key = 'fingerprint' group by value having count(*) > 1"
    if found := _query(settings, "mlflow", twice):
        yield f"registered more than once: {found}"


def _runs(instance: Instance) -> Iterator[str]:
    """Whether no DAG run is left unfinished."""
    unfinished = "select dag_id, run_id, state from dag_run where state in ('running', 'queued')"
    if found := _query(instance.settings, "airflow", unfinished):
        yield f"unfinished DAG runs: {found}"


def _query(settings: Settings, database: str, query: str, *values: object) -> list[tuple]:
    with psycopg.connect(**settings.database(database)) as connection:
        return connection.execute(query, values).fetchall()
