"""The connector's reading of JSON Lines."""

import pytest
from source_files_testing import answer, error_of, rows_of, warnings_of

pytest_plugins = ["source_files_testing"]


@pytest.fixture
def read(connector, tmp_path):
    """Reads a file of the given bytes; the exit status and the messages."""

    def run(content, **more):
        (tmp_path / "texts.jsonl").write_bytes(content)
        return connector("read", tmp_path / "texts.jsonl", format="jsonl", **more)

    return run


@pytest.mark.parametrize(
    ("content", "records"),
    [
        (b'{"id":1,"text":"a"}\n{"id":2,"text":"b"}\n', [{"id": 1, "text": "a"}, {"id": 2, "text": "b"}]),
        (b'{"id":1}\r\n\n  \n{"text":null}', [{"id": 1}, {"text": None}]),
        (b'\xef\xbb\xbf { "text" : "00123" } \n', [{"text": "00123"}]),
        (
            b'{"id":9223372036854775807,"text":"\\u0001\\\\u0000 \\ud83d\\ude00"}\n',
            [{"id": 2**63 - 1, "text": "\1\\u0000 😀"}],
        ),
        ('{"id":1.5,"text":"ü\u2028\x85"}\n'.encode(), [{"id": 1.5, "text": "ü\u2028\x85"}]),
        (b'{"id":[1,{"a":[]}],"text":{"b":true}}\n', [{"id": [1, {"a": []}], "text": {"b": True}}]),
        (b"", []),
        (b"{}\n", [{}]),
    ],
    ids=[
        "plain",
        "blank lines",
        "byte-order mark and spaces",
        "numbers and escapes",
        "Unicode",
        "nested",
        "none",
        "{}",
    ],
)
def test_values_are_not_changed(read, content, records):
    status, messages = read(content)
    assert status == 0
    assert [m.record.data for m in messages if m.record] == records


def test_a_number_keeps_all_its_digits(read, connector, tmp_path):
    (tmp_path / "numbers").write_bytes(b'{"id":1.10,"text":123456789012345678901234567890}\n')
    _, messages = connector("read", tmp_path / "numbers", format="jsonl")
    assert messages[1].record.data == {"id": 1.1, "text": 123456789012345678901234567890}


@pytest.mark.parametrize(
    "number", ["123456789012345678901234567890", "90071992547409.93", "1e400", "-9223372036854775809"]
)
@pytest.mark.parametrize("other", ["", ', "more": 1'])
def test_a_number_is_printed_as_it_is_also_beside_undeclared_keys(read, tmp_path, number, other):
    status, _ = read(f'{{"id":{number},"text":[{{"a":{number}}}]{other}}}\n'.encode())
    assert status == 0
    assert f'"data":{{"id":{number},"text":[{{"a":{number}}}]}}' in (tmp_path / "connector.out").read_text()


def test_undeclared_keys_are_ignored_with_a_warning(read):
    status, messages = read(b'{"id":1}\n{"more":1,"text":"a","id":2}\n{"x":1,"id":3}\n')
    assert status == 0
    assert rows_of(messages) == [(1,), (2, "a"), (3,)]
    (warning,) = warnings_of(messages)
    assert warning.endswith("texts.jsonl, line 2: columns that are not declared are ignored: more")


def test_a_file_of_many_pieces_arrives_whole_and_in_order(read):
    _, messages = read(b"".join(b'{"id":%d,"text":"%s"}\n' % (i, b"x" * 2000) for i in range(5_000)))
    assert [row[0] for row in rows_of(messages)] == list(range(5_000))


