"""`make doctor` and `make clean` with BigQuery, on the emulators."""

from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from google.cloud import bigquery as google

from stack import bigquery
from stack import google as clients
from stack.cli.main import main
from stack.embedded.settings import load
from stack.google import bigquery_client


@pytest.fixture
def settings(bigquery_server, storage_server, bucket):
    """Settings of a team member named ada, whose project is the emulated one."""
    urls = {"bigquery": bigquery_server["url"], "storage": storage_server}
    warehouse = {"type": "bigquery", "project": "team", "location": "EU", "prefix": "ada_"}
    return SimpleNamespace(
        config={"warehouse": warehouse}, is_emulated=True, artifacts=bucket, url=lambda service: urls[service]
    )


@pytest.fixture
def make(settings):
    """Function that makes a dataset with a table in it; all are deleted afterwards."""
    client = bigquery_client(settings)

    def make(name, *, labels, location="EU"):
        dataset = google.Dataset(f"team.{name}")
        dataset.labels, dataset.location = labels, location
        client.create_dataset(dataset)
        client.create_table(google.Table(f"team.{name}.rows", [google.SchemaField("id", "INT64")]))

    yield make
    for each in client.list_datasets():
        client.delete_dataset(each.reference, delete_contents=True)


OURS = {"app": "mlops", "prefix": "ada_"}


def states(settings):
    return [(check.name, check.state) for check in bigquery.checks(settings)]


def test_doctor_finds_credentials_location_and_bucket_in_order_and_leaves_nothing(settings, make):
    make("ada_raw", labels=OURS)
    assert states(settings) == [("BigQuery", "ok"), ("bucket", "ok")]
    tables = [each.table_id for each in bigquery_client(settings).list_tables("team.ada_raw")]
    assert tables == ["rows"]


def test_doctor_names_a_dataset_that_is_elsewhere(settings, make):
    make("ada_raw", labels=OURS, location="US")
    (check, *_) = bigquery.checks(settings)
    assert check.state == "fail"
    assert "ada_raw is in US" in check.found
    assert "set warehouse.location to that, not EU" in check.remedy


def test_doctor_names_a_bucket_that_is_missing(settings):
    settings.artifacts = "gs://no-such-bucket/mlops"
    check = list(bigquery.checks(settings))[-1]
    assert (check.name, check.state) == ("bucket", "fail")
    assert "no-such-bucket" in check.found
    assert "create the bucket" in check.remedy


def test_a_project_that_is_not_set_is_named(settings):
    settings.config["warehouse"]["project"] = None
    (check,) = bigquery.checks(settings)
    assert check.found == "warehouse.project is not set: give the id of your Google Cloud project, CONFIG=…"


def test_only_datasets_with_our_labels_and_prefix_are_ours(settings, make):
    make("ada_raw", labels=OURS)
    make("ada_private", labels={})
    # The prefix of somebody else begins with this one.
    make("ada_lovelace_raw", labels={"app": "mlops", "prefix": "ada_lovelace_"})
    client = bigquery_client(settings)
    (own,) = bigquery.ours(client, settings)
    assert own.dataset_id == "ada_raw"
    bigquery.delete(client, own)
    assert {each.dataset_id for each in client.list_datasets()} == {"ada_private", "ada_lovelace_raw"}


@pytest.fixture
def away(settings, monkeypatch):
    """A client of a BigQuery that does not answer, and patience of less than a second."""
    settings.url = lambda _: "http://127.0.0.1:9"
    for module in (clients, bigquery):
        monkeypatch.setattr(module, "RETRY", clients.RETRY.with_timeout(0.1))
    return bigquery_client(settings)


def test_doctor_does_not_wait_for_a_bigquery_that_is_away(settings, away):
    (check, *_) = bigquery.checks(settings)
    assert check.state == "fail"
    assert check.remedy.startswith("check the network")


def test_clean_of_a_bigquery_that_is_away_is_an_error_that_says_so(tmp_path, away, monkeypatch):
    (tmp_path / "mine.yaml").write_text("warehouse: {project: shop}")
    started = load(tmp_path / "var", place="bigquery", config=tmp_path / "mine.yaml")
    started.write_config()
    monkeypatch.setattr(clients, "bigquery_client", lambda _: away)
    done = CliRunner().invoke(main, ["--place", "bigquery", "--var", str(started.var), "clean-warehouse", "--yes"])
    assert done.exit_code == 1
    assert "BigQuery does not answer" in done.output
