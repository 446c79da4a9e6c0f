"""What a CSV file begins with: lines to skip, names of columns, or something that is no CSV at all."""

import json

import pytest

from source_files import csv_format
from source_files.config import Stream
from source_files.content import opened
from source_files.errors import SourceError
from source_files.schema import Columns


@pytest.fixture
def load(tmp_path):
    """Discovers the columns of a file of these bytes, unless they are given, and reads it; the rows with the names."""

    def run(content, columns=None, **csv):
        path = tmp_path / "x.csv"
        path.write_bytes(content)
        schema = {"properties": {name: {} for name in columns}} if columns else None
        stream = Stream.model_validate({"name": "x", "url": str(path), "csv": csv, "json_schema": schema})
        if not columns:
            found = Columns()
            with opened(str(path)) as file:
                csv_format.learn(file, stream, 1 << 20, found)
            columns = list(found.json_schema([])["properties"])
        with opened(str(path)) as file:
            lines = b"".join(bytes(part) for part in csv_format.read(file, stream, columns, pytest.fail))
        return [columns, *(list(json.loads(line)["record"]["data"].values()) for line in lines.splitlines())]

    return run


@pytest.fixture
def refusal(load, tmp_path):
    """Loads a file of these bytes, which must fail; the message behind the file's path."""

    def run(content, columns=None, **csv):
        with pytest.raises(SourceError) as error:
            load(content, columns, **csv)
        return str(error.value).removeprefix(str(tmp_path / "x.csv"))

    return run


@pytest.mark.parametrize("columns", [None, ["id"]])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"error":"rate limit exceeded"}', "this is JSON, not CSV: '{\"error\":\"rate limit exceeded\"}'; correct"),
        (b'\n{\n  "error": "rate limit exceeded"\n}\n', "this is JSON, not CSV: '{'; correct the address"),
        (b'[{"a": 1, "b": 2}]', "this is JSON, not CSV"),
        (b'{"a": 1}\n{"a": 2}\n', "this is JSON, not CSV: '{\"a\": 1}'; correct the address, or set format: jsonl"),
        (b"[1, 2]", "this is JSON, not CSV"),
        (b"Rate limit exceeded", "this is a text, not CSV: 'Rate limit exceeded'; correct the address, or declare"),
        (b"Sorry, this page was not found.\n", "this is a text, not CSV"),
        (b"There were too many requests.\nPlease try again in a minute.\n", "this is a text, not CSV"),
        (b"name;price\n1;2\n", "the header is 'name;price': separate values by commas instead of ';', or declare"),
        (b"name;price\n", "the header is 'name;price': separate values by commas instead of ';'"),
        (b"name\tprice\n1\t2\n", "the header is 'name\\tprice': separate values by commas instead of '\\t', or"),
        (b"name|price\n1|2,5\n", "the header is 'name|price': separate values by commas instead of '|'"),
        (b"1,Apple,2.50\n2,Pear,3.10\n", "the first row has values, not names of columns: '1,Apple,2.50'; set csv.col"),
        (b"Apple,2024-01-31\nPear,\n", "the first row has values, not names of columns"),
        (b"17\n4\n", "the first row has values, not names of columns: '17'"),
        (b"# by Ann, v2\nname,price\n1,2\n", "the first row begins with #: '# by Ann, v2'; set csv.comment: '#' if"),
        (b"# one\nname\nAnn\n", "the first row begins with #"),
        (b"Sales of 2024\n\nname,price\n1,2\n", "the first row has one value, and row 3 has 2: 'Sales of 2024'; set"),
    ],
)  # fmt: skip
def test_what_is_no_header_is_named_with_the_remedy(refusal, content, words, columns):
    row = 2 if content.startswith(b"\n") else 1
    assert refusal(content, columns).startswith(f", row {row}: {'no column id; ' if columns else ''}{words}")


def test_quoted_values_behind_another_delimiter_are_named(refusal):
    words = (
        ", row 1: the header is '\"id\";\"name\"': separate values by commas instead of ';', or declare csv.delimiter"
    )
    assert refusal(b'"id";"name"\n"1";"a"\n') == words


@pytest.mark.parametrize(
    "content",
    [b"<Error><Code>AccessDenied</Code></Error>\n", b"<html><body>Log in</body></html>", b'<p class="x">Not found</p>'],
)
def test_an_element_as_the_whole_file_is_a_page(refusal, content):
    assert refusal(content) == ": an HTML or XML page, not a CSV file; use the address of the raw file"


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b"name\nAnn\n", [["name"], ["Ann"]]),
        (b"name\na;b\n", [["name"], ["a;b"]]),
        (b"name (last; first)\nSmith\n", [["name (last; first)"], ["Smith"]]),
        (b'"name;price"\na;2\n', [["name;price"], ["a;2"]]),
        (b"Name of the customer\nAnn\n", [["Name of the customer"], ["Ann"]]),
        (b"What do you think?\nIt is good as it is.\n", [["What do you think?"], ["It is good as it is."]]),
        (b"name", [["name"]]),
        (b"[id],[name]\n1,a\n", [["[id]", "[name]"], ["1", "a"]]),
        (b"<ID>,<NAME>\n1,a\n", [["<ID>", "<NAME>"], ["1", "a"]]),
        (b"<b>id</b>,<b>name</b>\n1,a\n", [["<b>id</b>", "<b>name</b>"], ["1", "a"]]),
        (b"#id,name\n1,a\n", [["#id", "name"], ["1", "a"]]),
        (b"country,2019,2020\nDE,1,2\n", [["country", "2019", "2020"], ["DE", "1", "2"]]),
        (b"country,2024-01-31\nDE,5\n", [["country", "2024-01-31"], ["DE", "5"]]),
        (b"0,1,2\n5,6,7\n", [["0", "1", "2"], ["5", "6", "7"]]),
    ],
)
def test_a_header_that_looks_unusual_is_a_header(load, content, rows):
    assert load(content) == rows


