"""Validation results and data docs."""

import multiprocessing
import re
import subprocess
import sys

from tests.conftest import ROOT

CONTEXT = ROOT / "great_expectations"
DAGS = ROOT / "airflow" / "dags"


def pages(place, checkpoint="*"):
    """Pages of validation results, by their paths below the data docs."""
    docs = place.var / "great_expectations" / "data_docs"
    return {str(page.relative_to(docs)) for page in docs.glob(f"validations/{checkpoint}/*/*/*.html")}


def linked(place):
    """Pages of validation results that the index links to."""
    index = (place.var / "great_expectations" / "data_docs" / "index.html").read_text()
    return set(re.findall(r"validations/[^'\"\\]*?\.html", index))


def results(place):
    return set((place.var / "great_expectations" / "validations").glob("*/*/*/*.json"))


def test_a_run_is_in_the_data_docs_and_writes_nothing_beside_the_configuration(place):
    before = {path: path.stat().st_mtime_ns for path in CONTEXT.rglob("*")}
    place.sql("update raw.tags set tag = null where id = 4")
    report = place.run("tags").report()
    (page,) = pages(place)
    assert linked(place) == {page}
    docs = place.var / "great_expectations" / "data_docs"
    assert f"see file://{docs / page}" in report
    assert {path: path.stat().st_mtime_ns for path in CONTEXT.rglob("*")} == before


def test_only_the_newest_results_are_kept_with_their_pages_and_no_folders_stay_behind(place):
    place.configure("checks", keep_results=2)
    seen = []
    for checkpoint in ("tags", "tags", "projects", "tags"):
        place.run(checkpoint)
        (new,) = results(place) - {path for run in seen for path in run}
        seen.append({new})
    assert results(place) == seen[2] | seen[3]
    assert len(pages(place)) == 2
    assert linked(place) == pages(place)
    for folder in ("validations", "data_docs/validations"):
        runs = list((place.var / "great_expectations" / folder).glob("*/*/*"))
        assert len(runs) == 2, runs


def run_often(place, checkpoint, barrier):
    for _ in range(4):
        barrier.wait(timeout=30)
        place.run(checkpoint)


def test_checkpoints_of_two_processes_at_once_are_all_in_the_data_docs(place):
    place.run("labeled_projects")
    forked = multiprocessing.get_context("fork")
    barrier = forked.Barrier(2)
    processes = [forked.Process(target=run_often, args=(place, name, barrier)) for name in ("projects", "tags")]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0
    assert len(results(place)) == 9
    assert len(pages(place)) == 9
    assert linked(place) == pages(place)


def test_a_password_may_hold_any_character(place, monkeypatch):
    password = "p@ss/w:rd%20$HOME ${X}"
    place.sql(f"alter role current_user password '{password}'")
    monkeypatch.setenv("MLOPS_WAREHOUSE__PASSWORD", password)
    assert place.run("tags").success


def command(*arguments):
    """Run the checkpoints as `make validate` does."""
    call = [sys.executable, "-m", "pipeline.checkpoints", *arguments]
    return subprocess.run(call, cwd=DAGS, capture_output=True, text=True)


def test_the_command_prints_a_line_an_expectation_and_ends_with_1_where_one_fails(place):
    place.sql("update raw.projects set title = null where id = 4")
    done = command()
    assert done.returncode == 1, done.stderr
    lines = [line.split()[0] for line in done.stdout.splitlines()]
    assert lines.count("checkpoint") == 3
    assert lines.count("ok") == 13 + 9 + 15 - 1
    assert lines.count("FAILED") == 1
    assert "id 4, title null" in done.stdout
    done = command("tags")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "checkpoint tags"), done.stderr


def test_the_command_names_what_is_not_there(place):
    done = command("tag")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "Checkpoint with name tag was not found."
    assert "--snapshot URI" in command("snapshot").stderr.splitlines()[-1]
