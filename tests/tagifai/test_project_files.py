"""What is read of a file of rows, and what is said of one that cannot be read."""

import gzip
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tagifai import project_files
from tagifai.errors import TagifaiError
from tagifai.settings import Columns

PROJECTS = Columns(id="id", texts=["title", "description"], label="tag")
NOTES = Columns(id=None, texts=["note"], label="kind")
HEADER = b"id,title,description\n"
OBJECT = b'{"id": 1, "title": "T", "description": "D"}\n'
NO_TEXT = BytesIO()
pq.write_table(pa.table({"id": [1], "title": [[1]], "description": ["D"]}), NO_TEXT)


def rows_of(path, columns=PROJECTS):
    return [tuple(row.values()) for table in project_files.read(str(path), columns) for row in table.to_pylist()]


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("a.csv", b"\xef\xbb\xbfid,title,description\n1,T,D\n", [("1", "T", "D")]),
        ("a.CSV", b' id ,title,\xc2\xa0description,,\n007,NA,"a\r\nb",,\n\n', [("007", "NA", "a\r\nb")]),
        ("a.csv", b'id;title;description\n1;"a;b";"c, d"\n', [("1", "a;b", "c, d")]),
        ("a.tsv", b'title\tid\tdescription\n"a\tb"\t1\tx, y\n', [("1", "a\tb", "x, y")]),
        ("a.jsonl", OBJECT + b"\n" + OBJECT, [(1, "T", "D"), (1, "T", "D")]),
        (
            "a.ndjson",
            b'\xef\xbb\xbf{" title": null, "id": "01", "description ": "\\ud83e\\udd17"}',
            [("01", None, "🤗")],
        ),
        ("a.json", OBJECT + b"\n" + OBJECT, [(1, "T", "D"), (1, "T", "D")]),
        ("a.jsonl", b"", []),
        ("a.csv.gz", gzip.compress(HEADER + b"1,T,D\n"), [("1", "T", "D")]),
        ("a.tsv.GZ", gzip.compress(b"id\ttitle\tdescription\n1\tT\tD\n"), [("1", "T", "D")]),
        ("a.jsonl.gz", gzip.compress(OBJECT) + gzip.compress(OBJECT), [(1, "T", "D"), (1, "T", "D")]),
    ],
)
def test_values_are_read_as_they_are(tmp_path, name, content, rows):
    (tmp_path / name).write_bytes(content)
    assert rows_of(tmp_path / name) == rows


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.csv", None, r"gone\.csv does not exist: give a file whose name ends in \.csv, \.tsv, "),
        ("a.csv", b"id,title\n1,T\n", r"a\.csv has no column description: .*has 'id', 'title'$"),
        ("a.csv", "\u200bid,title,description\n".encode(), r"a\.csv has no column id: .*has '\\u200bid', 'title', "),
        ("a.csv", b"name\n1\n", r"a\.csv has no column id, title, description: .*has 'name'$"),
        ("a.csv", b"", r"a\.csv has no column id, title, description: .*has none"),
        ("a.csv", b"id,title,description,title \n1,T,D,U\n", r"a\.csv has column title twice: .*'title', .*'title '"),
        ("a.csv", "id,title,description\n1,caf\xe9,D\n".encode("latin-1"), r"a\.csv is not UTF-8 .*save it as UTF-8"),
        ("a.csv", b'id,title,description\n1,"T,D\n', r"a\.csv cannot be read: line 2: unexpected end .*double quote"),
        ("a.csv", HEADER + b"1,T,D, E\n", r"a\.csv cannot be read: line 2 has 4 fields, the header 3: .* a comma or"),
        ("a.csv", HEADER + b"1,T,D,\n2,T,D,\n", r"a\.csv cannot be read: line 2 has 4 fields"),
        ("a.csv", HEADER + b"1,T,D\n2,T,D,E\n", r"a\.csv cannot be read: line 3 has 4 fields"),
        ("a.csv", HEADER + b"1,T,D\n2,T\n", r"a\.csv cannot be read: line 3 has 2 fields"),
        ("a.tsv", HEADER.replace(b",", b"\t") + b"1\tT\n", r"a\.tsv cannot be read: line 2 has 2 fields.* a tab or"),
        ("a.jsonl", OBJECT + b"[1]\n", r"a\.jsonl cannot be read: line 2 is no object: write one object with the id"),
        ("a.jsonl", OBJECT + b'{"id": 1\n', r"a\.jsonl cannot be read: line 2 is not JSON \(Expecting ',' delimiter\)"),
        ("a.jsonl", b"[" * 100_000, r"a\.jsonl cannot be read: line 1 is not JSON \(maximum recursion"),
        (
            "a.jsonl",
            OBJECT + b'{"id": 1, "title": ""}\n',
            r"a\.jsonl: line 2 has no column description: .*'id', 'title'$",
        ),
        ("a.jsonl", b'{"id": 1, "id ": 2, "title": "", "description": ""}', r"a\.jsonl: line 1 has column id twice"),
        ("a.jsonl", OBJECT.replace(b"1", b"1.5"), r"line 1: id is 1\.5: write a text or an integer of 64 bits"),
        ("a.jsonl", OBJECT.replace(b"1", b"true"), r"line 1: id is true: write a text or an integer"),
        ("a.jsonl", OBJECT.replace(b"1", b"null"), r"line 1: id is null: write a text or an integer"),
        ("a.jsonl", OBJECT.replace(b"1", b"9223372036854775808"), r"line 1: id is 9223372036854775808: write a text"),
        ("a.jsonl", OBJECT + OBJECT.replace(b"1", b'"1"'), r"line 2: id is \"1\", but the ids before are integers"),
        ("a.jsonl", OBJECT.replace(b'"T"', b"7"), r"line 1: title is 7: write a text or null"),
        ("a.jsonl", OBJECT.replace(b"D", rb"\ud800"), r'line 1: description is "\\ud800": write a text or null'),
        ("a.csv.gz", HEADER, r"a\.csv\.gz is damaged or cut off \(Not a gzipped file .*compress the original again"),
        ("a.csv.gz", gzip.compress(HEADER)[:-9], r"a\.csv\.gz is damaged or cut off \(Compressed file ended"),
        ("a.csv.gz", gzip.compress(HEADER)[:-5] + b"wrong", r"a\.csv\.gz is damaged or cut off \(CRC check failed"),
        ("a.tsv.gz", gzip.compress(HEADER)[:10] + b"\xff" * 20, r"a\.tsv\.gz is damaged or cut off \(Error -3"),
        ("a.parquet", b"no parquet", r"a\.parquet cannot be read: .*must be a Parquet file"),
        ("a.parquet", NO_TEXT.getvalue(), r"a\.parquet: column title has the type list<.*: convert it to text before"),
        ("a.parquet.gz", b"", r"a\.parquet\.gz: the name of the file must end in \.csv, "),
        ("a.txt", HEADER, r"a\.txt: the name of the file must end in \.csv, .* or \.parquet"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TagifaiError, match=message):
        rows_of(tmp_path / name)


