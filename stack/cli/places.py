"""Commands about places: diff-places, clean-warehouse."""

import json
import sys
from pathlib import Path

import click

from stack import compare, places
from stack.cli.common import Chosen, console
from stack.errors import StackError
from stack.place import BasePlace
from stack.settings import ConfigError
from stack.warehouses import answered, warehouse


@click.command()
@click.option("--a", required=True, help="A place.")
@click.option("--b", required=True, help="Another place.")
@click.option("--a-var", type=click.Path(path_type=Path), required=True, help="Folder of its instance.")
@click.option("--b-var", type=click.Path(path_type=Path), required=True, help="Folder of the other's instance.")
def diff_places(a: str, b: str, a_var: Path, b_var: Path) -> None:
    """Compare the latest runs of two places: DAG files, packages, the content of the tables, and seconds."""
    if not a or not b or a == b:
        raise StackError("name two places whose runs to compare: make diff-places A=embedded B=bigquery-emulator")
    one, other = (_side(Chosen(name, var)) for name, var in ((a, a_var), (b, b_var)))
    ignored = Chosen(a, a_var).open(as_started=True).settings.config["run_columns"]
    sys.exit(0 if compare.show(one, other, ignored, console) else 1)


def _side(chosen: Chosen) -> compare.Side:
    """An instance's last summary and the rows of its tables."""
    if places.launcher(chosen.place) != "embedded":
        raise StackError(f"the run of the place {chosen.place} is not on this machine, so it cannot be compared here")
    file = chosen.var / "summary.json"
    if not file.exists():
        raise StackError(f"nothing has run in place {chosen.place!r} yet ({file}): make run PLACE={chosen.place}")
    place: BasePlace = chosen.open(as_started=True)
    with place.running(["postgres"]):
        found = warehouse(place.settings)
        tables = {
            name: None if found.count(table) is None else list(found.rows(table))
            for names in place.settings.tables.values()
            for name, table in names.items()
        }
    return compare.Side(chosen.place, json.loads(file.read_text(encoding="utf-8")), tables)


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def clean_warehouse(chosen: Chosen, *, yes: bool) -> None:
    """Delete the datasets of this instance in BigQuery, after a question; other warehouses are left alone."""
    if not (chosen.var / "config.yaml").exists():
        # Nothing was started, so there are no datasets; nor may the settings be complete.
        return
    settings = chosen.open(as_started=True).settings
    if settings.config["warehouse"]["type"] != "bigquery" or settings.is_emulated:
        return
    # An image without Google's libraries has this command too.
    from stack import bigquery
    from stack.google import RETRY, bigquery_client

    try:
        client = bigquery_client(settings)
    except ConfigError as error:
        raise StackError(f"{error}; or keep the datasets and delete the folder alone: rm -r {chosen.var}") from None
    with answered():
        datasets = bigquery.ours(client, settings)
        tables = {each.dataset_id: len(list(client.list_tables(each, retry=RETRY))) for each in datasets}
    if not datasets:
        console.print(f"Project {client.project} has no datasets of ours.", highlight=False)
        return
    for name, number in tables.items():
        console.print(f"  {client.project}.{name}: {number} tables", highlight=False)
    if not (yes or click.confirm(f"Delete these {len(datasets)} datasets with all their tables?")):
        raise StackError("nothing was deleted")
    with answered():
        for each in datasets:
            bigquery.delete(client, each)
    console.print(f"Deleted. The files stay: gcloud storage rm --recursive {settings.artifacts}", highlight=False)


COMMANDS = (diff_places, clean_warehouse)
