"""The connector for files, over the protocol, as a process: CSV files, good and bad, from paths and a real server."""

import gzip
import json
import os
import socket
import subprocess
import sys
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airbyte_testing import PYTHONPATH
from source_files_testing import HEADER, SCHEMA, answer, error_of, rows_of

pytest_plugins = ["source_files_testing"]


@pytest.fixture
def read(connector, tmp_path):
    """Reads a file of the given bytes; its rows."""

    def run(content):
        (tmp_path / "texts.csv").write_bytes(content)
        status, messages = connector("read", tmp_path / "texts.csv")
        assert status == 0, messages
        return rows_of(messages)

    return run


def test_spec_describes_the_configuration(connector):
    status, (message,) = connector("spec", "unused")
    specification = message.spec.connectionSpecification
    assert status == 0
    assert list(specification["properties"]) == ["streams", "s3", "gcs"]
    assert set(specification["$defs"]["Stream"]["required"]) == {"name", "url"}


def test_discover_returns_the_declared_streams_without_reading_the_files(connector):
    status, (message,) = connector("discover", "/no/such/file.csv")
    (stream,) = message.catalog.streams
    assert status == 0
    assert (stream.name, stream.json_schema) == ("texts", SCHEMA)


def test_check_succeeds_on_a_readable_file_and_fails_with_the_reason_on_another(connector, tmp_path):
    (tmp_path / "texts.csv").write_bytes(HEADER)
    _, (good,) = connector("check", tmp_path / "texts.csv")
    _, (bad,) = connector("check", tmp_path / "absent.csv")
    assert good.connectionStatus.status.value == "SUCCEEDED"
    assert bad.connectionStatus.status.value == "FAILED"
    assert "absent.csv: No such file" in bad.connectionStatus.message


def test_read_frames_the_records_with_stream_statuses(connector, tmp_path):
    (tmp_path / "texts.csv").write_bytes(HEADER + b"1,a\n")
    _, messages = connector("read", tmp_path / "texts.csv")
    kinds = [m.trace.stream_status.status.value if m.trace else m.type.value for m in messages]
    assert kinds == ["STARTED", "RECORD", "COMPLETE"]
    assert messages[1].record.stream == "texts"
    assert messages[1].record.emitted_at > 1_700_000_000_000


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b"1,a\n2,b\n", [("1", "a"), ("2", "b")]),
        (b"1,a\r\n2,b", [("1", "a"), ("2", "b")]),
        (b"00123,1e5\n", [("00123", "1e5")]),
        (b'1, a \n2,"a ""b"", c"\n3,it\'s\n', [("1", " a "), ("2", 'a "b", c'), ("3", "it's")]),
        (b'1,"two\nlines"\n2,"and\r\n\r\nthree"\n', [("1", "two\nlines"), ("2", "and\r\n\r\nthree")]),
        ('1,"ü€😀 \u202e"\n'.encode(), [("1", "ü€😀 \u202e")]),
        (b'1,\n2,""\n', [("1", None), ("2", "")]),
        (b"1,a\n\n\n2,b\n\n", [("1", "a"), ("2", "b")]),
        (b"1,NULL\n2,nan\n3,\\N\n", [("1", "NULL"), ("2", "nan"), ("3", "\\N")]),
        (b"", []),
    ],
    ids=["plain", "CRLF", "numbers", "quotes", "newlines", "Unicode", "empty", "blank lines", "words", "no rows"],
)
def test_a_good_file_arrives_as_it_is(read, content, rows):
    assert read(HEADER + content) == rows


@pytest.mark.parametrize("header", [b"\xef\xbb\xbfid,text\n", b'"id","text"\r\n', b"\nid,text\n"])
def test_a_header_may_have_a_byte_order_mark_quotes_or_a_blank_line_before(read, header):
    assert read(header + b"1,a\n") == [("1", "a")]


def test_a_header_without_a_newline_is_a_file_without_rows(read):
    assert read(b"id,text") == []


def test_columns_may_have_any_order_and_others_are_ignored_with_a_warning(connector, tmp_path):
    (tmp_path / "texts.csv").write_bytes(b"text,more,id\na,x,1\n")
    status, messages = connector("read", tmp_path / "texts.csv")
    assert (status, rows_of(messages)) == (0, [("1", "a")])
    (log,) = [m.log for m in messages if m.log]
    assert "columns that are not declared are ignored: more" in log.message


