import csv
import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tagifai.errors import TagifaiError
from tagifai.spoil import spoil

PROJECTS = "id,created_on,title,description,stars\n" + "".join(
    f'{each},2026-01-0{each} 10:00:00,"Title, {each}",Description {each}.,{each}0\n' for each in range(1, 6)
)


@pytest.fixture
def spoiled(settings, tmp_path):
    """Function that spoils a file with some text; returns what spoil returned, the new text and its rows."""

    def spoiled(text):
        file = tmp_path / "projects.csv"
        file.write_bytes(text.encode())
        facts = spoil(settings, folder=str(tmp_path))
        assert list(tmp_path.iterdir()) == [file]
        with file.open(newline="", encoding="utf-8-sig") as opened:
            return facts, file.read_bytes().decode(), list(csv.DictReader(opened))

    return spoiled


@pytest.mark.parametrize("ending", ["\n", ""])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_bad_rows_follow_the_others_which_stay_as_they_are(spoiled, start, ending):
    facts, text, rows = spoiled(start + PROJECTS.removesuffix("\n") + ending)
    assert text.startswith(start + PROJECTS)
    assert [(row["id"], row["title"]) for row in rows[5:]] == [(row["id"], row["title"]) for row in facts["rows"]]
    assert len(rows) == 8


def test_there_is_one_bad_row_for_each_rule_of_the_gate(spoiled):
    facts, _, rows = spoiled(PROJECTS)
    ids = [row["id"] for row in rows]
    assert [each for each in set(ids) if ids.count(each) > 1] == ["1"]
    texts = [(row["title"], row["description"]) for row in rows]
    assert [each for each in set(texts) if texts.count(each) > 1] == [("Title, 3", "Description 3.")]
    assert [row["id"] for row in rows if not row["title"]] == ["7"]
    assert facts["rows"] == [
        {"id": "1", "title": "Another title", "wrong": "the id of another row"},
        {"id": "6", "title": "Title, 3", "wrong": "the same texts as id 3"},
        {"id": "7", "title": "", "wrong": "no title"},
    ]


@pytest.mark.parametrize("text", ["id,title,description\n", "name\nx\n", "id,title\n1,T\n", ""])
def test_a_file_that_cannot_be_spoiled_is_named_and_stays_as_it_is(settings, tmp_path, text):
    file = tmp_path / "projects.csv"
    file.write_text(text)
    with pytest.raises(TagifaiError, match=r"projects\.csv cannot be spoiled .*columns id"):
        spoil(settings, folder=str(tmp_path))
    assert file.read_text() == text


def test_a_missing_file_is_named(settings, tmp_path):
    with pytest.raises(TagifaiError, match=r"there is no .*projects\.csv: copy the files"):
        spoil(settings, folder=str(tmp_path))


TICKETS = {"id": "Ticket", "texts": ["Betreff", "Text, lang"], "label": "queue", "date": None}
ROWS = [
    {"queue": "billing", "Text, lang": f"Text {each}", "Betreff": f"B; {each}", "Ticket": f"00{each}"} for each in "123"
]


@pytest.fixture
def spoil_tickets(make_settings, tmp_path):
    """Function that spoils a file of tickets, with some settings changed; returns its content and the bad rows."""

    def spoil_tickets(name, content, **changes):
        sources = {"sources": {"tickets": {"file": name, "columns": {}}, "others": {"file": "none", "columns": {}}}}
        labels = {"labels": {"known": ["billing"], "min_freq": 20}}
        (tmp_path / name).write_bytes(content)
        settings = make_settings(**{"columns": TICKETS} | labels | changes)
        facts = spoil(settings.model_copy(update=sources), folder=str(tmp_path))
        return (tmp_path / name).read_bytes(), facts["rows"]

    return spoil_tickets


BAD = [
    {"Ticket": "001", "Betreff": "Another Betreff", "wrong": "the Ticket of another row"},
    {"Ticket": "003-1", "Betreff": "B; 2", "wrong": "the same texts as Ticket 002"},
    {"Ticket": "003-2", "Betreff": "", "wrong": "no Betreff"},
    {"Ticket": "003-3", "Betreff": "One more Betreff", "wrong": "an unknown queue"},
]


@pytest.mark.parametrize(("delimiter", "end"), [(";", "\r\n"), ("\t", "\n"), ("|", "\n"), (",", "\n")])
def test_a_csv_file_keeps_its_delimiter_its_header_and_its_line_ends(spoil_tickets, tmp_path, delimiter, end):
    with (tmp_path / "made").open("w", newline="") as file:
        writer = csv.DictWriter(file, ROWS[0], delimiter=delimiter, lineterminator=end)
        writer.writeheader()
        writer.writerows(ROWS)
    content = (tmp_path / "made").read_bytes()
    spoiled, bad = spoil_tickets("t.csv", content)
    assert spoiled.startswith(content)
    assert spoiled.count(end.encode()) == 8
    rows = list(csv.DictReader(spoiled.decode().splitlines(), delimiter=delimiter))
    assert [(row["Ticket"], row["Betreff"]) for row in rows[3:]] == [(row["Ticket"], row["Betreff"]) for row in bad]
    assert (bad, rows[6]["queue"]) == (BAD, "no such label")


def test_json_lines_and_parquet_get_the_same_rows(spoil_tickets, tmp_path):
    lines = "".join(f"{json.dumps(row)}\n" for row in ROWS).encode()
    spoiled, bad = spoil_tickets("t.jsonl.gz", gzip.compress(lines))
    rows = [json.loads(line) for line in gzip.decompress(spoiled).splitlines()]
    assert (rows[:3], bad) == (ROWS, BAD)
    table = pa.Table.from_pylist(ROWS)
    table = table.set_column(0, "queue", table["queue"].dictionary_encode())
    pq.write_table(table, tmp_path / "made")
    _, bad = spoil_tickets("t.parquet", (tmp_path / "made").read_bytes())
    found = pq.read_table(tmp_path / "t.parquet")
    assert (found.schema, found.to_pylist(), bad) == (table.schema, rows, BAD)


def test_only_rows_that_are_wrong_for_the_application_are_made(spoil_tickets):
    columns = TICKETS | {"id": None, "texts": ["Betreff"]}
    content = b'{"Betreff": "x"}\n{"Betreff": "y"}'
    spoiled, bad = spoil_tickets("t.jsonl", content, columns=columns, equal_texts="all")
    assert spoiled == content + b'\n{"Betreff": ""}\n'
    assert bad == [{"Betreff": "", "wrong": "no Betreff"}]
    _, bad = spoil_tickets("t.jsonl", content, columns=columns)
    assert [row["wrong"] for row in bad] == ["the same texts as another row", "no Betreff"]


def test_integers_of_64_bits_stay_exact_beside_a_null(spoil_tickets, tmp_path):
    rows = {"Ticket": [4611686018427387905, None], "Betreff": ["x", "y"], "Text, lang": ["", None]}
    pq.write_table(pa.table(rows), tmp_path / "made")
    spoil_tickets("t.parquet", (tmp_path / "made").read_bytes())
    found = pq.read_table(tmp_path / "t.parquet")["Ticket"].to_pylist()
    assert found == [*rows["Ticket"], rows["Ticket"][0], 4611686018427387906, 4611686018427387907]
