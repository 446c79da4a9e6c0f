"""Three data sets of other shapes, from `make init` to predictions, as applications of one stack."""

import csv
import json
import random
from types import SimpleNamespace

import pytest

from stack import places
from tests.e2e.conftest import SEARCH, Instance

WORDS = {
    "billing": "invoice payment refund charge card amount",
    "C++ & build": "crash compiler linker segfault stack header",
    "news (eu)": "parliament election vote treaty council minister",
}
FILLERS = [
    "please",
    "help",
    "with",
    "this",
    "and",
    "that",
    "since",
    "yesterday",
    "again",
    "today",
    "or",
    "not",
    "my",
    "order",
]
ROWS = 150
# Files by application, and what else `make init` is told.
TICKETS, NEWS, GAMES = "e2e_tickets", "e2e_news", "e2e_games"


def text(label, words, seed):
    """A text in which a label can be told."""
    choose = random.Random(f"{label}/{seed}")
    return " ".join(choose.choice(WORDS[label].split() if choose.random() < 0.4 else FILLERS) for _ in range(words))


def write_csv(path, header, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The folder of the files of each application."""
    folders = {name: tmp_path_factory.mktemp(name) for name in (TICKETS, NEWS, GAMES)}
    labels = [*WORDS] * (ROWS // 3)
    # Other names, ids that look like numbers, a text that may be missing, spellings of a label, one odd label.
    rows = [
        (f"{n:06}", text(label, 5, n), text(label, 15, n) if n % 7 else "", label.upper() if n % 9 == 0 else label, n)
        for n, label in enumerate(labels)
    ]
    odd = ("A-1", text("billing", 7, "odd"), "", "odd one out", 0)
    write_csv(folders[TICKETS] / "tickets.csv", ["Ticket No", "subject", "body", "queue", "priority"], [*rows, odd])
    # No id, no date, names that SQL has to quote.
    with (folders[NEWS] / "news.jsonl").open("w") as file:
        for n, label in enumerate(labels):
            row = {"Überschrift": text(label, 12, n + 1000), "Thema": None if n % 10 == 0 else label}
            file.write(json.dumps(row) + "\n")
    # Two files, ids of 64 bits, seconds since 1970.
    first = 4611686018427387905
    stories = [(first + n, 1700000000 + n, text(label, 12, n + 2000)) for n, label in enumerate(labels)]
    write_csv(folders[GAMES] / "stories.csv", ["id", "created_at", "story"], stories)
    write_csv(folders[GAMES] / "genres.csv", ["id", "genre"], [(first + n, label) for n, label in enumerate(labels)])
    return folders


@pytest.fixture(scope="module")
def stack(files, tmp_path_factory):
    """An instance with all three, and what `make init` and `make run` of each have printed."""
    data = {
        TICKETS: files[TICKETS] / "tickets.csv",
        NEWS: files[NEWS] / "news.jsonl",
        GAMES: f"{files[GAMES] / 'stories.csv'} {files[GAMES] / 'genres.csv'}",
    }
    written = [places.APPLICATIONS / f"{name}.yaml" for name in data]
    instance = Instance(tmp_path_factory.mktemp("applications"), applications=[*data], search=SEARCH)
    seen = SimpleNamespace(instance=instance, files=files, inits={}, runs={}, summaries={})
    try:
        for name, place in data.items():
            seen.inits[name] = instance.make("init", NAME=name, DATA=place, YES=1)
        instance.make("up")
        for name in data:
            seen.runs[name] = instance.make("run", APPLICATION=name)
            seen.summaries[name] = instance.summary()
        yield seen
    finally:
        instance.make("down")
        for path in written:
            path.unlink(missing_ok=True)


def test_each_data_set_gives_an_application_that_runs(stack):
    for name, done in stack.inits.items():
        assert done.returncode == 0, done.stdout
        assert stack.runs[name].returncode == 0, stack.runs[name].stdout
        summary = stack.summaries[name]
        assert (summary["state"], summary["champion"]["name"]) == ("success", name)
        assert summary["dataops"]["tasks"].keys() >= {"transform", "validate_transforms", "publish"}
    assert stack.summaries[GAMES]["dataops"]["tasks"].keys() >= {"extract_and_load_stories", "validate_genres"}
    assert "validate_tickets" in stack.summaries[TICKETS]["dataops"]["tasks"]


def test_predictions_have_the_columns_ids_and_labels_of_the_source(stack):
    rows = stack.instance.rows
    assert rows(f"""select "Ticket No", queue from {TICKETS}_marts.predictions where "Ticket No" = '000001'""") == [
        ("000001", "C++ & build")
    ]
    found = dict(rows(f"select queue, count(*) from {TICKETS}_marts.predictions group by 1"))
    assert found.keys() <= {*WORDS, "other"}
    assert sum(found.values()) == ROWS + 1
    (games,) = rows(f"select min(id), max(id), count(*) from {GAMES}_marts.predictions")
    assert games == (4611686018427387905, 4611686018427387905 + ROWS - 1, ROWS)
    (news,) = rows(
        f"select count(*), count(distinct id), min(length(id)) from {NEWS}_marts.predictions where \"Thema\" > ''"
    )
    assert news == (ROWS, ROWS, 32)
    (labelled,) = rows(f"select count(*) from {NEWS}_marts.labeled_news")
    assert labelled == (ROWS - ROWS // 10,)
    (dated,) = rows(f"select min(created_at)::text from {GAMES}_marts.labeled_stories")
    assert dated == ("2023-11-14 22:13:20",)


def test_files_are_predicted_with_the_columns_of_the_application(stack, tmp_path):
    write_csv(tmp_path / "new.csv", ["body", "subject", "Ticket No"], [("", text("billing", 9, "new"), "0007")])
    output = tmp_path / "out.csv"
    done = stack.instance.make("predict", APPLICATION=TICKETS, INPUT=tmp_path / "new.csv", OUTPUT=output)
    assert done.returncode == 0, done.stdout
    (row,) = csv.DictReader(output.open())
    assert (row["Ticket No"], row["queue"]) == ("0007", "billing")


def test_bad_rows_of_an_application_are_stopped_at_its_gate(stack):
    done = stack.instance.make("demo-failure", APPLICATION=TICKETS)
    assert done.returncode == 0, done.stdout
    assert f"dataops_{TICKETS}.validate_tickets" in done.stdout


def test_an_application_does_not_see_the_results_of_another(stack):
    results = stack.instance.var / "great_expectations" / "validations"
    assert {each.name for each in results.iterdir()} == {TICKETS, NEWS, GAMES}
    assert not [each for each in (results / NEWS).rglob("*tickets*")]
    assert {each.name for each in (stack.instance.var / "artifacts").iterdir()} >= {TICKETS, NEWS, GAMES}