def test_a_file_of_many_blocks_arrives_whole_and_in_order(read):
    filler = "x" * 2000
    content = "".join(f'{i},"{filler}\n{i}"\n' for i in range(10_000))  # 20 MB
    rows = read(HEADER + content.encode())
    assert [int(row[0]) for row in rows] == list(range(10_000))
    assert rows[9_999][1] == f"{filler}\n9999"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["the file is empty", "id, text"]),
        (b"\n\n", ["the file is empty"]),
        (b"id,title\n1,a\n", ["row 1", "no column text", "id, title"]),
        (b"id, text\n1,a\n", ["row 1", "no column text", "' text'"]),
        (b"id;text\n1;a\n", ["row 1", "no column id, text", "'id;text'", "commas instead of ';'"]),
        (b"id\ttext\n1\ta\n", ["no column id, text", "commas instead of '\\t'"]),
        (b"id,text,text\n1,a,b\n", ["row 1", "column text occurs twice"]),
        (b'id,"text\n1,a\n', ["row 1", "the header is not valid CSV"]),
        (b"id,text,\xff\n1,a,b\n", ["row 1", "the header is not UTF-8"]),
        ("id,text\n1,a\n".encode("utf-16"), ["UTF-16", "save the file as UTF-8"]),
        (b"<!DOCTYPE html>\n<html></html>", ["HTML", "the raw file"]),
        (b"\n <html><body>id,text</body></html>", ["HTML"]),
        (b"\xef\xbb\xbf<!-- a page --><html></html>", ["HTML"]),
        (b"\n\nid,title\n1,a\n", ["row 3", "no column text"]),
        (HEADER + b"1,a\n2,\xfcber\n", ["row 3, column text: b'\\xfcber' is not UTF-8"]),
        (HEADER + b"1,a\n2\n3,c\n", ["row 3", "1 values", "2 columns", '"2"']),
        (HEADER + b"1,a\n2,b,c\n", ["row 3", "3 values", "2 columns", "double quotes"]),
        (HEADER + b'1,a\n2,"never closed\n3,c\n', ["row 3", "column text", "double quote opens and is never closed"]),
        (HEADER + b'1,a\n"2,b\n', ["row 3, column id", "double quote opens and is never closed"]),
        (b'id,text,more\n1,a,x\n2,b,"open\n', ["row 3, column more", "double quote opens and is never closed"]),
        (HEADER + b'1,a\n2,"b', ["row 3", "column text", "double quote opens and is never closed"]),
        (HEADER + b'1,a\n2,"' + b"x" * (20 << 20), ["row 3, column text: longer than 8 MB", "close its quote"]),
        (HEADER + b"1,a\n" + b"2" * (20 << 20), ["row 3, column id: longer than 8 MB"]),
        (HEADER + b"1,a\n2,b\0c\n", ["row 3, column text: the text contains a NUL byte", "remove it"]),
        (HEADER + b"\0,a\n", ["row 2, column id: the text contains a NUL byte"]),
    ],
    ids=[
        "empty",
        "blank",
        "missing column",
        "space in header",
        "semicolons",
        "tabs",
        "double column",
        "open quote in header",
        "header not UTF-8",
        "UTF-16",
        "HTML",
        "HTML after blanks",
        "HTML after a byte-order mark and a comment",
        "missing column after blank lines",
        "not UTF-8",
        "short row",
        "long row",
        "open quote",
        "open quote in first column",
        "open quote in a column that is not declared",
        "open quote at the end",
        "endless row",
        "endless row in the first column",
        "NUL byte",
        "NUL byte in the first column",
    ],
)
def test_a_bad_file_fails_with_file_row_column_and_what_to_do(connector, tmp_path, content, words):
    path = tmp_path / "texts.csv"
    path.write_bytes(content)
    status, messages = connector("read", path)
    error = error_of(messages)
    assert status == 1
    assert [word for word in [str(path), *words] if word not in error.message] == []
    assert error.failure_type.value == "config_error"