def test_names_of_the_settings_count_without_blanks_too(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"id, text, label\n1,T,L\n")
    columns = Columns(id="id", texts=(" text",), label=" label")
    assert rows_of(tmp_path / "a.csv", columns) == [("1", "T")]


def test_columns_of_parquet_that_are_the_same_but_for_blanks_are_refused(tmp_path):
    table = pa.table([[1], [1], ["T"], ["D"]], ["id", "id ", "title", "description"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(TagifaiError, match=r"a\.parquet has column id twice: .*'id', 'id '"):
        rows_of(tmp_path / "a.parquet")


def test_a_compressed_file_is_the_same_each_time_it_is_written(tmp_path):
    made = []
    for name in ("a.csv.gz", "b.csv.gz"):
        with (tmp_path / name).open("wb") as file:
            project_files.write(iter([pa.table({"id": [1]})]), file, name)
        made.append((tmp_path / name).read_bytes())
    assert gzip.decompress(made[0]) == b"id\n1\n"
    assert made[0] == made[1]


@pytest.mark.parametrize("name", ["b.csv", "b.tsv"])
def test_written_texts_are_read_as_they_were(tmp_path, name):
    texts = ["a\rb", "a\nb", "a\r\n", 'say "a"', "a,b", "a\tb", " ", "", "ü🤗"]
    with (tmp_path / name).open("wb") as file:
        project_files.write(iter([pa.table([texts] * 3, ["id", "title", "description"])]), file, name)
    assert rows_of(tmp_path / name) == [(text,) * 3 for text in texts]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "more,note \n,x\n,\n,y\n"),
        ("a.tsv", 'note\tmore\nx\t1\n""\t2\ny\t3\n'),
        ("a.jsonl", '{"note": "x"}\n{"note": ""}\n{"note": "y", "id": 7}\n'),
    ],
)
def test_without_an_id_rows_are_numbered_across_pieces(tmp_path, monkeypatch, name, content):
    monkeypatch.setattr(project_files, "PIECE", 2)
    (tmp_path / name).write_text(content)
    tables = list(project_files.read(str(tmp_path / name), NOTES))
    assert [table.column_names for table in tables] == [["row", "note"]] * 2
    assert rows_of(tmp_path / name, NOTES) == [(1, "x"), (2, ""), (3, "y")]