@pytest.mark.parametrize(
    "content",
    [
        b'[{"id":1,"text":"a"},{"id":1.10,"text":"]}\\""}]',
        b'\xef\xbb\xbf\n [\n  {"id": 1, "text": "a"}\n,\r\n  {"id":\n1.10, "text": "]}\\""}\n]\n\n',
        b'{\n  "id": 1,\n  "text": "a"\n}\n{"id":\r\n1.10,\n"text":"]}\\""}\n',
        b'{"id":1,"text":"a"}{"id":1.10,"text":"]}\\""}',
        b'{\n"id":1,"text":"a","x":{"y":[{}]}}\n\n{"id":1.10,"text":"]}\\""}',
    ],
    ids=["array", "array over lines", "objects over lines", "objects in one line", "nested"],
)
def test_arrays_and_objects_over_several_lines_are_read(read, content):
    status, messages = read(content)
    assert status == 0, messages
    assert rows_of(messages) == [(1, "a"), (1.1, ']}"')]


@pytest.mark.parametrize("content", [b"[]", b" [\n] \n"])
def test_an_empty_array_has_no_rows(read, content):
    status, messages = read(content)
    assert (status, rows_of(messages)) == (0, [])


@pytest.mark.parametrize("start", [b"[", b""], ids=["array", "objects"])
def test_objects_that_are_not_lines_keep_their_digits(connector, tmp_path, start):
    digits = b"123456789012345678901234567890.10"
    (tmp_path / "x").write_bytes(start + b'{"id":\n' + digits + b"}" + b"]" * bool(start))
    connector("read", tmp_path / "x", format="jsonl")
    assert b'"data":{"id": ' + digits + b"}}" in (tmp_path / "connector.out").read_bytes()


@pytest.mark.parametrize("separator", [b",", b"\n,\n  "], ids=["one line", "lines"])
def test_a_long_array_arrives_whole_and_in_order(read, separator):
    objects = [b'{"id":%d,"text":"%s","more":{"a":[%d]}}' % (i, b"]{" * 900, i) for i in range(3_000)]
    _, messages = read(b"[" + separator.join(objects) + b"]")
    assert [row[0] for row in rows_of(messages)] == list(range(3_000))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'[{"id":1},{"id":}]', ", line 1: invalid JSON at character 17: "),
        (b'[{"id":1},\n {"id":\n  nul}]', ", line 3: invalid JSON at character "),
        (b'[{"id":1},\n{"id":2}', ", line 2: the array has no end; the file may be cut off"),
        (b'[{"id":1},\n{"id":2', ", line 2: invalid JSON at character "),
        (b'[{"id":1},]', ", line 1: invalid JSON at character 11: expected {, found ]"),
        (b'[{"id":1}\n{"id":2}]', ", line 2: invalid JSON at character 1: expected , or ], found {"),
        (b'[{"id":1}]\n[', ", line 2: invalid JSON at character 1: expected nothing more, found ["),
        (b"[1, 2]", ", line 1: invalid JSON at character 2: expected { or ], found 1, 2]"),
        (b'{"id":\n1}\nx', ", line 3: invalid JSON at character 1: expected {, found x"),
        (b'{"id":\n1', ", line 2: invalid JSON at character "),
        (b'[{"id":"' + b"x" * (10 << 20), ", line 1: longer than 8 MB"),
        (b'{"error":"rate limit exceeded"}', ", line 1: the object has none of the columns id, text, but: error; "),
        (b'[{"name":"a"}]', ", line 1: the object has none of the columns id, text, but: name; correct the names"),
        ('{"id":1}'.encode("utf-16-le"), ": UTF-16 or UTF-32, not a JSON Lines file; save the file as UTF-8"),
        ('[{"id":1}]'.encode("utf-32-be"), ": UTF-16 or UTF-32, not a JSON Lines file; save the file as UTF-8"),
    ],
    ids=[
        "no value", "line within", "no end", "cut off", "last comma", "no comma", "two arrays", "numbers",
        "more behind", "cut off object", "endless", "error page", "other names", "UTF-16", "UTF-32",
    ],
)  # fmt: skip
def test_bad_json_is_reported_with_its_position(read, tmp_path, content, words):
    status, messages = read(content)
    assert status == 1
    assert error_of(messages).message.startswith(f"{tmp_path / 'texts.jsonl'}{words}")