@pytest.mark.parametrize(
    "bad",
    [b"3\n", b"3,\xfc\n", b'3,"open\n', b"3,\0\n", b"3," + b"x" * (20 << 20)],
    ids=["short", "not UTF-8", "open quote", "NUL byte", "endless"],
)
@pytest.mark.parametrize(
    ("rows", "place"),
    [
        (b"1,a\n2,b\n", "row 4"),
        (b'1,"two\nlines"\n2,b\n', "row 4 (line 5)"),
        (b'1,"two\r\nlines"\r\n\r\n2,b\r\n', "row 5 (line 6)"),
        (b"1,a\n\n2,b\n\n\n", "row 7"),
        (b'1,""\n2,"\n\n"\n\n', "row 5 (line 7)"),
        (b'1,"a ""quote"",\n"\r2,b\r', "row 4 (line 5)"),
        (b"".join(b'%d,"%s\n"\n\n' % (i, b"x" * 2000) for i in range(10_000)), "row 20002 (line 30002)"),
    ],
    ids=["plain", "line break", "CRLF", "blank lines", "quoted blank lines", "CR", "many blocks"],
)
def test_an_error_has_the_row_of_a_spreadsheet_and_the_line_of_an_editor(connector, tmp_path, rows, place, bad):
    path = tmp_path / "texts.csv"
    path.write_bytes(b"\xef\xbb\xbf" + HEADER + rows + bad)
    _, messages = connector("read", path)
    message = error_of(messages).message
    assert message.startswith((f"{path}, {place}: ", f"{path}, {place}, column text: "))


@pytest.fixture
def memory(tmp_path):
    """Reads a file; the exit status, the last kilobyte of the output, and the memory that it took, in MB."""

    def run(path, **stream):
        config = {"streams": [{"name": "texts", "url": str(path), "json_schema": SCHEMA, **stream}]}
        texts = {"name": "texts", "json_schema": SCHEMA, "supported_sync_modes": ["full_refresh"]}
        catalog = {"streams": [{"stream": texts, "sync_mode": "full_refresh", "destination_sync_mode": "overwrite"}]}
        (tmp_path / "config").write_text(json.dumps(config))
        (tmp_path / "catalog").write_text(json.dumps(catalog))
        command = [sys.executable, "-m", "source_files", "read", "--config", "config", "--catalog", "catalog"]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(PYTHONPATH)}
        # Linux counts the memory of whoever starts a process, too: a small one does it.
        starter = (
            "import resource, subprocess, sys; status = subprocess.call(sys.argv[1:]);"
            " print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr); sys.exit(status)"
        )
        with (tmp_path / "said").open("w+b") as said:
            done = subprocess.run(
                [sys.executable, "-c", starter, *command],
                env=environment,
                cwd=tmp_path,
                stdout=said,
                stderr=subprocess.PIPE,
                timeout=60,
            )
            said.seek(-1024, os.SEEK_END)
            return done.returncode, said.read().decode(errors="replace"), int(done.stderr) >> 10

    return run


def test_memory_for_a_row_that_never_ends_is_limited(memory, tmp_path):
    with (tmp_path / "texts.csv").open("wb") as file:
        file.write(HEADER + b'1,a\n2,"')
        file.truncate(1 << 30)  # takes no space
    status, said, used = memory(tmp_path / "texts.csv")
    assert status == 1
    assert "row 3, column text: longer than 8 MB" in said
    assert used < 250


@pytest.mark.parametrize("format", ["csv", "csv.gz", "jsonl", "array", "parquet"])
def test_a_long_file_takes_no_more_memory_than_a_short_one(memory, tmp_path, format):
    text, count = "x" * 200, 500_000  # 100 MB
    with (gzip.open if format == "csv.gz" else open)(tmp_path / "texts", "wb") as file:
        if format.startswith("csv"):
            file.write(HEADER + b"".join(b'%d,"%s"\n' % (i, text.encode()) for i in range(count)))
        elif format == "jsonl":
            file.write(b"".join(b'{"id":%d,"text":"%s"}\n' % (i, text.encode()) for i in range(count)))
        elif format == "array":
            file.write(b"[" + b",".join(b'{"id":%d,"text":"%s"}' % (i, text.encode()) for i in range(count)) + b"]")
        else:
            table = pa.table({"id": range(count), "text": [text] * count})
            pq.write_table(table, file, row_group_size=count, use_dictionary=False, compression="none")
    status, said, used = memory(tmp_path / "texts", format={"csv.gz": "csv", "array": "jsonl"}.get(format, format))
    assert status == 0
    assert '"id":"499999"' in said or '"id":499999' in said
    assert used < 150


def test_a_header_of_any_length_is_shown_short(connector, tmp_path):
    (tmp_path / "texts.csv").write_bytes(b"x," * 9999 + b"\n")
    _, messages = connector("read", tmp_path / "texts.csv")
    assert "no column id, text" in error_of(messages).message
    assert len(error_of(messages).message) < 500