def test_without_an_id_in_the_source_a_file_may_still_have_one(tmp_path):
    (tmp_path / "a.csv").write_text("note,id\nx,007\n")
    (tmp_path / "a.jsonl").write_text('{"id": 7, "note": "x"}\n{"note": "y"}\n')
    pq.write_table(pa.table({"note": ["x"], "id": [7]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"note": ["x"]}), tmp_path / "b.parquet")
    assert rows_of(tmp_path / "a.csv", NOTES) == [("007", "x")]
    assert rows_of(tmp_path / "a.parquet", NOTES) == [(7, "x")]
    assert rows_of(tmp_path / "b.parquet", NOTES) == [(1, "x")]
    with pytest.raises(TagifaiError, match=r"a\.jsonl: line 2 has no column id: it needs id, note and has 'note'"):
        rows_of(tmp_path / "a.jsonl", NOTES)


def test_columns_have_the_names_of_the_settings(tmp_path):
    columns = Columns(id="Ticket No.", texts=["Betreff", 'say "x"', "a.b"], label="Grüße")
    table = pa.table({"a.b": ["c"], 'say "x"': ["b"], "Betreff": ["a"], "Ticket No.": ["-1"]})
    pq.write_table(table, tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text('a.b,"say ""x""",Betreff,Ticket No.\nc,b,a,-1\n')
    assert rows_of(tmp_path / "a.parquet", columns) == rows_of(tmp_path / "a.csv", columns) == [("-1", "a", "b", "c")]
    (tmp_path / "a.csv").write_text("Ticket No.,Betreff,a.b\n")
    with pytest.raises(TagifaiError, match=r"has no column say \"x\": it needs Ticket No\., Betreff, say \"x\", a\.b"):
        rows_of(tmp_path / "a.csv", columns)


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
)
def test_text_columns_of_parquet_of_any_kind_are_text(tmp_path, kind):
    texts = pa.array(["000123", None]).cast(kind)
    pq.write_table(pa.table({"id": texts, "title": texts, "description": texts}), tmp_path / "a.parquet")
    (table,) = project_files.read(str(tmp_path / "a.parquet"), PROJECTS)
    assert table.schema.types == [pa.string()] * 3
    assert rows_of(tmp_path / "a.parquet") == [("000123",) * 3, (None,) * 3]


@pytest.mark.parametrize(
    ("column", "values", "remedy"),
    [
        ("title", pa.array([1]), "int64: convert it to text before"),
        ("description", pa.array([b"a"]), "binary: convert it to text before"),
        ("title", pa.array([1.5]), "double: convert it to text before"),
        ("id", pa.array([b"a"]), "binary: convert it to text or integers before"),
        ("id", pa.array([{"a": 1}]), "struct<.*: convert it to text or integers before"),
    ],
)
def test_a_column_of_another_type_is_named_with_what_to_do(tmp_path, column, values, remedy):
    columns = {"id": pa.array([1]), "title": pa.array(["T"]), "description": pa.array(["D"])} | {column: values}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(TagifaiError, match=rf"a\.parquet: column {column} has the type {remedy}"):
        rows_of(tmp_path / "a.parquet")


# Of any characters but half ones, which no file can have.
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
INTEGERS = st.integers(-(2**63), 2**63 - 1)


@given(
    st.one_of(st.lists(TEXTS, min_size=1), st.lists(INTEGERS, min_size=1)),
    st.sampled_from(["csv", "tsv", "jsonl", "parquet"]),
)
@example(["000123", "-1", "1e5", "NA", "123e4567-e89b-12d3-a456-426614174000"], "csv")
@example([4611686018427387905, -(2**63)], "jsonl")
def test_ids_and_texts_of_any_kind_are_read_as_they_were_written(tmp_path_factory, ids, kind):
    path = tmp_path_factory.mktemp("files") / f"a.{kind}"
    texts = [str(each) for each in ids]
    with path.open("wb") as file:
        project_files.write(iter([pa.table([ids, texts, texts], ["id", "title", "description"])]), file, path.name)
    found = texts if kind in ("csv", "tsv") else ids
    assert rows_of(path) == list(zip(found, texts, texts, strict=True))
