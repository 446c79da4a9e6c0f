"""Bad input: the cases of docs/bad-input.md, which the tests of the tasks and of the whole stack share.

Standard library only, since these tests run in different environments.
"""

import http.server
import re
import threading
from base64 import b64encode
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs" / "bad-input.md"
# Ids that the sample does not have: of a project without a tag, and of a tag without a project.
UNTAGGED, UNKNOWN = 9001, 9002
PROJECTS, TAGS = "projects.csv", "tags.csv"
LOAD_PROJECTS, LOAD_TAGS = "extract_and_load_projects", "extract_and_load_tags"
VALIDATE_PROJECTS, VALIDATE_TAGS = "validate_projects", "validate_tags"
LOGIN = "user:s3cret"


@dataclass(frozen=True)
class Case:
    """A row of the table in the docs.

    Attributes:
        name: the input, as in the table.
        files: names of the files that are bad.
        change: turns a file's good bytes into bad ones, or into None if the file is to be missing.
        tasks: the tasks that fail.
        texts: parts of the error message.
    """

    name: str
    files: tuple[str, ...]
    change: Callable[[bytes], bytes | None]
    tasks: tuple[str, ...]
    texts: tuple[str, ...]

    def write(self, folder: Path) -> None:
        """Write the bad files, and the other files as they are in the good source."""
        for name, content in good_files().items():
            changed = self.change(content) if name in self.files else content
            (folder / name).unlink(missing_ok=True)
            if changed is not None:
                (folder / name).write_bytes(changed)


@dataclass(frozen=True)
class UrlCase:
    """A row of the table in the docs about a source behind a URL.

    Attributes:
        name: the input, as in the table.
        behaviour: how the server answers: `silence`, `HTML`, or a status.
        text: a part of the error message, behind the server's address.
        is_retried: whether Airflow tries the task again.
    """

    name: str
    behaviour: str
    text: str
    is_retried: bool


def case(name: str, file: str, change: Callable[[bytes], bytes | None], task: str, *texts: str) -> Case:
    """A case with one bad file and one task that fails."""
    return Case(name, (file,), change, (task,), texts)


def put(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """A change that replaces the only occurrence of `old`."""

    def change(content: bytes) -> bytes:
        assert content.count(old) == 1, old
        return content.replace(old, new)

    return change


def first_five(content: bytes) -> bytes:
    """The header and the first five rows that begin with an id."""
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
        "only a header",
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
        "/projects.csv, row 5 (line 6), column title: the text contains a NUL byte, which tables cannot store; "
        "remove it",
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
        "an invalid date",
        PROJECTS,
        put(b"13,2020-01-28 11:33:08", b"13,yesterday"),
        VALIDATE_PROJECTS,
        "expectations failed on raw.projects, loaded from projects.csv, see file://",
        "expect_column_values_to_not_be_null(created_on): found 1 of",
        "id 13, title 'Poetry meter', created_on null, in the source 'yesterday'. Write a date like",
    ),
    case(
        "an id that is not a number",
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
        "an unknown tag",
        TAGS,
        put(b"\n13,natural-language-processing", b"\n13,sourdough"),
        VALIDATE_TAGS,
        "expectations failed on raw.tags, loaded from tags.csv, see file://",
        "expect_column_values_to_be_known(tag): expected value_set=['natural-language-processing', 'computer-vis",
        "id 13, tag 'sourdough'. Correct the tag in the source, or add it to `labels.known` in the config.",
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
        "only one class",
        TAGS,
        lambda content: re.sub(rb"(?<=\d),.*", b",mlops", content),
        VALIDATE_TAGS,
        "expectations failed on raw.tags, loaded from tags.csv, see file://",
        "expect_column_unique_value_count_to_be_between(tag): expected min_value=2, found 1.",
        "a model needs two classes",
    ),
    Case(
        "only five rows",
        (PROJECTS, TAGS),
        first_five,
        (VALIDATE_PROJECTS, VALIDATE_TAGS),
        ("expect_table_row_count_to_be_between(): expected min_value=100, found 5. Too few rows: load the whole",),
    ),
    case(
        "a 50 MB description",
        PROJECTS,
        lambda content: content + b'9003,2020-01-01 00:00:00,Long,"' + b"x" * (50 << 20) + b'"\n',
        LOAD_PROJECTS,
        "/projects.csv, row 324 (line 350), column description: longer than 8 MB; close its quote, shorten it or",
    ),
]
URL_CASES = [
    UrlCase("a URL that does not answer", "silence", "/data/projects.csv could not be read: ", True),
    UrlCase("a URL that answers 500", "500", "/data/projects.csv answered 500 Internal Server Error; try again", True),
    UrlCase(
        "a URL that answers HTML",
        "HTML",
        "/data/projects.csv: an HTML or XML page, not a CSV file; use the address of the raw file",
        False,
    ),
]
# What the good files have, as in the table.
LET_THROUGH = ("a byte-order mark", "tags for unknown projects", "a project without a tag", "blank lines")


def good_files() -> dict[str, bytes]:
    """Content of the good files by name: the sample with everything in it that is let through."""
    projects = (ROOT / "data" / "sample" / PROJECTS).read_bytes()
    tags = (ROOT / "data" / "sample" / TAGS).read_bytes()
    untagged = f"{UNTAGGED},2024-01-01 00:00:00,Without a tag,Nobody has tagged this one.\n"
    return {
        # A byte-order mark, and a blank line below the header.
        PROJECTS: b"\xef\xbb\xbf" + projects.replace(b"\n", b"\n\n", 1) + untagged.encode(),
        TAGS: tags + f"{UNKNOWN},mlops\n".encode(),
    }


@contextmanager
def serving():
    """A web server for the good files that requires a login; its `behaviour` is the answer for projects.csv."""
    login, good = "Basic " + b64encode(LOGIN.encode()).decode(), good_files()

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
        running.address = f"127.0.0.1:{running.server_port}"
        running.url = f"http://{LOGIN}@{running.address}/data"
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()
