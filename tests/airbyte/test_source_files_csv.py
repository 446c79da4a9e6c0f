"""The connector's settings for CSV files: delimiter, quote, escape, encoding and null tokens."""

import csv
import io
import random

import pytest
from source_files_testing import HEADER, SCHEMA, error_of, rows_of

pytest_plugins = ["source_files_testing"]


@pytest.fixture
def read(connector, tmp_path):
    """Reads a file of the given bytes, written as the settings say; its rows."""

    def run(content, **csv):
        (tmp_path / "texts.csv").write_bytes(content)
        status, messages = connector("read", tmp_path / "texts.csv", csv=csv)
        assert status == 0, messages
        return rows_of(messages)

    return run


@pytest.fixture
def failure(connector, tmp_path):
    """Reads a file of the given bytes, written as the settings say; the message of its failure."""

    def run(content, **csv):
        (tmp_path / "texts.csv").write_bytes(content)
        status, messages = connector("read", tmp_path / "texts.csv", csv=csv)
        assert status == 1
        return error_of(messages).message.removeprefix(str(tmp_path / "texts.csv"))

    return run


@pytest.mark.parametrize("delimiter", [";", "\t", "|", " ", "^", "]", "-", "\\"])
def test_values_are_separated_by_the_delimiter_alone(read, delimiter):
    content = 'id|text\n1|"a|b\n"\n2|"c""|d"\n3|\n4|a,b'.replace("|", delimiter)
    rows = [("1", f"a{delimiter}b\n"), ("2", f'c"{delimiter}d'), ("3", None), ("4", "a,b")]
    assert read(content.encode(), delimiter=delimiter) == rows


@pytest.mark.parametrize("quote", ["'", "^", "]", "\\", "%"])
def test_values_are_quoted_by_the_quote_alone(read, quote):
    content = "id,text\n1,'a,\nb'\n2,'it''s'\n3,''\n4,\"\n".replace("'", quote)
    assert read(content.encode(), quote=quote) == [("1", "a,\nb"), ("2", f"it{quote}s"), ("3", ""), ("4", '"')]


def test_a_tab_may_be_written_as_backslash_and_t(read):
    assert read(b"id\ttext\n1\ta, b\n", delimiter=r"\t") == [("1", "a, b")]


def test_without_a_quote_every_quote_is_text(read):
    content = b'id\ttext\n1\t"a\n2\tb "c"\n3\t"d"e\n4\t"f"\n'
    rows = [("1", '"a'), ("2", 'b "c"'), ("3", '"d"e'), ("4", '"f"')]
    assert read(content, delimiter="\t", quote=None) == rows


def test_the_character_behind_an_escape_is_taken_as_it_is(read):
    content = rb"""id,text
1,"a \"big\" box"
2,"a, \\"
3,a\, "b
4,a\
b
5,"c""d"
"""
    rows = [("1", 'a "big" box'), ("2", "a, \\"), ("3", 'a, "b'), ("4", "a\nb"), ("5", 'c"d')]
    assert read(content, escape="\\") == rows


QUOTE_OFF = "or set csv.quote: null if quotes have no meaning"


@pytest.mark.parametrize(
    ("row", "column", "behind", "remedy"),
    [
        (
            b'2,"a \\"big\\" box"',
            "text",
            'big\\\\" box"',
            "\"\", or set csv.escape: '\\' if a backslash stands before literal",
        ),
        (b'"12"x,a', "id", "x,a", f'"", {QUOTE_OFF}'),
        (b'2,"a"\xc3\xbc', "text", "ü", f'"", {QUOTE_OFF}'),
        (b'2,"a" ', "text", " ", f'"", {QUOTE_OFF}'),
        (b'"2" ,"a"', "id", ' ,"a"', f'"", {QUOTE_OFF}'),
        (b'2,"a\n""b"" "c', "text", "c", f'"", {QUOTE_OFF}'),
    ],
)
@pytest.mark.parametrize("before", [b"1,a\n\n", b'1,"' + b"x" * (1 << 21) + b'"\n\n'], ids=["short", "several pieces"])
def test_a_row_with_text_behind_a_closing_quote_is_refused(failure, row, column, behind, remedy, before):
    message = failure(HEADER + before + row + b"\n3,c\n")
    shown = f"'{behind}' stands behind a closing double quote; remove it, write a literal quote as {remedy}"
    assert message.startswith(f", row 4, column {column}: {shown}")


