"""Applications of other shapes, on PostgreSQL and on BigQuery's stand-in: the same rows with the same ids."""

import hashlib

import pytest
from tables import KINDS

from tests.dbt_transforms.conftest import Warehouse as Postgres
from tests.dbt_transforms.test_bigquery import Warehouse as BigQuery

# One file without ids, with names that need quotes; the same texts have ids of one hash.
TICKETS = {
    "namespace": "tickets",
    "sources": {
        "tickets": {
            "file": "tickets.csv",
            "columns": {"Headline Text": "text", "Thema ß": "text", "Opened At": "epoch_milliseconds"},
        }
    },
    "columns": {"id": None, "texts": ["Headline Text"], "label": "Thema ß", "date": "Opened At"},
    "equal_texts": "all",
}
TICKET_ROWS = [
    ("Rechnung falsch", "Abrechnung", 1582180998001),
    ("\u00a0Rechnung falsch ", "billing", None),
    ("Rechnung falsch", "Abrechnung", -1),
    ("Kein Thema", None, 0),
]
# Two files, whose ids are texts.
LETTERS = {
    "namespace": "letters",
    "sources": {
        "letters": {"file": "l.csv", "columns": {"Letter No": "text", "Subject": "text", "Body": {"type": "text"}}},
        "topics": {"file": "t.csv", "columns": {"Letter No": "text", "Topic": "text"}},
    },
    "columns": {"id": "Letter No", "texts": ["Subject", "Body"], "label": "Topic"},
    "equal_texts": "first",
}
LETTER_ROWS = [
    ("000124", "Hi", "There"),
    ("000123", "Hi ", "There"),
    ("123", "Hi", None),
    ("0124", "Hi", " "),
    ("0125", "Hi", " "),
    ("-7", "Hi", "Others"),
]
TOPIC_ROWS = [("000123", " C++ "), ("123", "a//b"), ("-7", "İSTANBUL")]


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return KINDS[request.param]


@pytest.fixture(scope="module")
def built(request, kind, tmp_path_factory):
    """Both applications in one warehouse, each built and published; by name what the build told."""
    folders = [tmp_path_factory.mktemp(name) for name in ("var", "run")]
    if kind.prefix:
        warehouse = BigQuery(request.getfixturevalue("make_project")(), *folders)
    else:
        server = request.getfixturevalue("postgres")
        warehouse = Postgres(server, server.database(), *folders)
    for name in ("tickets_raw", "letters_raw"):
        warehouse.sql(f"create schema {kind.prefix}{name}")
    columns = {"Headline Text": "text", "Thema ß": "text", "Opened At": "bigint"}
    kind.create(warehouse, "tickets_raw.tickets", columns, TICKET_ROWS)
    kind.create(warehouse, "letters_raw.letters", dict.fromkeys(("Letter No", "Subject", "Body"), "text"), LETTER_ROWS)
    kind.create(warehouse, "letters_raw.topics", dict.fromkeys(("Letter No", "Topic"), "text"), TOPIC_ROWS)
    warehouse.told = {}
    for name, sections in {"tickets": TICKETS, "letters": LETTERS}.items():
        warehouse.configure(name, **sections)
        warehouse.told[name] = warehouse.run("build")
        warehouse.run("publish")
    return warehouse


def ids(text, copies):
    """The ids that rows with the same text have."""
    made = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    return [made, *(f"{made}-{copy}" for copy in range(2, copies + 1))]


def test_rows_without_ids_have_the_hash_of_their_texts_and_copies_a_number_the_same_in_every_warehouse(built, kind):
    first, second, third = ids("Rechnung falsch", 3)
    # In the order of the labels' hashes, so that a build with other rows gives the same ids.
    assert kind.rows(built, "tickets_marts.labeled_tickets", "id", "Headline Text", "Thema ß") == [
        [first, "Rechnung falsch", "billing"],
        [second, "Rechnung falsch", "Abrechnung"],
        [third, "Rechnung falsch", "Abrechnung"],
    ]
    found = kind.rows(built, "tickets_marts.tickets_to_predict", "id", "Headline Text", "is_labeled")
    assert [*ids("Kein Thema", 1), "Kein Thema", "false"] in found
    assert len(found) == 4


def test_milliseconds_since_1970_become_timestamps(built, kind):
    found = kind.rows(built, "tickets_marts.labeled_tickets", "id", "Opened At")
    assert [moment for _, moment in found] == ["", "1969-12-31 23:59:59.999", "2020-02-20 06:43:18.001"]


def test_of_equal_texts_a_labelled_row_is_kept_then_the_first_id_and_text_ids_stay_as_they_are(built, kind):
    assert kind.rows(built, "letters_marts.letters_to_predict", "Letter No", "Subject", "Body", "is_labeled") == [
        ["-7", "Hi", "Others", "true"],
        ["000123", "Hi", "There", "true"],
        ["123", "Hi", "", "true"],
    ]
    labeled = kind.rows(built, "letters_marts.labeled_letters", "Letter No", "Topic")
    assert labeled == [["-7", "İSTANBUL"], ["000123", "C++"], ["123", "a//b"]]


def test_each_application_has_schemas_and_files_of_its_own(built):
    assert [told["rows"] for told in built.told.values()] == [3, 3]
    assert sorted(path.name for path in (built.var / "dbt").iterdir()) == ["docs", "letters", "tickets"]
    for name in built.told:
        assert (built.var / "dbt" / "docs" / name / "index.html").exists()


def test_every_type_of_a_date_becomes_a_timestamp_in_utc_without_time_zone(built, kind):
    zoned, plain = ("timestamp", "datetime") if kind.prefix else ("timestamptz", "timestamp")
    dates = {
        "timestamp": f"cast('2020-02-20 06:43:18.5' as {plain})",
        "timestamp_with_time_zone": f"cast('2020-02-20 08:43:18.5+02:00' as {zoned})",
        "date": "cast('2020-02-20' as date)",
        "epoch_seconds": "1582180998",
        "epoch_milliseconds": "1582180998500",
    }
    macros = [f'{{{{ as_timestamp("{date}", "{kind}") }}}} as {kind}' for kind, date in dates.items()]
    (result,) = built.dbt("show", "--inline", f"select {', '.join(macros)}", "--output", "json").values()
    (row,) = result.agate_table.rows
    assert {name: str(value) for name, value in row.items()} == {
        "timestamp": "2020-02-20 06:43:18.500000",
        "timestamp_with_time_zone": "2020-02-20 06:43:18.500000",
        "date": "2020-02-20 00:00:00",
        "epoch_seconds": "2020-02-20 06:43:18",
        "epoch_milliseconds": "2020-02-20 06:43:18.500000",
    }
