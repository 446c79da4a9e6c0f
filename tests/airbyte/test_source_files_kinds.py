"""Compressed files, files of another kind than their stream's, other addresses, and servers that are busy."""

import bz2
import gzip
import io
import lzma
import zipfile
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_files_testing import HEADER, answer, error_of, rows_of

from source_files import web

pytest_plugins = ["source_files_testing"]


def zstd(content):
    with pa.BufferOutputStream() as out:
        with pa.CompressedOutputStream(out, "zstd") as file:
            file.write(content)
        return out.getvalue().to_pybytes()


def parquet(**columns):
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def zipped(content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("texts.csv", content)
    return file.getvalue()


ROWS = {
    "csv": (HEADER + b"1,a\n", [("1", "a")]),
    "jsonl": (b'{"id":1,"text":"a"}\n', [(1, "a")]),
    "parquet": (parquet(id=[1], text=["a"]), [(1, "a")]),
}
PACK = {"gzip": gzip.compress, "zstd": zstd}


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("format", ROWS)
@pytest.mark.parametrize("name", ["texts", "texts.x.gz"])
def test_compressed_files_are_read(connector, tmp_path, kind, format, name):
    content, rows = ROWS[format]
    (tmp_path / name).write_bytes(PACK[kind](content))
    status, messages = connector("read", tmp_path / name, format=format)
    assert (status, rows_of(messages)) == (0, rows), messages


def test_a_gzip_file_may_have_several_parts_and_its_errors_have_their_place(connector, tmp_path):
    (tmp_path / "texts.csv.gz").write_bytes(gzip.compress(HEADER + b"1,a\n") + gzip.compress(b"2,b\n3\n"))
    _, messages = connector("read", tmp_path / "texts.csv.gz")
    assert error_of(messages).message.startswith(f"{tmp_path}/texts.csv.gz, row 4: 1 values, but the header has 2")


@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "gzip"}], ids=["file", "transfer"])
@pytest.mark.parametrize("is_whole", [True, False], ids=["whole", "cut off"])
def test_compressed_answers_are_read(connector, server, headers, is_whole):
    content = gzip.compress(HEADER + b"1,a\n" * 1000)
    server.answers["/texts.csv"] = answer(200, content if is_whole else content[:-4], **headers)
    status, messages = connector("read", f"{server.url}/texts.csv")
    assert status == (0 if is_whole else 1)
    if not is_whole:
        assert "the gzip file is cut off or damaged" in error_of(messages).message


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("harm", [lambda x: x[:-3], lambda x: x[:30], lambda x: x + b"more"], ids=["end", "30", "more"])
def test_a_damaged_compressed_file_is_reported(connector, tmp_path, kind, harm):
    (tmp_path / "x").write_bytes(harm(PACK[kind](HEADER + b"".join(b"%d,a\n" % i for i in range(5_000)))))
    status, messages = connector("read", tmp_path / "x")
    assert status == 1
    message = error_of(messages).message
    assert message.startswith(f"{tmp_path}/x: the {kind} file is cut off or damaged: ")
    assert message.endswith("; compress it or copy it again")


@pytest.mark.parametrize("command", ["check", "read"])
@pytest.mark.parametrize("format", ROWS)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (zipped(b"x"), "a ZIP archive or an Excel workbook, not a"),
        (bz2.compress(HEADER), "compressed with bzip2, not a"),
        (lzma.compress(HEADER), "compressed with xz, not a"),
        (ROWS["parquet"][0], "a Parquet file, not a"),
    ],
    ids=["zip", "bzip2", "xz", "Parquet"],
)
def test_files_of_another_kind_are_named(connector, tmp_path, command, format, content, words):
    if format == "parquet" and content.startswith(b"PAR1"):
        return
    (tmp_path / "x").write_bytes(content)
    _, messages = connector(command, tmp_path / "x", format=format)
    said = messages[-1].connectionStatus.message if command == "check" else error_of(messages).message
    assert said.startswith(f"{tmp_path}/x: {words} ")
    assert "; " in said


def test_file_urls_and_schemes_in_capitals_are_read(connector, server, tmp_path):
    (tmp_path / "a b.csv").write_bytes(HEADER + b"1,a\n")
    server.answers["/x.csv"] = answer(200, HEADER + b"2,b\n")
    for url in (f"file://{tmp_path}/a%20b.csv", f"FILE://localhost{tmp_path}/*.csv"):
        assert rows_of(connector("read", url)[1]) == [("1", "a")]
    assert rows_of(connector("read", server.url.replace("http", "HTTP") + "/x.csv")[1]) == [("2", "b")]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("file://data/x.csv", "write file:///path with an absolute path"),
        ("ftp://example.com/x.csv", "ftp:// is not supported; use a path, or an http, https, s3 or gs URL"),
        ("s3://bucket", "names no file; write s3://bucket/path"),
        ("s3://KEY:s3cret@bucket/x.csv", "credentials are not part of the URL of a bucket; set them under s3 or gcs"),
    ],
)
def test_other_addresses_are_reported(connector, url, words):
    _, messages = connector("read", url)
    assert words in error_of(messages).message
    assert "s3cret" not in error_of(messages).message


def busy(status, times, **headers):
    """A function that answers with this status some times, then with a file."""
    left = [answer(status, **headers)] * times

    def write(handler):
        (left.pop() if left else answer(200, HEADER + b"1,a\n"))(handler)

    return write


@pytest.mark.parametrize("status", [408, 425, 429])
def test_a_busy_server_is_asked_again(connector, server, status):
    server.answers["/x.csv"] = busy(status, 3, **{"Retry-After": "0"})
    _, messages = connector("read", f"{server.url}/x.csv")
    assert rows_of(messages) == [("1", "a")]


@pytest.mark.parametrize(("times", "after"), [(4, "0"), (1, "3600")], ids=["too often", "too long"])
def test_a_server_that_stays_busy_is_a_temporary_failure(connector, server, times, after):
    server.answers["/x.csv"] = busy(429, times, **{"Retry-After": after})
    _, messages = connector("read", f"{server.url}/x.csv")
    error = error_of(messages)
    assert error.failure_type.value == "transient_error"
    asked = f", and asks to wait {after} s" if after != "0" else ""
    assert error.message == f"{server.url}/x.csv answered 429 Too Many Requests{asked}; try again later"


def test_retry_after_is_seconds_or_a_date():
    ahead = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    assert web.retry_after({"retry-after": "7"}) == 7
    assert 10 < web.retry_after({"retry-after": ahead}) <= 20
    assert web.retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert web.retry_after({"retry-after": "soon"}) is web.retry_after({}) is None
