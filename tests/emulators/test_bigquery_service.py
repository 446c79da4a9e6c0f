"""The stand-in for BigQuery as a service: its data last, also when it is killed in the middle of a change."""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from functools import partial
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from tests.conftest import ENVIRONMENTS, ROOT

PYTHON = ENVIRONMENTS / "emulators" / "bin" / "python"
PROJECT = "lasting"
# Read after a change whose effect must not last; it takes longer than any test waits.
ENDLESS = "select sum(a * b) from unnest(generate_array(1, 3000000)) a, unnest(generate_array(1, 3000000)) b"


class Service:
    """The emulator on a folder; it can be killed and started again."""

    def __init__(self, folder):
        self.folder = folder
        self.process = None

    def start(self):
        command = [PYTHON, "-m", "emulators.bigquery", "--data", self.folder / "data", "--until-stdin-closes"]
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        line = self.process.stdout.readline()
        assert line, (self.folder / "log").read_text()
        self.url = json.loads(line)["url"]
        options = {"api_endpoint": self.url}
        return bigquery.Client(PROJECT, AnonymousCredentials(), client_options=options)

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)


@pytest.fixture
def service(tmp_path):
    service = Service(tmp_path)
    yield service
    if service.process and service.process.poll() is None:
        service.stop()


def rows(client, text):
    return [row.values() for row in client.query(text, job_retry=None).result(job_retry=None)]


def in_background(function):
    """Runs a call whose server will be killed."""

    def run():
        try:
            function()
        except Exception as error:
            print(f"ended by the kill: {error}", file=sys.stderr)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def wait_until_busy(service):
    """Until a job is being run: a page that needs the database does not answer, while health does."""
    while True:
        try:
            urllib.request.urlopen(f"{service.url}/readyz", timeout=0.5).close()
        except TimeoutError:
            break
    urllib.request.urlopen(f"{service.url}/healthz", timeout=60).close()


def test_data_settings_and_jobs_outlive_a_kill(service):
    client = service.start()
    client.create_dataset("data")
    rows(client, "create table data.t partition by day cluster by id as select 1 as id, date '2026-01-01' as day")
    client.query("insert into data.t values (2, null)", job_id="kept").result()
    service.kill()
    client = service.start()
    assert rows(client, "select id from data.t order by id") == [(1,), (2,)]
    table = client.get_table("data.t")
    assert (table.num_rows, table.time_partitioning.field, table.clustering_fields) == (2, "day", ["id"])
    assert client.get_job("kept").statement_type == "INSERT"


@pytest.mark.parametrize(
    "change",
    [
        f"begin transaction; truncate table data.t; insert into data.t values (9); {ENDLESS}; commit transaction;",
        f"begin transaction; delete from data.t where true; insert into data.t {ENDLESS}; commit transaction;",
        f"create or replace table data.t as {ENDLESS}",
    ],
)
def test_a_change_that_is_killed_has_not_been(service, change):
    client = service.start()
    client.create_dataset("data")
    rows(client, "create table data.t as select 1 as id union all select 2")
    in_background(lambda: client.query(change, retry=None, job_retry=None, timeout=600))
    wait_until_busy(service)
    service.kill()
    client = service.start()
    assert rows(client, "select id from data.t order by id") == [(1,), (2,)]
    assert client.get_table("data.t").num_rows == 2


def test_a_load_that_is_killed_has_been_whole_or_not_at_all(service):
    """Kills at moments that differ from round to round."""
    client = service.start()
    client.create_dataset("data")
    rows(client, "create table data.t as select 0 as version, 0 as id")
    config = bigquery.LoadJobConfig(source_format="PARQUET", write_disposition="WRITE_TRUNCATE")
    number = 100_000
    for version in range(1, 5):
        file = BytesIO()
        pq.write_table(pa.table({"version": pa.array([version] * number), "id": pa.array(range(number))}), file)
        sent = in_background(
            partial(client.load_table_from_file, file, "data.t", rewind=True, job_config=config, num_retries=0)
        )
        sent.join(timeout=0.1 * version)
        service.kill()
        client = service.start()
        (found,) = rows(client, "select min(version), max(version), count(*) from data.t")
        assert found[0] == found[1]
        assert found[2] == (1 if found[0] == 0 else number)
        assert client.get_table("data.t").num_rows == found[2]


def test_a_service_that_is_stopped_ends_its_query(service):
    client = service.start()
    in_background(lambda: client.query(ENDLESS, retry=None, job_retry=None, timeout=600))
    wait_until_busy(service)
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(timeout=300) == 0


def test_clients_with_a_throw_away_key_run_unchanged(service, tmp_path):
    """The way of a place: environment variables and nothing else."""
    service.start().create_dataset("data")
    key = tmp_path / "key.json"
    subprocess.run([PYTHON, "-m", "emulators.service_account", key, "--url", service.url], cwd=ROOT, check=True)
    assert key.stat().st_mode & 0o777 == 0o600
    program = "from google.cloud import bigquery; print([d.dataset_id for d in bigquery.Client().list_datasets()])"
    environment = {
        **os.environ,
        "BIGQUERY_EMULATOR_HOST": service.url,
        "GOOGLE_APPLICATION_CREDENTIALS": str(key),
        "GOOGLE_CLOUD_PROJECT": PROJECT,
    }
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert run.stdout.strip() == "['data']", run.stderr