def test_a_declared_column_is_a_header_whatever_it_looks_like(load):
    assert load(b"a;b\n1;2\n", ["a;b"]) == [["a;b"], ["1;2"]]
    assert load(b"# id\n1\n", ["# id"]) == [["# id"], ["1"]]


@pytest.mark.parametrize(
    ("content", "csv"),
    [
        (b"sep=;\nid;name\n1;a\n", {}),
        (b'"sep=;"\r\nid;name\r\n1;a\r\n', {}),
        (b"\xef\xbb\xbfSEP=\t\nid\tname\n1\ta\n", {}),
        (b"sep=;\nid,name\n1,a\n", {"skip_rows": 1}),
        (b"# exported on 2024-01-31\n\n# by Ann\nid,name\n1,a\n", {}),
        (b'# "a",\n#,"b\nid,name\n# c\n1,a\n# "d', {"comment": "#"}),
        (b"// a\nid,name\n1,a\n", {"comment": "//"}),
        (b'Sales "of\r\n\r\nid,name\r\n1,a\r\n', {"skip_rows": 2}),
        (b"1,a\n", {"column_names": ["id", "name"]}),
        (b"ID,Name\n1,a\n", {"column_names": ["id", "name"], "skip_rows": 1}),
    ],
)
def test_lines_that_are_no_rows_are_left_out(load, content, csv):
    assert load(content, **csv) == [["id", "name"], ["1", "a"]]
    assert load(content, ["id", "name"], **csv) == [["id", "name"], ["1", "a"]]


def test_a_comment_is_a_line_and_neither_a_value_nor_a_part_of_one(load):
    rows = [["id", "name"], ["1", "a\n# b"], ["2", "# c"]]
    assert load(b'id,name\n#0,x\n1,"a\n# b"\n2,# c\n', comment="#") == rows
    assert load(b"id,name\n1,a\n#2,b\n") == [["id", "name"], ["1", "a"], ["#2", "b"]]


@pytest.mark.parametrize(
    ("content", "csv", "words"),
    [
        (b"sep=;\nid;name\n1\n", {}, ", row 3: 1 values, but the header has 2 columns; add the missing values"),
        (b"sep=;\nid,name\n", {}, ", row 2: the header is 'id,name': separate values by semicolons instead of ','"),
        (b'sep="\nid\n', {}, ", row 1: '\"' cannot be the delimiter; correct the line, or skip it with csv.skip_rows"),
        (b"sep=;", {}, ": the file is empty behind line 1; it needs a header row"),
        (b"# a\n\nid,name\n1,a\n\n2\n", {}, ", row 6: 1 values"),
        (b"# a\n\nid,name\n# b\n\n1,a\n# c\n2\n", {"comment": "#"}, ", row 8: 1 values"),
        (b'# a\nid,name\n1,"b\nc"\n# d\n2\n', {"comment": "#"}, ", row 5 (line 6): 1 values"),
        (b"Sales\nid,name\n1,a\n2\n", {"skip_rows": 1}, ", row 4: 1 values"),
        (b"Sales\n", {"skip_rows": 2}, ": the file ends within its first 2 lines, which csv.skip_rows skips"),
        (b"1,a\n2\n", {"column_names": ["id", "name"]}, ", row 2: 1 values, but csv.column_names has 2 columns; add"),
        (b"1;a\n", {"column_names": ["id", "name"]}, ", row 1: the first row is '1;a': separate values by commas"),
        (b"id,name\n1,a\n", {"column_names": ["id", "name"]}, ", row 1: the first row has the names of csv.column_n"),
        (b"#id,name\na,b,c\n", {}, ", row 2: 3 values, but the header has 2 columns"),
        (
            b"text\nyes, no\n",
            {},
            ", row 1: the first row has one value, and row 2 has 2: 'text'; set csv.skip_rows: 1 if",
        ),
        (b'{"a":1,"b":2}\n', {"column_names": ["id", "name"]}, ", row 1: this is JSON, not CSV"),
        (b'{"a":1}\n{"a":2}\n', {"column_names": ["id", "name"]}, ", row 1: this is JSON, not CSV"),
        (b"\n", {"column_names": ["id", "name"]}, ": the file is empty; it needs rows"),
    ],
)
def test_a_file_that_does_not_fit_its_settings_is_reported_with_the_row(refusal, content, csv, words):
    assert refusal(content, **csv).startswith(words)


def test_a_declared_column_that_column_names_lacks_is_reported(refusal):
    words = ": no column x; add it to csv.column_names, which has: id, name"
    assert refusal(b"1,a\n", ["id", "x"], column_names=["id", "name"]) == words


def test_a_file_without_a_header_may_have_no_rows_behind_skipped_lines(load):
    assert load(b"Sales\n", column_names=["id"], skip_rows=1) == [["id"]]


def test_a_column_of_json_needs_no_header(load):
    assert load(b'{"a":1}\n', column_names=["document"]) == [["document"], ['{"a":1}']]
