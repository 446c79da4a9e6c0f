"""The first gate of an application of another shape: one file without ids, with names that need quotes.

The same on PostgreSQL and on BigQuery's stand-in.
"""

from datetime import date

import pytest
import yaml
from bigquery_testing import Project
from tables import KINDS

from tests.conftest import application_config
from tests.great_expectations.conftest import Place, environment_of
from tests.great_expectations.test_bigquery import Place as BigQueryPlace

TEXT, BODY, LABEL = "Headline Text", "Schluß", "Thema ß"
# By type in the config: the type in the warehouse, and a value.
TYPES = {
    "integer": ("bigint", 5),
    "number": ("numeric", 1.5),
    "boolean": ("boolean", "true"),
    "timestamp": ("timestamp", "2020-02-20 06:43:18"),
    "timestamp_with_time_zone": ("timestamptz", "2020-02-20 06:43:18+02:00"),
    "date": ("date", "2020-02-20"),
    "epoch_seconds": ("bigint", 1582180998),
    "epoch_milliseconds": ("bigint", 1582180998000),
}
COLUMNS = {TEXT: "text", BODY: "text", LABEL: "text", "Code": "text"}
COLUMNS |= {f"A {kind}": type_ for kind, (type_, _) in TYPES.items()} | {"_airbyte_meta": "jsonb"}
ROWS = 6


def rows(changes):
    """Good rows of the source, with cells `(row, column, value)` changed."""
    found = [
        {TEXT: f"Text {n}", BODY: None, LABEL: ("İSTANBUL", " ΟΔΟΣ ")[n % 2], "Code": f"{n:06}"}
        | {f"A {kind}": value for kind, (_, value) in TYPES.items()}
        | {"_airbyte_meta": None}
        for n in range(ROWS)
    ]
    for row, column, value in changes:
        found[row][column] = value
    return [tuple(row.values()) for row in found]


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return KINDS[request.param]


@pytest.fixture
def tickets(request, kind, tmp_path, monkeypatch):
    """A place of the application tickets, with empty schemas."""
    if kind.prefix:
        project: Project = request.getfixturevalue("make_project")()
        place = BigQueryPlace(project, tmp_path / "var", tmp_path / "config.yaml")
    else:
        server = request.getfixturevalue("postgres")
        place = Place(server, server.database(), tmp_path / "var", tmp_path / "config.yaml")
    columns = {TEXT: "text", BODY: "text", LABEL: "text", "Code": {"type": "text", "required": True, "unique": True}}
    columns |= {f"A {kind}": kind for kind in TYPES}
    columns["A integer"] = {"type": "integer", "min": 1, "max": 5}
    config = application_config(labels={"known": ["İstanbul", "οδος"]}) | {
        "application": "tickets",
        "namespace": "tickets",
        "sources": {"tickets": {"file": "tickets.csv", "min_rows": 3, "columns": columns}},
        "columns": {"id": None, "texts": [TEXT, BODY], "label": LABEL, "date": None},
    }
    place.config.write_text(yaml.safe_dump(config, sort_keys=False))
    for name, value in environment_of(place).items():
        monkeypatch.setenv(name, value)
    for schema in ("raw", "marts"):
        place.sql(f"create schema {kind.prefix}tickets_{schema}")
    place.load = lambda *changes: kind.create(place, "tickets_raw.tickets", COLUMNS, rows(changes))
    return place


def failures(place):
    """Messages of the failed expectations, by expectation."""
    return dict(failure.split(": ", 1) for failure in place.run("tickets").failures())


def test_good_rows_of_every_type_pass_with_labels_in_another_spelling_or_none(tickets):
    tickets.load((3, LABEL, None))
    gate = tickets.run("tickets")
    assert list(gate.failures()) == []
    assert len([each for each in gate.passed() if "in_type_list" in each]) == len(COLUMNS) - 1


def test_a_value_that_was_loaded_as_null_since_it_does_not_fit_is_shown_as_the_source_has_it(tickets):
    note = '{"changes": [{"field": "A timestamp", "change": "NULLED", "value": "A date"}]}'
    # A null of the source is none of these, even if a note has the name of its column.
    nulls = ((2, "A timestamp", None), (2, "A date", None), (4, "A timestamp", None))
    tickets.load(*nulls, (2, "_airbyte_meta", note))
    assert failures(tickets) == {
        "expect_values_to_fit(A timestamp)": f"found 1 of {ROWS} rows failing, such as {TEXT} 'Text 2', "
        "A timestamp null, in the source 'A date'. Correct `A timestamp` in these rows of the source, or "
        "declare another type in the config: numbers of seconds or milliseconds are epoch_seconds or "
        "epoch_milliseconds."
    }


def test_each_fault_is_named_with_the_text_of_its_row(tickets):
    tickets.configure("labels", separator=";", several="stop")
    tickets.load(
        *((0, LABEL, " Other\u00a0"), (1, LABEL, "οδος;İstanbul"), (2, LABEL, "unheard-of"), (5, LABEL, "x" * 301)),
        *((3, "A integer", 6), (4, "Code", None), (2, "Code", "000005"), (5, TEXT, " ")),
    )
    found = failures(tickets)
    label = f"({LABEL})"
    assert found.keys() == {
        f"expect_column_values_to_not_be_reserved{label}",
        f"expect_column_values_to_be_single{label}",
        f"expect_column_values_to_be_known{label}",
        f"expect_column_value_lengths_to_be_between{label}",
        "expect_column_values_to_be_between(A integer)",
        "expect_column_values_to_not_be_null(Code)",
        "expect_column_values_to_be_unique(Code)",
        f"expect_column_values_to_not_be_blank({TEXT})",
    }
    reserved = found[f"expect_column_values_to_not_be_reserved{label}"]
    assert reserved.startswith(
        f"expected reserved=other, found 1 of {ROWS} rows failing, such as {TEXT} 'Text 0', {LABEL} "
    )
    assert "Rename the label in the source" in reserved
    assert "separator=;" in found[f"expect_column_values_to_be_single{label}"]
    assert "Text 1" in found[f"expect_column_values_to_be_single{label}"]
    # Another known label of the cell does not count, nor does one that is too long.
    assert "'unheard-of'" in found[f"expect_column_values_to_be_known{label}"]
    assert "Text 3', A integer 6. Correct `A integer`" in found["expect_column_values_to_be_between(A integer)"]
    assert "Keep one row per `Code`" in found["expect_column_values_to_be_unique(Code)"]


