"""`make demo-failure`: its output, and what consumers read before and after it."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest


@pytest.fixture(scope="module")
def contents(instance):
    """Returns all rows of the published tables."""

    def contents():
        tables = ("marts.labeled_projects", "marts.predictions")
        with instance.services("postgres"):
            return {table: instance.rows(f"select * from {table} order by id") for table in tables}

    return contents


@pytest.fixture(scope="module")
def demo(first_run, instance, contents):
    """The finished process, with the rows `read` and the `files` of the instance before and after it."""
    assert first_run.returncode == 0, first_run.stdout
    kept = instance.var / "config.yaml", instance.var / "summary.json"
    read, files = contents(), [path.read_text() for path in kept]
    done = instance.make("demo-failure")
    done.files = files, [path.read_text() for path in kept]
    done.read = read, contents()
    return done


def test_the_gate_stops_the_bad_rows_and_names_the_failed_expectations(demo, instance):
    assert demo.returncode == 0, demo.stdout
    assert "✗ dataops.validate_projects" in demo.stdout
    assert "The gate validate_projects stopped them" in demo.stdout
    for rule in ("to_be_unique(id)", "to_not_be_null(title)", "columns_to_be_unique(title, description)"):
        assert f"{rule}: found" in demo.stdout
    assert f"{instance.var}/demo-failure/projects.csv" in demo.stdout


def test_the_link_leads_to_the_failed_expectation(demo):
    (link,) = re.findall(r"file://\S+#failed-\d+", demo.stdout)
    address = urlsplit(link)
    page = Path(unquote(address.path)).read_text()
    _, _, section = page.partition(f'id="{address.fragment}"')
    assert re.search(r"unique|null", section.partition("</section>")[0])


def test_the_published_tables_and_the_champion_are_unchanged(demo):
    assert demo.stdout.count("unchanged") == 3
    assert "CHANGED" not in demo.stdout
    before, after = demo.read
    assert after == before


def test_the_users_own_last_run_and_settings_are_kept(demo, instance):
    before, after = demo.files
    assert after == before
    assert instance.processes() == []