@pytest.mark.parametrize(
    ("name", "words"), [("absent.csv", "No such file or directory; check the path"), ("folder", "Is a directory")]
)
def test_a_path_that_is_no_file_is_reported(connector, tmp_path, name, words):
    (tmp_path / "folder").mkdir()
    status, messages = connector("read", tmp_path / name)
    assert status == 1
    assert f"{tmp_path / name}: {words}" in error_of(messages).message


def test_an_invalid_configuration_is_reported_by_setting(connector):
    status, messages = connector("read", "unused", json_schema={"type": "object"}, colour="red")
    assert status == 1
    assert "streams.0.json_schema: " in error_of(messages).message
    assert "streams.0.colour: " in error_of(messages).message


def test_an_unknown_type_is_refused_with_stream_column_and_the_type_that_may_be_meant(connector):
    schema = {"properties": {"id": {"type": "int"}}}
    status, messages = connector("read", "unused", json_schema=schema)
    assert status == 1
    assert "stream texts: json_schema: column id: the type 'int' is unknown; write {type: integer}" in (
        error_of(messages).message
    )


def test_a_stream_that_the_configuration_lacks_is_reported(connector, tmp_path):
    status, messages = connector("read", tmp_path / "x.csv", name="others")
    assert status == 1
    assert "stream texts; the configuration has others" in error_of(messages).message


def test_a_file_behind_http_is_read_through_redirects(connector, server):
    server.answers["/moved.csv"] = answer(302, Location="/texts.csv")
    server.answers["/texts.csv"] = answer(200, HEADER + '1,"ü\nb"\n'.encode())
    status, messages = connector("read", f"{server.url}/moved.csv")
    assert (status, rows_of(messages)) == (0, [("1", "ü\nb")])


@pytest.mark.parametrize(
    ("write", "words", "failure_type"),
    [
        (answer(404), "answered 404 Not Found; check the address", "config_error"),
        (answer(403), "answered 403 Forbidden", "config_error"),
        (answer(500), "answered 500 Internal Server Error; try again later", "transient_error"),
        (answer(200, b"<html>log in</html>"), "an HTML or XML page", "config_error"),
        (answer(200, HEADER + b"1,a\n", length=100), "could not be read: ", "transient_error"),
    ],
    ids=["404", "403", "500", "HTML", "broken off"],
)
def test_a_url_that_returns_no_file_is_reported(connector, server, write, words, failure_type):
    server.answers["/texts.csv"] = write
    status, messages = connector("read", f"{server.url}/texts.csv")
    error = error_of(messages)
    assert status == 1
    assert f"{server.url}/texts.csv" in error.message
    assert words in error.message
    assert error.failure_type.value == failure_type


def test_a_url_without_a_server_is_reported(connector):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/texts.csv"
        status, messages = connector("read", url)
    assert status == 1
    assert f"{url} could not be read: " in error_of(messages).message
    assert error_of(messages).failure_type.value == "transient_error"


def test_a_url_that_is_silent_is_reported(server, monkeypatch):
    from source_files import content, web
    from source_files.errors import TransientError

    done, url = threading.Event(), f"{server.url}/texts.csv"
    server.answers["/texts.csv"] = lambda handler: done.wait(20)
    monkeypatch.setattr(web, "TIMEOUT", 0.2)
    with pytest.raises(TransientError, match=r"texts\.csv could not be read: timed out; check"), content.opened(url):
        pass
    done.set()


@pytest.mark.parametrize(
    "write",
    [answer(500), answer(404), answer(200, b"<html>"), answer(200, b""), answer(200, HEADER + b"1\n")],
    ids=["500", "404", "HTML", "empty", "short row"],
)
def test_no_message_has_the_login_or_the_query_of_a_url(connector, server, write):
    server.answers["/texts.csv?token=s3cret"] = write
    url = f"{server.url}/texts.csv"
    _, messages = connector("read", f"{url}?token=s3cret".replace("//", "//user:s3cret@"))
    assert url in error_of(messages).message
    assert "s3cret" not in "".join(message.model_dump_json() for message in messages)


@pytest.mark.parametrize("url", ["http://user:s3cret@127.0.0.1:port/x", "http://u:s3cret/x@127.0.0.1/x", "http://[::1"])
def test_an_invalid_url_is_reported_without_its_credentials(connector, url):
    _, messages = connector("read", url)
    assert "is not a valid URL" in error_of(messages).message
    assert "s3cret" not in "".join(message.model_dump_json() for message in messages)