def test_a_file_that_ends_behind_an_escape_is_refused(failure):
    assert failure(HEADER + b"1,a\n2,b\\", escape="\\").startswith(
        ", row 3, column text: the file ends behind the escape"
    )


@pytest.mark.parametrize("seed", range(3))
def test_rows_are_those_of_pythons_reader_however_a_file_is_cut_into_pieces(seed):
    import pyarrow as pa
    import pyarrow.csv as pacsv

    from source_files import dialect
    from source_files.config import Csv
    from source_files.rows import parts

    chance = random.Random(seed)
    compared = 0
    for _ in range(500):
        options = Csv(quote=chance.choice(['"', "'", None]), escape=chance.choice(["\\", None]))
        text = "".join(chance.choices("ab\"'\\,\n\r", k=chance.randrange(30))).encode()
        found = [list(parts((text[i : i + n] for i in range(0, len(text), n)), options)) for n in (1, 3, 30)]
        whole, *others = (b"".join(rows for rows, fault in pieces if not fault) for pieces in found)
        assert others == [whole, whole]
        assert len({any(fault for _, fault in pieces) for pieces in found}) == 1
        lines = iter(io.StringIO(whole.decode(), newline="").readline, "")
        expected = list(filter(None, csv.reader(lines, strict=True, **dialect.python(options))))
        names = [str(i) for i, _ in enumerate(expected[0])] if expected else []
        if expected and all(len(row) == len(names) for row in expected):
            table = pacsv.read_csv(
                pa.BufferReader(whole),
                read_options=pacsv.ReadOptions(column_names=names),
                parse_options=dialect.arrow(options),
                convert_options=pacsv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
            )
            assert [list(row.values()) for row in table.to_pylist()] == expected
            compared += 1
    assert compared > 50


@pytest.mark.parametrize(
    ("null", "rows"),
    [
        ("", [("1", None), ("2", "NULL"), ("3", ""), ("4", "NULL"), ("5", "\\N")]),
        ("NULL", [("1", ""), ("2", None), ("3", ""), ("4", "NULL"), ("5", "\\N")]),
        ("\\N", [("1", ""), ("2", "NULL"), ("3", ""), ("4", "NULL"), ("5", None)]),
        (["", "NULL", "\\N"], [("1", None), ("2", None), ("3", ""), ("4", "NULL"), ("5", None)]),
    ],
)
def test_an_unquoted_value_that_equals_the_null_text_is_null(read, null, rows):
    assert read(HEADER + b'1,\n2,NULL\n3,""\n4,"NULL"\n5,\\N\n', null=null) == rows


def test_an_empty_last_value_after_a_quoted_one_is_null_with_or_without_a_final_line_break(read):
    for end in (b"", b"\n"):
        assert read(HEADER + b'1,a\n"2",' + end) == [("1", "a"), ("2", None)]


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "UTF8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "shift_jis", "gb18030", "euc_kr"],
)
def test_text_of_any_encoding_arrives_as_it_is(read, encoding):
    many = "".join(f'{i},"{"語" * 300}{i}\n"\n' for i in range(4_000))  # several pieces
    text = f"id,text\n0,日本\n{many}"
    if encoding == "euc_kr":
        text = text.replace("語", "한")
    rows = read(text.encode(encoding), encoding=encoding)
    assert rows[0] == ("0", "日本")
    assert rows[-1] == ("3999", f"{('한' if encoding == 'euc_kr' else '語') * 300}3999\n")
    assert len(rows) == 4_001


