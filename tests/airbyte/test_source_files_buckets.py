"""The connector's reading from buckets of S3 and Google Cloud Storage, on local servers."""

import gzip
import io
import json
import subprocess

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airbyte_testing import LIB, ROOT
from source_files_testing import HEADER, error_of, rows_of, states_of

from source_files import buckets
from source_files.config import Config
from source_files.errors import SourceError, TransientError

pytest_plugins = ["source_files_testing"]

KEY, SECRET = "AKIAEXAMPLE", "s3cret/key"


@pytest.fixture(scope="module")
def servers():
    """Addresses of the servers, by scheme."""
    python = ROOT / "var" / "env" / "dev" / "bin" / "python"
    process = subprocess.Popen(
        [python, LIB / "bucket_servers.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    line = next((line for line in process.stdout if line.startswith("{")), None)
    assert line, "the servers of buckets did not start"
    yield json.loads(line)
    process.stdin.close()
    process.wait(timeout=30)


class Bucket:
    """An empty bucket."""

    def __init__(self, scheme, address, name):
        self.scheme, self.url, self._address, self._name = scheme, f"{scheme}://{name}", address, name
        # Unsigned, since moto only asks whether there is a login.
        login = f"AWS4-HMAC-SHA256 Credential={KEY}/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
        self._client = httpx.Client(timeout=60, headers={"Authorization": login} if scheme == "s3" else {})
        if scheme == "s3":
            made = self._client.put(f"{address}/{name}")
            access = {"access_key_id": KEY, "secret_access_key": SECRET, "region": "us-east-1"}
            self.access = {"s3": {**access, "endpoint_url": address}}
        else:
            made = self._client.post(f"{address}/storage/v1/b", json={"name": name})
            self.access = {"gcs": {"anonymous": True, "endpoint_url": address}}
        assert made.status_code == 200

    def put(self, name, content):
        """Write an object."""
        if self.scheme == "s3":
            put = self._client.put(f"{self._address}/{self._name}/{name}", content=content)
        else:
            where = f"{self._address}/upload/storage/v1/b/{self._name}/o"
            put = self._client.post(where, params={"uploadType": "media", "name": name}, content=content)
        assert put.status_code == 200


@pytest.fixture(params=["s3", "gs"])
def bucket(servers, request, tmp_path):
    """A new bucket."""
    name = "b-" + "".join(c for c in tmp_path.name.lower() if c.isalnum())[-50:]
    return Bucket(request.param, servers[request.param], name)


@pytest.fixture
def run(connector, bucket):
    """Runs a command on an object or a pattern of the bucket."""

    def command(command, path, **more):
        return connector(command, f"{bucket.url}/{path}", access=bucket.access, **more)

    return command


def test_a_pattern_is_read_incrementally(bucket, run):
    for i, name in enumerate(["x/2024/1.csv", "x/2024/2.csv", "x/2023/3.csv", "x/2024/4.txt", "5.csv"]):
        bucket.put(name, HEADER + b"%d,a\n" % i)
    status, messages = run("read", "x/**/*.csv", sync_mode="incremental")
    assert status == 0, messages
    assert {row[0] for row in rows_of(messages)} == {"0", "1", "2"}
    state = states_of(messages)[-1:]
    kind = {"s3": "etag", "gs": "generation"}[bucket.scheme]
    versions = state[0]["stream"]["stream_state"]["files"]
    assert {url.removeprefix(bucket.url) for url in versions} == {"/x/2024/1.csv", "/x/2024/2.csv", "/x/2023/3.csv"}
    assert all(version.keys() == {kind, "size", "mtime_ns"} for version in versions.values())
    assert SECRET not in json.dumps(state)
    assert rows_of(run("read", "x/**/*.csv", sync_mode="incremental", state=state)[1]) == []
    bucket.put("x/2024/1.csv", HEADER + b"7,a\n")
    bucket.put("x/2024/6.csv", HEADER + b"6,a\n")
    _, messages = run("read", "x/2024/*.csv", sync_mode="incremental", state=state)
    assert {row[0] for row in rows_of(messages)} == {"7", "6"}


def test_objects_of_all_formats_are_read(bucket, run):
    parquet = io.BytesIO()
    pq.write_table(pa.table({"id": range(10_000), "text": ["a"] * 10_000}), parquet)
    bucket.put("x.parquet", parquet.getvalue())
    bucket.put("x.jsonl.gz", gzip.compress(b'{"id":1,"text":"a"}\n'))
    bucket.put("x.csv", HEADER + b"1,a\n")
    assert len(rows_of(run("read", "x.parquet", format="parquet")[1])) == 10_000
    assert rows_of(run("read", "x.jsonl.gz", format="jsonl")[1]) == [(1, "a")]
    assert rows_of(run("read", "x.csv")[1]) == [("1", "a")]
    _, (found,) = run("discover", "x.csv", json_schema=None)
    assert list(found.catalog.streams[0].json_schema["properties"]) == ["id", "text"]
    _, (checked,) = run("check", "*.csv")
    assert checked.connectionStatus.status.value == "SUCCEEDED"


def test_an_error_in_a_row_has_its_place(bucket, run):
    bucket.put("x.csv", HEADER + b"1,a\n2\n")
    assert error_of(run("read", "x.csv")[1]).message.startswith(f"{bucket.url}/x.csv, row 3: 1 values")


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("", ": no such object or bucket; check the address"),
        ("/none.csv", ": no such object or bucket; check the address"),
        ("/none/*.csv", ": no file matches the pattern; check the path"),
    ],
    ids=["bucket", "object", "pattern"],
)
def test_what_is_missing_is_reported(bucket, connector, where, words):
    for name in [f"{bucket.url}{where}"] if where else [f"{bucket.url}-none/x.csv", f"{bucket.url}-none/*.csv"]:
        status, messages = connector("read", name, access=bucket.access)
        assert status == 1
        assert error_of(messages).message.startswith(f"{name}{words}")


class NoCredentialsError(Exception):
    """As that of botocore."""


class HttpError(Exception):
    """As that of gcsfs."""

    code = 503


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        (NoCredentialsError(), SourceError, "there are no credentials; set them under s3, or s3.anonymous"),
        (PermissionError(SECRET), SourceError, "access is denied; check the credentials under s3"),
        (OSError(f"Forbidden: {SECRET}"), SourceError, "access is denied; check the credentials"),
        (HttpError(SECRET), TransientError, "the service does not answer"),
        (TimeoutError(SECRET), TransientError, "check s3.endpoint_url and the network"),
        (ValueError(f"wrong {SECRET}"), SourceError, "could not be read: ValueError: wrong …"),
    ],
    ids=["no credentials", "denied", "forbidden", "503", "timeout", "other"],
)
def test_errors_of_the_libraries_say_what_to_do_and_no_secrets(raised, kind, words):
    access = {"access_key_id": KEY, "secret_access_key": SECRET}
    buckets.connect(Config.model_validate({"streams": [{"name": "x", "url": "s3://b/x"}], "s3": access}))
    with pytest.raises(SourceError) as error, buckets._explained("s3://b/x"):
        raise raised
    assert str(error.value).startswith("s3://b/x: ")
    assert words in str(error.value)
    assert SECRET not in str(error.value)
    assert type(error.value) is kind


def test_credentials_are_secrets_of_the_specification(connector):
    _, (message,) = connector("spec", "unused")
    definitions = message.spec.connectionSpecification["$defs"]
    secrets = {
        name
        for section in ("S3", "Gcs")
        for name, field in definitions[section]["properties"].items()
        if field.get("airbyte_secret")
    }
    assert secrets == {"access_key_id", "secret_access_key", "session_token", "service_account_json"}
