"""The stand-in for Cloud Storage, as google-cloud-storage and gcsfs see it; its data last."""

import io
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from google.api_core.exceptions import NotFound, PreconditionFailed
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage

from tests.conftest import ENVIRONMENTS, ROOT

PYTHON = ENVIRONMENTS / "emulators" / "bin" / "python"


class Service:
    """The emulator on a folder, with the bucket `artifacts`; it can be killed and started again."""

    def __init__(self, folder):
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self):
        command = [PYTHON, "-m", "emulators.storage", "--data", self.folder, "--port", str(self.port)]
        self.process = subprocess.Popen([*command, "--bucket", "artifacts"], cwd=ROOT)
        end = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/_internal/healthcheck", timeout=10).close()
                return
            except urllib.error.URLError:
                assert self.process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.05)

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = Service(tmp_path_factory.mktemp("storage"))
    service.start()
    yield service
    service.kill()


@pytest.fixture
def bucket(service, monkeypatch):
    """The bucket, as google-cloud-storage has it; emptied."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", service.url)
    bucket = storage.Client("demo", AnonymousCredentials()).bucket("artifacts")
    for blob in bucket.list_blobs():
        blob.delete()
    return bucket


@pytest.fixture
def files(service, bucket):
    """The same service, as gcsfs has it."""
    import gcsfs

    gcsfs.GCSFileSystem.clear_instance_cache()
    return gcsfs.GCSFileSystem(endpoint_url=service.url, token="anon", use_listings_cache=False)


def test_objects_are_written_read_listed_and_deleted(bucket):
    blob = bucket.blob("a/b c/ü%2F.txt")
    blob.metadata = {"run": "r1"}
    blob.upload_from_string("text", content_type="text/plain")
    large = bucket.blob("large")
    large.chunk_size = 1 << 18
    large.upload_from_file(io.BytesIO(b"x" * (1 << 20)))
    found = {blob.name: (blob.size, blob.content_type, blob.metadata) for blob in bucket.list_blobs()}
    assert found["a/b c/ü%2F.txt"] == (4, "text/plain", {"run": "r1"})
    assert found["large"][0] == 1 << 20
    assert bucket.blob("a/b c/ü%2F.txt").download_as_text() == "text"
    assert [blob.name for blob in bucket.list_blobs(prefix="a/")] == ["a/b c/ü%2F.txt"]
    blob.delete()
    assert not bucket.blob("a/b c/ü%2F.txt").exists()
    with pytest.raises(NotFound):
        blob.delete()


def test_an_object_is_renamed(bucket):
    bucket.blob("old").upload_from_string("text")
    bucket.rename_blob(bucket.blob("old"), "folder/new")
    assert [(blob.name, blob.download_as_text()) for blob in bucket.list_blobs()] == [("folder/new", "text")]


def test_an_upload_checks_the_generation(bucket):
    """https://cloud.google.com/storage/docs/request-preconditions."""
    blob = bucket.blob("lock")
    blob.upload_from_string("mine", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.blob("lock").upload_from_string("theirs", if_generation_match=0)
    bucket.blob("lock").upload_from_string("later", if_generation_match=blob.generation)
    with pytest.raises(PreconditionFailed):
        bucket.blob("lock").upload_from_string("late", if_generation_match=blob.generation)
    assert bucket.blob("lock").download_as_text() == "later"


def test_files_are_written_read_listed_moved_and_removed(files):
    with files.open("artifacts/runs/1/model", "wb", block_size=1 << 18) as file:
        file.write(b"x" * (1 << 20))
    files.pipe("artifacts/runs/2/metrics", b"{}")
    assert sorted(files.find("artifacts/runs")) == ["artifacts/runs/1/model", "artifacts/runs/2/metrics"]
    assert files.info("artifacts/runs/1/model")["size"] == 1 << 20
    assert files.cat("artifacts/runs/2/metrics") == b"{}"
    files.mv("artifacts/runs/2/metrics", "artifacts/runs/3/metrics")
    files.rm("artifacts/runs/1", recursive=True)
    assert files.find("artifacts/runs") == ["artifacts/runs/3/metrics"]
    assert not files.exists("artifacts/runs/1")


def test_objects_outlive_a_kill(service, bucket):
    blob = bucket.blob("kept/file")
    blob.metadata = {"run": "r1"}
    blob.upload_from_string("text")
    service.kill()
    service.start()
    (found,) = bucket.list_blobs()
    assert (found.name, found.metadata, found.generation) == ("kept/file", {"run": "r1"}, blob.generation)
    assert found.download_as_text() == "text"


def test_bigquery_loads_objects_of_a_bucket(service, bucket, tmp_path):
    """https://cloud.google.com/bigquery/docs/batch-loading-data."""
    for number in (1, 2):
        bucket.blob(f"rows/part-{number}.csv").upload_from_string(f"id\n{number}\n")
    command = [PYTHON, "-m", "emulators.bigquery", "--storage-root", service.folder, "--until-stdin-closes"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        url = process.stdout.readline().split('"')[3]
        client = bigquery.Client("demo", AnonymousCredentials(), client_options={"api_endpoint": url})
        client.create_dataset("data")
        config = bigquery.LoadJobConfig(source_format="CSV", skip_leading_rows=1)
        config.schema = [bigquery.SchemaField("id", "INT64")]
        client.load_table_from_uri("gs://artifacts/rows/part-*.csv", "data.t", job_config=config).result()
        assert [row.id for row in client.query_and_wait("select id from data.t order by id")] == [1, 2]
        with pytest.raises(NotFound):
            client.load_table_from_uri("gs://artifacts/missing", "data.t", job_config=config).result()
        process.stdin.close()


def test_a_bucket_with_a_bad_name_is_refused(tmp_path):
    command = [PYTHON, "-m", "emulators.storage", "--data", tmp_path, "--port", "1", "--bucket", "../x"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 2
    assert "is no name of a bucket" in run.stderr
    assert not list(tmp_path.iterdir())
