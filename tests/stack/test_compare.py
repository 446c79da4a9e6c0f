"""`make diff-places`: which differences of two runs are told."""

import io
from datetime import UTC, datetime, timedelta, timezone

import pytest
from click.testing import CliRunner
from rich.console import Console

from stack import compare
from stack.cli.main import main

CODE = {"dags": {"mlops": "a"}, "packages": {"dbt": "b"}}
ROWS = [{"id": 1, "text": "one", "_loaded": "today"}]


def side(place, *, rows=ROWS, **summary):
    return compare.Side(place, {"state": "success", "error": None, "code": CODE, **summary}, {"labels": rows})


@pytest.fixture
def shown():
    """Function that compares two sides; returns whether they are equal, and what is printed."""

    def shown(a, b):
        screen = io.StringIO()
        return compare.show(a, b, ["run"], Console(file=screen, width=200)), screen.getvalue()

    return shown


def test_equal_runs_are_equal(shown):
    equal, text = shown(side("one"), side("other", rows=[{"id": 1, "text": "one", "_loaded": "never"}]))
    assert equal
    assert "labels: 1 rows, equal in id, text" in text


def test_the_same_moment_is_equal_in_every_time_zone(shown):
    moment = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    there = moment.astimezone(timezone(timedelta(hours=2)))
    assert shown(side("one", rows=[{"at": moment}]), side("other", rows=[{"at": there}]))[0]
    assert not shown(side("one", rows=[{"at": moment}]), side("other", rows=[{"at": there + timedelta(hours=1)}]))[0]


def test_a_run_that_failed_is_told_since_its_tables_are_those_of_an_earlier_one(shown):
    equal, text = shown(side("one"), side("other", state="failed", error="no network"))
    assert not equal
    assert "the last run of other did not succeed: no network" in text


def test_a_table_that_only_one_place_is_set_up_with_is_missing_in_the_other(shown):
    more = compare.Side("other", side("other").summary, {"labels": ROWS, "extra": ROWS})
    equal, text = shown(side("one"), more)
    assert not equal
    assert "table extra: missing in one" in text


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ("", "", "name two places whose runs to compare"),
        ("embedded", "embedded", "name two places whose runs to compare"),
        ("embedded", "bigquery", "nothing has run in place 'embedded' yet"),
        ("compose", "embedded", "the run of the place compose is not on this machine"),
        ("bigqery", "embedded", "PLACE=bigqery is not a place"),
    ],
)
def test_two_places_that_have_run_on_this_machine_are_needed(tmp_path, a, b, message):
    var = str(tmp_path)
    done = CliRunner().invoke(main, ["diff-places", "--a", a, "--a-var", var, "--b", b, "--b-var", var])
    assert done.exit_code == 1
    assert message in done.output