def test_an_error_page_loads_nothing_and_is_shown(read):
    _, messages = read(b'{"error":"rate limit exceeded"}\n')
    assert not rows_of(messages)
    assert "this may be a server's error message" in error_of(messages).message
    assert "rate limit exceeded" in error_of(messages).message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"id":1}\n\n{"id":}\n', ", line 3: invalid JSON at character 7: "),
        (b'{"id":1}\n{"id":1} x\n', ", line 2: invalid JSON at character 10: "),
        (b'{"id":1}\n{"id":\n1}\n', ", line 2: invalid JSON at character "),
        (b'{"id":NaN}\n', ", line 1: invalid JSON at character 7: "),
        (b'{"text":"\xfc"}\n', ", line 1: invalid JSON at character "),
        (b'{"text":"a\0b"}\n', ", line 1: invalid JSON at character "),
        (b'{"id":1}\n[1, 2]\n', ", line 2: not an object: [1, 2]; write one object per line"),
        (b'"a"', ', line 1: not an object: "a"; write'),
        (b'{"id":1}\n{"id":1,"text":"a\\u0000b"}\n', ", line 2, column text: the text contains a NUL byte"),
        (b'{"id":1}\n{"id":{"a":["\\\\\\u0000"]}}\n', ", line 2, column id: the text contains a NUL byte"),
        (b'{"id":{"\\u0000":1}}\n', ", line 1, column id: the text contains a NUL byte"),
        (b'{"id":1}\n{"id":"' + b"x" * (20 << 20), ", line 2: longer than 8 MB; write one object per line"),
        (b'{"id":1}\n{"id":%b,"x":1}\n' % (b"[" * 300 + b"]" * 300), ", line 2: nested too deeply; write it with"),
        (b'{"id":%b,"text":"\\u0000"}\n' % (b"[" * 900 + b"]" * 900), ", line 1, column text: the text contains a NUL"),
        (b"<html></html>", ": an HTML or XML page, not a JSON Lines file"),
        ('{"id":1}\n'.encode("utf-16"), ": the text is UTF-16, not UTF-8"),
    ],
    ids=[
        "no value", "more behind", "broken line", "NaN", "no UTF-8", "NUL byte", "list", "text", "NUL", "NUL in a list",
        "NUL in a key", "endless line", "deep beside undeclared", "NUL beside deep", "HTML", "UTF-16",
    ],
)  # fmt: skip
def test_a_bad_line_is_reported(read, tmp_path, content, words):
    status, messages = read(content)
    assert status == 1
    assert error_of(messages).message.startswith(f"{tmp_path / 'texts.jsonl'}{words}")
    assert error_of(messages).failure_type.value == "config_error"


def test_a_nul_in_an_undeclared_key_is_ignored(read):
    status, messages = read(b'{"id":1,"more":"\\u0000"}\n')
    assert (status, rows_of(messages)) == (0, [(1,)])


def test_check_reads_the_first_line(connector, tmp_path):
    (tmp_path / "good").write_bytes(b'\n{"id":1}\nnone\n')
    (tmp_path / "bad").write_bytes(b"id,text\n")
    _, (good,) = connector("check", tmp_path / "good", format="jsonl")
    _, (bad,) = connector("check", tmp_path / "bad", format="jsonl")
    assert good.connectionStatus.status.value == "SUCCEEDED"
    assert bad.connectionStatus.message.startswith(f"{tmp_path / 'bad'}, line 1: invalid JSON")


def test_lines_at_a_url_are_read(connector, server):
    server.answers["/texts.jsonl"] = answer(200, b'{"id":1,"text":"a"}\n')
    status, messages = connector("read", f"{server.url}/texts.jsonl", format="jsonl")
    assert (status, rows_of(messages)) == (0, [(1, "a")])
