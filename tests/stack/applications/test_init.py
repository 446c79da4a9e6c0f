"""`make init` on files: a right file of an application, or one clear sentence."""

import csv
import gzip
import io
import json
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from stack.applications import write
from stack.cli import applications
from stack.cli.main import main
from stack.settings import ENVIRONMENTS

QUEUES = ("billing", "support", "sales")


def table(rows=30, **columns):
    """Rows of tickets; a column is a function of the row's number, None: without it."""
    usual = {
        "ticket_id": lambda number: f"T-{number:04}",
        "subject": lambda number: f"Subject number {number}",
        "body": lambda number: f"The body of ticket {number}",
        "queue": lambda number: QUEUES[number % 3],
    }
    made = {name: value for name, value in (usual | columns).items() if value}
    return [{name: value(number) for name, value in made.items()} for number in range(rows)]


def csv_of(rows, *, delimiter=",", encoding="utf-8"):
    """The bytes of a CSV file."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, rows[0], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode(encoding)


TICKETS = table()
JSON_LINES = "".join(json.dumps(row | {"meta": {"a": [1]}}) + "\n" for row in TICKETS).encode()
# Writes a table of Arrow: an id of 64 bits, null in some rows where asked, and columns of dictionaries.
PARQUET = """
import sys, pyarrow as pa, pyarrow.parquet as pq
path, has_nulls = sys.argv[1], sys.argv[2] == "nulls"
ids = [None if has_nulls and number % 10 == 9 else 4611686018427387905 + number for number in range(30)]
texts = pa.array([f"The body of ticket {number}" for number in range(30)]).dictionary_encode()
queues = pa.array([("billing", "support", "sales")[number % 3] for number in range(30)]).dictionary_encode()
lists = pa.array([[number % 3] for number in range(30)])
pq.write_table(pa.table({"ticket_id": pa.array(ids, pa.int64()), "body": texts, "queue": queues, "lists": lists}), path)
"""


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("tickets.csv", csv_of(TICKETS), {}),
        ("Tickets 2024.CSV", csv_of(TICKETS), {}),
        ("semicolon.csv", csv_of(TICKETS, delimiter=";"), {"csv": {"delimiter": ";"}}),
        ("tab.csv", csv_of(TICKETS, delimiter="\t"), {"csv": {"delimiter": "\\t"}}),
        ("tickets.tsv", csv_of(TICKETS, delimiter="\t"), {"csv": {"delimiter": "\\t"}}),
        ("tickets.csv.gz", gzip.compress(csv_of(TICKETS), mtime=0), {}),
        ("tickets.jsonl", JSON_LINES, {"format": "jsonl"}),
        ("tickets.json", json.dumps(TICKETS).encode(), {"format": "jsonl"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_kind_of_file_gives_the_same_settings(init, folder, name, content, options):
    (folder / name).write_bytes(content)
    found = init(folder / name)
    ((table, source),) = found["sources"].items()
    assert (source["file"], source.get("options", {})) == (name, options)
    assert source["columns"].keys() == {"ticket_id", "subject", "body", "queue"}
    assert table in ("tickets", "tickets_2024", "semicolon", "tab")
    assert found["source"] == str(folder)
    assert found["columns"] == {"id": "ticket_id", "texts": ["subject", "body"], "label": "queue", "date": None}
    assert found["labels"] == {"known": ["billing", "sales", "support"], "min_freq": 5, "rest": "other"}


@pytest.mark.parametrize(("nulls", "key", "kind"), [("none", "ticket_id", "integer"), ("nulls", None, None)])
def test_parquet_with_columns_of_dictionaries_and_ids_of_64_bits_is_read(init, folder, nulls, key, kind):
    python = ENVIRONMENTS / "airbyte" / "bin" / "python"
    subprocess.run([python, "-c", PARQUET, folder / "a.parquet", nulls], check=True)
    found = init(folder / "a.parquet")
    assert found["columns"] == {"id": key, "texts": ["body"], "label": "queue", "date": None}
    assert found["sources"]["a"]["columns"].get("ticket_id") == kind
    assert found["labels"]["known"] == ["billing", "sales", "support"]


@pytest.mark.parametrize("one", ["texts labels", "labels texts", "folder"])
def test_two_files_are_joined_by_the_column_that_they_share(init, folder, one):
    (folder / "texts.csv").write_bytes(csv_of(table(queue=None)))
    (folder / "labels.csv").write_bytes(csv_of(table(subject=None, body=None)))
    (folder / "notes.md").touch()
    data = folder if one == "folder" else " ".join(str(folder / f"{name}.csv") for name in one.split())
    found = init(data)
    assert [source["file"] for source in found["sources"].values()] == ["texts.csv", "labels.csv"]
    assert found["columns"]["id"] == "ticket_id"


def test_ids_of_different_types_in_two_files_are_loaded_as_texts(init, folder):
    (folder / "texts.csv").write_bytes(csv_of(table(ticket_id=int, queue=None)))
    ids = table(ticket_id=lambda number: "0012" if number == 12 else number, subject=None, body=None)
    (folder / "labels.csv").write_bytes(csv_of(ids))
    found = init(folder)
    assert [source["columns"]["ticket_id"] for source in found["sources"].values()] == ["text", "text"]
    # The label of 0012 has no text.
    assert found["checks"]["min_labeled"] == 14


def test_names_that_yaml_takes_for_other_values_are_kept(init, folder):
    (folder / "no.csv").write_bytes(csv_of(TICKETS))
    found = init(folder / "no.csv", name="on")
    assert (found["application"], found["model"]["name"], list(found["sources"])) == ("on", "on", ["no"])


def test_two_files_whose_names_are_taken_become_texts_and_labels(init, folder):
    (folder / "tickets.csv").write_bytes(csv_of(table(queue=None)))
    (folder / "labeled_tickets.csv").write_bytes(csv_of(table(subject=None, body=None)))
    assert list(init(folder)["sources"]) == ["texts", "labels"]


@pytest.mark.parametrize("made", ["1582180998", "yesterday"])
def test_a_date_is_what_all_its_values_are(init, folder, made):
    (folder / "a.csv").write_bytes(csv_of(table(ts=lambda number: made if number == 20 else 1_700_000_000 + number)))
    found = init(folder / "a.csv", "--date", "ts")
    if made.isdecimal():
        assert found["sources"]["a"]["columns"]["ts"] == {"type": "epoch_seconds", "required": True}
    else:
        assert "'ts' is no column of dates in a.csv: ISO 8601, or seconds or milliseconds since 1970" in found


def test_files_of_two_folders_have_the_source_that_both_are_below(init, folder):
    for name, rows in (("a/texts.csv", table(queue=None)), ("b/labels.csv", table(subject=None, body=None))):
        (folder / name).parent.mkdir()
        (folder / name).write_bytes(csv_of(rows))
    found = init(f"{folder}/a/texts.csv {folder}/b/labels.csv")
    assert found["source"] == str(folder)
    assert [source["file"] for source in found["sources"].values()] == ["a/texts.csv", "b/labels.csv"]


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (lambda number: f"{number:06}", "text"),
        (lambda number: -number - 1, "integer"),
        (lambda number: 4611686018427387905 + number, "integer"),
        (lambda number: 2**63 + number, "text"),
        (lambda number: f"7f3b1c0e-0000-4000-8000-{number:012}", "text"),
        (lambda number: number if number < 29 else "A29", "text"),
    ],
)
def test_ids_are_loaded_as_they_are(init, folder, column, kind):
    (folder / "a.csv").write_bytes(csv_of(table(ticket_id=column)))
    assert init(folder / "a.csv")["sources"]["a"]["columns"]["ticket_id"] == kind


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (lambda number: f"2024-01-{number + 1:02}", "date"),
        (lambda number: f"2024-01-01 00:00:{number:02}", "timestamp"),
        (lambda number: f"2024-01-01T00:00:{number:02}Z", "timestamp_with_time_zone"),
        (lambda number: 1_700_000_000 + number, "epoch_seconds"),
        (lambda number: 1_700_000_000_000 + number, "epoch_milliseconds"),
    ],
)
def test_dates_have_the_type_that_their_values_have(init, folder, column, kind):
    (folder / "a.csv").write_bytes(csv_of(table(created=column)))
    found = init(folder / "a.csv")
    assert found["columns"]["date"] == "created"
    assert found["sources"]["a"]["columns"]["created"] == {"type": kind, "required": True}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", b"", "empty.csv: the file is empty; it needs a header row"),
        ("header.csv", b"id,text,queue\n", "header.csv has no rows"),
        ("headless.csv", csv_of(TICKETS).partition(b"\n")[2], "'billing' is the name of a column and a value in it: "),
        ("one.csv", csv_of(table(ticket_id=None, subject=None, queue=None)), "no column looks like a label"),
        ("unlabelled.csv", csv_of(table(queue=None)), "no column looks like a label, with few different values: name"),
        ("same.csv", csv_of(table(queue=lambda _: "a")), "no column looks like a label"),
        ("no-text.csv", csv_of(table(subject=None, body=None)), "no column looks like a text: name it, TEXTS=column"),
        ("utf-16.csv", csv_of(TICKETS, encoding="utf-16"), "utf-16.csv: the text is UTF-16, not UTF-8"),
        (
            "latin-1.csv",
            csv_of(table(body=lambda number: f"Größe {number}"), encoding="latin-1"),
            "latin-1.csv, row 2, column body: b'Gr\\xf6\\xdfe 0' is not UTF-8; save the file as UTF-8",
        ),
        (
            "nul.csv",
            csv_of(table(queue=lambda number: f"a\0{number % 2}")),
            "row 2, column queue: the text contains a NUL",
        ),
        ("ragged.csv", b"id,text,queue\n1,a b,x\n2,c\n", "ragged.csv, row 3: 2 values, but the header has 3 columns"),
        ("nameless.csv", csv_of(table(ticket_id=None, **{"": str})), "a column has no name; name it"),
        ("image.png", b"\x89PNG\r\n\x1a\n", "image.png, row 1: the header is not UTF-8"),
        (
            "objects.jsonl",
            "".join(json.dumps(row | {"queue": {"name": row["queue"]}}) + "\n" for row in TICKETS).encode(),
            "no column looks like a label",
        ),
        (
            "added.csv",
            csv_of(table(queue=None, is_labeled=lambda number: QUEUES[number % 3])),
            "'is_labeled' is the name of a column that a run adds: rename it in the source",
        ),
    ],
)
def test_data_that_no_application_can_have_is_refused_in_one_sentence(init, folder, name, content, words):
    (folder / name).write_bytes(content)
    assert words in init(folder / name)


def test_a_file_that_is_not_there_is_refused(init):
    assert init("nowhere.csv") == "DATA: nowhere.csv does not exist: give a file, a folder or a URL"


@pytest.mark.parametrize("number", [0, 3])
def test_no_file_and_more_than_two_are_refused(init, folder, number):
    for each in range(number):
        (folder / f"{each}.csv").touch()
    assert f"names {number} files, and an application has one or two: name them, DATA=texts.csv or" in init(folder)


def test_two_files_without_a_common_id_are_refused(init, folder):
    (folder / "texts.csv").write_bytes(csv_of(table(queue=None)))
    (folder / "labels.csv").write_bytes(csv_of([{"key": row["ticket_id"], "queue": row["queue"]} for row in TICKETS]))
    assert "have no column in common that could be the id of a row: name it, ID=column" in init(folder)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--label", "kind"], "there is no column 'kind': tickets.csv have ticket_id, subject, body, queue"),
        (["--texts", "subject,text"], "there is no column 'text'"),
        (
            ["--id", "queue", "--label", "queue"],
            "'queue' has two purposes: name the columns, ID=… TEXTS=… LABEL=…",
        ),
    ],
)
def test_columns_that_do_not_fit_are_refused(init, folder, options, words):
    (folder / "tickets.csv").write_bytes(csv_of(TICKETS))
    assert words in init(folder / "tickets.csv", *options)


@pytest.mark.parametrize(
    "name", ["Tickets", "1st", "my-tickets", "", "a" * 41, "pg_tickets", "smoke", "../x", "models"]
)
def test_a_name_that_schemas_and_graphs_cannot_have_is_refused(init, folder, name):
    said = init(folder, name=name)
    assert "NAME=" in said
    assert "tickets" in said


def test_a_file_of_an_application_stays(init, folder):
    (folder / "tickets.csv").write_bytes(csv_of(TICKETS))
    first = init(folder / "tickets.csv")
    done = CliRunner().invoke(main, ["init-application", "--name", "tickets", "--data", str(folder), "--yes"])
    assert done.exit_code == 1
    assert "tickets.yaml exists: edit it, delete it, or give another NAME" in " ".join(done.output.split())
    assert first["application"] == "tickets"


def test_nothing_is_written_without_an_answer(folder):
    (folder / "tickets.csv").write_bytes(csv_of(TICKETS))
    done = CliRunner().invoke(main, ["init-application", "--name", "tickets", "--data", str(folder)])
    assert "add YES=1 to accept this, or name the columns" in " ".join(done.output.split())
    assert not list(write.APPLICATIONS.iterdir())


@pytest.fixture
def server():
    """Base URL of a server that has /data/tickets.csv and nothing else."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            has_it = self.path.partition("?")[0] == "/data/tickets.csv"
            self.send_response(200 if has_it else 404)
            self.end_headers()
            self.wfile.write(csv_of(TICKETS) if has_it else b"")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_a_url_is_the_source_and_one_that_answers_404_is_refused(init, server, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert "404" in init(f"{server}/nothing.csv")
    found = init(f"{server}/data/tickets.csv")
    assert (found["source"], found["sources"]["tickets"]["file"]) == (f"{server}/data", "tickets.csv")
    found = init(f"{server}/data/tickets.csv?download=true", name="others")
    assert found["sources"]["tickets"]["file"] == "tickets.csv?download=true"


@pytest.fixture
def answer(folder, read_back, monkeypatch):
    """Function that runs `make init` on a terminal and answers; returns what was said, and the file's path."""
    monkeypatch.setattr(applications, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
    (folder / "tickets.csv").write_bytes(csv_of(TICKETS))

    def answer(given, editor="true"):
        monkeypatch.setenv("EDITOR", editor)
        command = ["init-application", "--name", "tickets", "--data", str(folder / "tickets.csv")]
        said = CliRunner().invoke(main, command, input=f"{given}\n").output
        return " ".join(said.split()), write.APPLICATIONS / "tickets.yaml"

    return answer


def test_the_proposal_is_written_if_it_is_accepted_and_not_if_it_is_not(answer):
    said, path = answer("n")
    assert said.endswith("nothing is written")
    assert not path.exists()
    said, path = answer("")
    assert "Next: make run CONFIG=" in said
    assert "min_labeled: 15" in path.read_text()


def test_the_proposal_can_be_changed_before_it_is_written(answer):
    said, path = answer("e", editor="sed -i 's/min_labeled: 15/min_labeled: 7/'")
    assert "Next: make run CONFIG=" in said
    assert "min_labeled: 7" in path.read_text()


def test_a_wrong_change_is_told_and_not_lost(answer):
    said, path = answer("e", editor="sed -i 's/min_labeled: 15/min_labeled: few/'")
    assert "checks.min_labeled: Input should be a valid integer" in said
    assert "min_labeled: few" in path.read_text()
