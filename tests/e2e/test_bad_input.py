"""Every row of the table in docs/bad-input.md, on one stack that stays up: what stops, where, and what is said.

The good run before has everything that a rule lets through. After each bad one, consumers read what they did before.
"""

import http.server
import json
import re
import threading
from base64 import b64encode
from pathlib import Path

import pytest

from stack.airflow_api import AirflowApi
from stack.settings import ROOT
from tests.e2e.conftest import Instance

DOCS = ROOT / "docs" / "bad-input.md"
# Ids that are not in the sample: a project without tag, and a tag without project.
UNTAGGED, UNKNOWN = 9001, 9002
PROJECTS, TAGS = "projects.csv", "tags.csv"
LOAD_PROJECTS, LOAD_TAGS = "extract_and_load_projects", "extract_and_load_tags"
VALIDATE_PROJECTS, VALIDATE_TAGS = "validate_projects", "validate_tags"


def case(name, files, change, task, *said):
    """A row of the table: which files a change makes bad, the task that stops, and what its message says.

    The change takes a file's good bytes and gives bad ones, or None where the file is to be missing.
    """
    return pytest.param(files, change, task, said, id=name)


def put(old, new):
    """A change of the one place where `old` is."""

    def change(content):
        assert content.count(old) == 1, old
        return content.replace(old, new)

    return change


def first_five(content):
    """The header and the rows of the first five ids."""
    rows = list(re.finditer(rb"^\d+,", content, re.MULTILINE))
    return content[: rows[5].start()]