def test_equal_texts_are_shown_where_there_are_no_ids_and_nulls_are_equal(tickets, kind):
    tickets.load((1, TEXT, "Text 0"), (3, TEXT, "Text 2"), (3, BODY, "Another"))
    found = failures(tickets)
    assert found.keys() == {f"expect_texts_to_differ({TEXT}, {BODY})"}
    said = f"found 2 of {ROWS} rows failing, such as {TEXT} 'Text 0', {BODY} null; {TEXT} 'Text 0', {BODY} null."
    assert found.popitem()[1].startswith(said)
    tickets.configure(equal_texts="all")
    assert failures(tickets) == {}


def test_a_load_that_shrinks_stops_and_so_does_one_that_loses_labels(tickets, kind):
    labels = [f"label {n}" for n in range(8)]
    published = {"labeled_tickets": labels, "tickets_to_predict": labels * 3}
    for table, values in published.items():
        columns = {"id": "text", LABEL: "text"}
        numbered = [(str(number), value) for number, value in enumerate(values)]
        kind.create(tickets, f"tickets_marts.{table}", columns, numbered)
    tickets.configure("labels", known=None)
    tickets.load()
    advice = "than are published: load the whole source, or lower `checks.min_share_of_published` in the config."
    assert failures(tickets) == {
        "expect_table_row_count_to_be_between()": f"expected min_value=12, found 6. Far fewer rows {advice}",
        f"expect_column_unique_value_count_to_be_between({LABEL})": (
            f"expected min_value=4, found 2. Far fewer different labels {advice}"
        ),
    }
    tickets.configure("checks", min_share_of_published=0.25)
    assert failures(tickets) == {}


@pytest.mark.slow
def test_ten_thousand_known_and_as_many_unknown_labels_are_compared_and_not_all_shown(tickets, kind):
    tickets.configure("labels", known=[f"label {n}" for n in range(10_000)])
    tickets.load()
    text = f"cast(n as {kind.types.get('text', 'text')})"
    columns = ", ".join(map(kind.name, (TEXT, LABEL, "Code")))
    tickets.sql(
        f"insert into {kind.prefix}tickets_raw.tickets ({columns}) select {text}, {text}, {text} {kind.numbers(10_000)}"
    )
    gate = tickets.run("tickets")
    (failure,) = gate.failures()
    assert f"'label 19', 'and 9,980 more'], found {10_000 + ROWS} of {10_000 + ROWS} rows failing" in failure
    assert len(failure) < 2000
    assert len(str(gate.describe_dict())) < 50_000
    pages = [*(tickets.var / "great_expectations" / "data_docs" / "tickets").rglob("*.html")]
    assert len(pages) == 3
    assert all(page.stat().st_size < 50_000 for page in pages)


def test_the_rows_of_a_source_have_an_upper_bound_too(tickets):
    tickets.configure("sources", "tickets", max_rows=5)
    tickets.load()
    (said,) = failures(tickets).values()
    assert said.startswith("expected max_value=5, found 6. Too many rows: ")


def test_a_source_may_have_expectations_of_its_own(tickets, kind):
    own = [
        {"type": "expect_column_values_to_match_regex", "kwargs": {"column": "Code", "regex": "^[0-9]{6}$"}},
        {
            "type": "expect_column_values_to_be_in_set",
            "kwargs": {"column": BODY, "value_set": ["a"]},
            "notes": "Ask Ada.",
        },
        {
            "type": "unexpected_rows_expectation",
            # Its hundredth character is within {batch}.
            "kwargs": {"unexpected_rows_query": f"select {' ' * 84}* from {{batch}} where 1 = 2"},
        },
        {
            "type": "expect_column_distinct_values_to_be_in_set",
            "kwargs": {"column": LABEL, "value_set": ["İSTANBUL", " ΟΔΟΣ "]},
        },
        {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": "A date", "min_value": date(2020, 1, 1)},
        },
    ]
    tickets.configure("sources", "tickets", expectations=own)
    tickets.load((2, BODY, "b"))
    found = failures(tickets)
    assert found.keys() == {f"expect_column_values_to_be_in_set({BODY})"}
    assert found.popitem()[1].endswith(f"such as {TEXT} 'Text 2', {BODY} 'b'. Ask Ada.")
    docs = tickets.var / "great_expectations" / "data_docs" / "tickets"
    assert (docs / "expectations" / "tickets.html").exists()
    assert len([*(docs / "validations").rglob("*.html")]) == 1
    tickets.configure("labels", known=None)
    tickets.sql(f"update {kind.prefix}tickets_raw.tickets set {kind.name(LABEL)} = 'x' where true")
    found = failures(tickets)
    assert found[f"expect_column_distinct_values_to_be_in_set({LABEL})"].startswith("expected value_set=[")
    assert "['x']" in found[f"expect_column_distinct_values_to_be_in_set({LABEL})"]