def test_text_in_single_byte_encodings_arrives_unchanged(read):
    assert read("id,text\n1,für 5 €\n".encode("cp1252"), encoding="windows-1252") == [("1", "für 5 €")]
    assert read("id,text\n1,für\n".encode("latin-1"), encoding="latin-1") == [("1", "für")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_text_without_a_byte_order_mark_is_little_endian(read, failure, encoding):
    text = "id,text\n1,ü\n2\n"
    assert read(text[:-2].encode(f"{encoding}-le"), encoding=encoding) == [("1", "ü")]
    assert failure(text.encode(f"{encoding}-le"), encoding=encoding).startswith(", row 3: 1 values, but the header has")


def test_a_byte_order_mark_is_not_part_of_the_first_name(read):
    for encoding in ("utf-16-le", "utf-16-be", "utf-8"):
        assert read("\ufeffid,text\n1,ü\n".encode(encoding), encoding=encoding) == [("1", "ü")]


@pytest.mark.parametrize(
    ("content", "encoding", "words"),
    [
        (
            HEADER + b"1,a\n2,\x81b\n",
            "cp1252",
            ", row 3, column text: b'\\x81b' is not CP1252; save the file as CP1252",
        ),
        (HEADER + b"1,a\n2,\xffb\n", "ascii", ", row 3, column text: b'\\xffb' is not ASCII; save the file as ASCII"),
        (HEADER + b"1,a\n2,\xff,b\n", "utf-8", ", row 3: 3 values, but the header has 2 columns; enclose values with"),
        (b"id,text,\xff\n", "ascii", ", row 1: the header is not ASCII: id, text, "),
        (HEADER + b'1,"a\nb"\n2,\x83\n', "shift_jis", ", row 3 (line 4), column text: b'\\x83'"),
        ("id,text\n1,a\n2,b".encode("utf-16")[:-1], "utf-16", ", row 3, column text: b'b' is not UTF-16"),
        (
            "id,text\n1,a\n".encode("utf-16"),
            "latin-1",
            ": the text is UTF-16, not ISO8859-1; save the file as ISO8859-1, or declare csv.encoding: utf-16",
        ),
        (
            "id,text\n".encode("utf-16-le"),
            "utf-8",
            ": the text is UTF-16-LE, not UTF-8; save the file as UTF-8, or decl",
        ),
        ("id,text\n".encode("utf-16-be"), "cp1252", ": the text is UTF-16-BE, not CP1252"),
        ("id,text\n".encode("utf-16-be"), "utf-16", ": the text is UTF-16-BE, not UTF-16; "),
        ("\ufeffid,text\n".encode("utf-16-be"), "utf-16-le", ": the text is UTF-16, not UTF-16-LE"),
        ("id,text\n".encode("utf-32"), "utf-8", ": the text is UTF-32, not UTF-8"),
        (b"\xef\xbb\xbfid,text\n", "cp1252", ": the text is UTF-8, not CP1252; "),
        (
            b"id,text\n",
            "utf-16",
            ": the text is UTF-8, not UTF-16; save the file as UTF-16, or declare csv.encoding: utf-8",
        ),
        ("id,text\n1,a\n2,b\0\n".encode("utf-16"), "utf-16", ", row 3, column text: the text contains a NUL byte"),
    ],
)
def test_bytes_that_are_invalid_in_the_encoding_are_reported(failure, content, encoding, words):
    assert failure(content, encoding=encoding).startswith(words)


@pytest.mark.parametrize(
    ("content", "csv", "words"),
    [
        (
            b"id,text\n1,a\n",
            {"delimiter": ";"},
            "separate values by semicolons instead of ',', or declare csv.delimiter",
        ),
        (b"id;text\n1;a;b\n", {"delimiter": ";"}, "enclose values with semicolons or line breaks in double quotes"),
        (b"id,text\n1,a,b\n", {"quote": "'"}, "enclose values with commas or line breaks in single quotes"),
        (b"id,text\n1,'a\n2,b\n", {"quote": "'"}, "a single quote opens and is never closed; close it, or write a"),
        (b"id^text\n1^a^b\n", {"delimiter": "^"}, "enclose values with '^'s or line breaks"),
        (b"id;text\n1;'a\n\n2;b\0\n", {"delimiter": ";", "quote": "'"}, ", row 2, column text: a single quote opens"),
        (
            b"id;text\n1;'a;\n\n'\n2;b\0\n",
            {"delimiter": ";", "quote": "'"},
            ", row 3 (line 5), column text: the text contains",
        ),
        (b"id,text\n1\n", {}, "1 values, but the header has 2 columns; add the missing values"),
        (
            b'id,text\n1, "a, b"\n',
            {},
            "remove the blank before a double quote, which encloses a value only as its first",
        ),
        (b"id,text\n1,'a, b'\n", {}, "values are in single quotes: set csv.quote to that"),
        (b'id,text\n1,"a\\", b"\n', {}, "set csv.escape: '\\' if a backslash stands before literal double quotes"),
        (b'id,text\n1,"a, b"\n', {"quote": None}, "remove commas or line breaks from values, or set csv.quote"),
    ],
    ids=[
        "delimiter",
        "long row",
        "long row and quote",
        "open quote",
        "other delimiter",
        "place",
        "row and line",
        "short row",
        "blank before a quote",
        "other quote",
        "escaped quote",
        "no quote",
    ],
)
def test_a_message_describes_the_file_as_it_is_declared(failure, content, csv, words):
    assert words in failure(content, **csv)


@pytest.mark.parametrize(
    ("csv", "words"),
    [
        ({"delimiter": ""}, "streams.0.csv.delimiter: Value error, must be one ASCII character"),
        ({"delimiter": ",,"}, "streams.0.csv.delimiter: "),
        ({"delimiter": "\n"}, "streams.0.csv.delimiter: "),
        ({"quote": "“"}, "streams.0.csv.quote: "),
        ({"quote": ","}, "delimiter and quote must differ"),
        ({"encoding": "utf-9"}, "streams.0.csv.encoding: Value error, 'utf-9' is not an encoding of Python"),
        ({"encoding": "hex"}, "streams.0.csv.encoding: "),
        ({"encoding": "idna"}, "streams.0.csv.encoding: "),
        ({"escape": '"'}, "quote and escape must differ"),
        ({"comment": '"#'}, "comment must not begin with the delimiter, quote or escape"),
        ({"comment": ""}, "streams.0.csv.comment: "),
        ({"escape": "\\", "null": ["", "\\N"]}, "null must not contain the escape"),
        ({"skip_rows": -1}, "streams.0.csv.skip_rows: "),
        ({"column_names": ["a", "a"]}, "streams.0.csv.column_names: Value error, a occurs twice"),
        ({"escapechar": "\\"}, "streams.0.csv.escapechar: Extra inputs"),
    ],
)
def test_a_wrong_setting_is_reported(connector, csv, words):
    status, messages = connector("read", "unused", csv=csv)
    assert status == 1
    assert words in error_of(messages).message


def test_settings_for_csv_are_refused_for_another_format(connector):
    _, messages = connector("read", "unused", csv={"delimiter": ";"}, format="jsonl")
    assert "csv is only for CSV files, but the format is jsonl" in error_of(messages).message


def test_the_columns_are_those_of_the_configured_catalog(connector, tmp_path):
    (tmp_path / "texts.csv").write_bytes(b"id,text,more\n1,a,x\n")
    more = {"type": "object", "properties": {"more": {"type": "string"}, "id": {"type": "integer"}}}
    _, messages = connector("read", tmp_path / "texts.csv", columns=more)
    assert [m.record.data for m in messages if m.record] == [{"more": "x", "id": "1"}]
    _, messages = connector("read", tmp_path / "texts.csv", columns={"type": "object"})
    assert "the catalog has no columns for stream texts; discover it again" in error_of(messages).message


def test_characters_that_json_escapes_arrive_as_they_are(read):
    text = "".join(map(chr, range(1, 0x20))) + '\\"/\x7f\x80\u2028 ü€😀 \\u0041 \\n'
    quoted = text.replace('"', '""')
    assert read(f'id,text\n1,"{quoted}"\n2,\\\n'.encode()) == [("1", text), ("2", "\\")]


def test_names_of_columns_and_streams_may_have_any_characters(connector, tmp_path):
    names = ['a "name"', "back\\slash", "ü\nb"]
    header = ",".join('"' + name.replace('"', '""') + '"' for name in names)
    (tmp_path / "texts.csv").write_text(f"{header}\n1,,3\n")
    columns = {"type": "object", "properties": {name: SCHEMA["properties"]["text"] for name in names}}
    _, messages = connector("read", tmp_path / "texts.csv", columns=columns, json_schema=columns)
    assert [m.record.data for m in messages if m.record] == [dict(zip(names, ["1", None, "3"], strict=True))]