CASES = [
    case(
        "a missing file",
        PROJECTS,
        lambda _: None,
        LOAD_PROJECTS,
        "/projects.csv: No such file or directory; check the path in SOURCE or connections.yaml",
    ),
    case(
        "a missing column",
        PROJECTS,
        put(b",title,", b",name,"),
        LOAD_PROJECTS,
        "/projects.csv, row 1: no column title; add it, or correct the header, which has: id, created_on, name, desc",
    ),
    case(
        "an empty file",
        TAGS,
        lambda _: b"",
        LOAD_TAGS,
        "/tags.csv: the file is empty; it needs a header row with id, tag",
    ),
    case(
        "a header alone",
        TAGS,
        lambda content: content[: content.index(b"\n") + 1],
        VALIDATE_TAGS,
        "expectations failed on raw.tags, loaded from tags.csv, see file://",
        "expect_table_row_count_to_be_between(): expected min_value=100, found 0. Too few rows: load the whole source",
    ),
    case(
        "a wrong delimiter",
        TAGS,
        lambda content: content.replace(b",", b";"),
        LOAD_TAGS,
        "/tags.csv, row 1: no column id, tag; the header is 'id;tag': separate values by commas instead of ';'",
    ),
    case(
        "bytes that are not UTF-8",
        PROJECTS,
        put(b"Line segmentation for", b"Linien f\xfcr"),
        LOAD_PROJECTS,
        "/projects.csv, row 5 (line 6), column title: b'Linien f\\xfcr handwritten letters' is not UTF-8; save the",
    ),
    case(
        "an unclosed quote",
        TAGS,
        put(b"\n15,computer", b'\n15,"computer'),
        LOAD_TAGS,
        "/tags.csv, row 4, column tag: a double quote opens and is never closed; close it, or write",
    ),
    case(
        "a NUL byte",
        PROJECTS,
        put(b"Line segmentation", b"Line\0segmentation"),
        LOAD_PROJECTS,
        "/projects.csv, row 5 (line 6), column title: the text contains a NUL byte, which tables cannot store; remove it",
    ),
    case(
        "duplicate ids",
        PROJECTS,
        put(b"\n13,2020", b"\n11,2020"),
        VALIDATE_PROJECTS,
        "expectations failed on raw.projects, loaded from projects.csv, see file://",
        "expect_column_values_to_be_unique(id): found 2 of",
        "title 'Poetry meter', id 11",
    ),
    case(
        "null titles",
        PROJECTS,
        put(b",Poetry meter,", b",,"),
        VALIDATE_PROJECTS,
        "expectations failed on raw.projects, loaded from projects.csv, see file://",
        "expect_column_values_to_not_be_null(title): found 1 of",
        "id 13, title null. Fill in `title`",
    ),
    case(
        "blank titles",
        PROJECTS,
        put(b",Poetry meter,", ", \N{NO-BREAK SPACE},".encode()),
        VALIDATE_PROJECTS,
        "expectations failed on raw.projects, loaded from projects.csv, see file://",
        "expect_column_values_to_not_be_blank(title): found 1 of",
        "id 13, title ' \\xa0'. Fill in `title`",
    ),
    case(
        "a date that is none",
        PROJECTS,
        put(b"13,2020-01-28 11:33:08", b"13,yesterday"),
        VALIDATE_PROJECTS,
        "expectations failed on raw.projects, loaded from projects.csv, see file://",
        "expect_column_values_to_not_be_null(created_on): found 1 of",
        "id 13, title 'Poetry meter', created_on null, in the source 'yesterday'. Write a date like",
    ),
    case(
        "an id that is no number",
        PROJECTS,
        put(b"\n13,2020", b"\nthirteen,2020"),
        VALIDATE_PROJECTS,
        "expectations failed on raw.projects, loaded from projects.csv, see file://",
        "expect_column_values_to_not_be_null(id): found 1 of",
        "title 'Poetry meter', id null, in the source 'thirteen'. Write a whole number",
    ),
    case(
        "an id that is too large",
        TAGS,
        put(b"\n13,", b"\n99999999999999999999,"),
        VALIDATE_TAGS,
        "expectations failed on raw.tags, loaded from tags.csv, see file://",
        "expect_column_values_to_not_be_null(id): found 1 of",
        "tag 'natural-language-processing', id null, in the source '99999999999999999999'. Write a whole number",
    ),
    case(
        "a tag nobody knows",
        TAGS,
        put(b"\n13,natural-language-processing", b"\n13,sourdough"),
        VALIDATE_TAGS,
        "expectations failed on raw.tags, loaded from tags.csv, see file://",
        "expect_column_values_to_be_known(tag): expected value_set=['natural-language-processing', 'computer-vis",
        "id 13, tag 'sourdough'. Correct the tag in the source, or add it to `labels.known_tags` in the config.",
    ),
    case(
        "a project with two tags",
        TAGS,
        lambda content: content + b"13,mlops\n",
        VALIDATE_TAGS,
        "expectations failed on raw.tags, loaded from tags.csv, see file://",
        "expect_column_values_to_be_unique(id): found 2 of",
        "tag 'mlops', id 13",
        "Keep one row per id",
    ),
    case(
        "one class only",
        TAGS,
        lambda content: re.sub(rb"(?<=\d),.*", b",mlops", content),
        VALIDATE_TAGS,
        "expectations failed on raw.tags, loaded from tags.csv, see file://",
        "expect_column_unique_value_count_to_be_between(tag): expected min_value=2, found 1.",
        "a model needs two classes",
    ),
    case(
        "five rows in all",
        (PROJECTS, TAGS),
        first_five,
        "validate_",
        "expect_table_row_count_to_be_between(): expected min_value=100, found 5. Too few rows: load the whole",
    ),
    case(
        "a 50 MB description",
        PROJECTS,
        lambda content: content + b'9003,2020-01-01 00:00:00,Long,"' + b"x" * (50 << 20) + b'"\n',
        LOAD_PROJECTS,
        "/projects.csv, row 324 (line 350), column description: longer than 8 MB; close its quote, shorten it or",
    ),
]
# How the server answers, what the task says, and whether Airflow tries it again.
URL_CASES = [
    ("a URL that does not answer", "silence", "/data/projects.csv could not be read: ", True),
    ("a URL that answers 500", "500", "/data/projects.csv answered 500 Internal Server Error; try again later", True),
    ("a URL that answers HTML", "HTML", "/data/projects.csv: an HTML or XML page, not a CSV file; use the", False),
]
# What the good run has; the tests below say what becomes of it.
LET_THROUGH = ["a byte-order mark", "tags for unknown projects", "a project without a tag", "blank lines"]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Bytes of the good files by name."""
    projects = (ROOT / "data" / "sample" / PROJECTS).read_bytes()
    tags = (ROOT / "data" / "sample" / TAGS).read_bytes()
    untagged = f"{UNTAGGED},2024-01-01 00:00:00,Without a tag,Nobody has tagged this one.\n"
    return {
        # A byte-order mark, and a blank line below the header.
        PROJECTS: b"\xef\xbb\xbf" + projects.replace(b"\n", b"\n\n", 1) + untagged.encode(),
        TAGS: tags + f"{UNKNOWN},mlops\n".encode(),
    }


@pytest.fixture(scope="module")
def folder(good, tmp_path_factory):
    """The source folder, good at first."""
    folder = tmp_path_factory.mktemp("source")
    for name, content in good.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def up(folder, tmp_path_factory):
    """An instance that is up and has run once on the good files."""
    search = {"trials": 2, "workers": 1, "folds": 3}
    instance = Instance(tmp_path_factory.mktemp("bad-input"), search=search)
    try:
        for target in ("up", "run"):
            done = instance.make(target, SOURCE=folder)
            assert done.returncode == 0, done.stdout
        yield instance
    finally:
        instance.make("down")


@pytest.fixture(scope="module")
def before(up):
    """What consumers read after the good run."""
    return up.consumers_read()


@pytest.fixture(scope="module")
def answer(up, tmp_path_factory):
    """What `make predict` answers after the good run."""
    return answered(up, tmp_path_factory.mktemp("predict"))


def answered(instance, folder):
    """What `make predict` makes of one project."""
    (folder / "in.csv").write_text("id,title,description\n7,Object detection,Boxes in images and video with YOLO\n")
    done = instance.make("predict", INPUT=folder / "in.csv", OUTPUT=folder / "out.csv")
    assert done.returncode == 0, done.stdout
    text = (folder / "out.csv").read_text()
    assert "\n7," in text
    return text


def stopped(instance, source, task, said, tries=1):
    """Run on a bad source; what the screen, the log and Airflow say is as expected; returns what the screen says."""
    done = instance.make("run", SOURCE=source)
    facts = instance.summary()
    error, log = facts["error"], Path(facts["log"])
    assert done.returncode != 0
    assert (facts["state"], facts["mlops"]) == ("failed", None)
    assert error.startswith(f"dataops.{task}"), error
    assert [part for part in said if part not in error] == [], error
    # The screen has the message and the way to the log, and nothing of Python's.
    assert error in done.stdout
    assert f"full log      {log}\n" in done.stdout
    assert "Traceback" not in done.stdout
    (page,) = [line.split()[-1] for line in done.stdout.splitlines() if line.startswith("page ")]
    assert "✗ Failed" in Path(page).read_text(encoding="utf-8")
    # The log and Airflow's pages end with the same message.
    dag, name, message = *error.partition(": ")[0].split("."), error.partition(": ")[2]
    run_id = facts["dataops"]["run_id"]
    assert log == instance.var.joinpath(
        "logs", "airflow", f"dag_id={dag}", f"run_id={run_id}", f"task_id={name}", f"attempt={tries}.log"
    )
    events = [json.loads(line) for line in log.read_text().splitlines()]
    last = [event for event in events if event.get("level") == "error"][-1]
    assert last["error_detail"][0]["exc_value"] == message
    assert AirflowApi(instance.settings()).errors(dag, run_id, name, tries, -1)[-1] == message
    return done.stdout


def test_the_table_in_the_docs_has_these_rows():
    rows = re.findall(r"^\| (.+?) \|", DOCS.read_text(), re.MULTILINE)
    tested = [*(each.id for each in CASES), *(name for name, *_ in URL_CASES), *LET_THROUGH]
    assert sorted(row for row in rows if row not in ("input", "---")) == sorted(tested)


def test_what_a_rule_lets_through_is_loaded_and_published_as_the_rule_says(up, before, answer):
    ids = {row[0] for row in up.rows("select id from raw.projects")}
    # Without the byte-order mark being part of a name, without a row for the blank line.
    assert len(ids) == 321
    assert up.rows(f"select title from raw.projects where id = {UNTAGGED}") == [("Without a tag",)]
    assert up.rows(f"select tag from raw.tags where id = {UNKNOWN}") == [("mlops",)]
    for table in ("marts.labeled_projects", "marts.predictions"):
        assert {row[0] for row in before[table]} == ids - {UNTAGGED}
    warnings = AirflowApi(up.settings()).result("dataops", up.summary()["dataops"]["run_id"], "transform")["warnings"]
    assert [warning for warning in warnings if "relationships_stg_tags" in warning and "Got 1 result" in warning]


@pytest.mark.parametrize(("files", "change", "task", "said"), CASES)
def test_a_bad_file_stops_the_run_and_consumers_read_what_they_read_before(
    files, change, task, said, up, before, good, folder
):
    for name, content in good.items():
        changed = change(content) if name in files else content
        (folder / name).unlink(missing_ok=True)
        if changed is not None:
            (folder / name).write_bytes(changed)
    stopped(up, folder, task, said)
    assert up.consumers_read() == before


@pytest.fixture(scope="module")
def server(good):
    """A web server that asks for a login; `behaviour` says how it answers for projects.csv."""
    login = "Basic " + b64encode(b"user:s3cret").decode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.rpartition("/")[2]
            behaviour = running.behaviour if name == PROJECTS else "good"
            if self.headers["Authorization"] != login:
                behaviour = "401"
            if behaviour == "silence":
                return
            content = b"<!DOCTYPE html><html>Log in</html>" if behaviour == "HTML" else good.get(name, b"")
            self.send_response(int(behaviour) if behaviour.isdigit() else 200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("behaviour", "said", "again"), [case[1:] for case in URL_CASES], ids=[case[0] for case in URL_CASES]
)
def test_a_bad_url_stops_the_run_and_consumers_read_what_they_read_before(behaviour, said, again, up, before, server):
    server.behaviour = behaviour
    address = f"127.0.0.1:{server.server_port}"
    said = (f"http://{address}{said}",)
    screen = stopped(up, f"http://user:s3cret@{address}/data", LOAD_PROJECTS, said, tries=3 if again else 1)
    assert "s3cret" not in screen
    assert "s3cret" not in json.dumps(up.summary())
    assert up.consumers_read() == before


def test_predict_answers_as_it_did_after_the_good_run(up, answer, tmp_path):
    assert answered(up, tmp_path) == answer
