"""Validation results and data docs."""

import multiprocessing
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.great_expectations.test_suites import write_predictions

CONTEXT = ROOT / "great_expectations"
DAGS = ROOT / "airflow" / "dags"


def pages(place, checkpoint="*"):
    """Pages of validation results, as paths inside the data docs."""
    docs = place.docs
    return {str(page.relative_to(docs)) for page in docs.glob(f"validations/{checkpoint}/*/*/*.html")}


def linked(place):
    """Pages of validation results that the index links to."""
    index = (place.docs / "index.html").read_text()
    return set(re.findall(r"validations/[^'\"\\]*?\.html", index))


def results(place):
    return set(place.results.glob("*/*/*/*.json"))


def test_a_run_is_in_the_data_docs_and_writes_nothing_into_the_configuration(place):
    before = {path: path.stat().st_mtime_ns for path in CONTEXT.rglob("*")}
    place.sql("update raw.tags set tag = null where id = 4")
    message = place.run("tags").error_message()
    (page,) = pages(place)
    assert linked(place) == {page}
    assert f"see file://{place.docs / page}" in message
    assert {path: path.stat().st_mtime_ns for path in CONTEXT.rglob("*")} == before


def test_only_the_newest_results_and_their_pages_are_kept_and_no_empty_folders(place):
    place.configure("checks", keep_results=2)
    seen = []
    for checkpoint in ("tags", "tags", "projects", "tags"):
        place.run(checkpoint)
        (new,) = results(place) - {path for run in seen for path in run}
        seen.append({new})
    assert results(place) == seen[2] | seen[3]
    assert len(pages(place)) == 2
    assert linked(place) == pages(place)
    for folder in (place.results, place.docs / "validations"):
        runs = list(folder.glob("*/*/*"))
        assert len(runs) == 2, runs


def test_a_suite_has_a_page_as_long_as_it_has_results(place):
    for kept, suites in ((2, {"projects.html", "tags.html"}), (1, {"tags.html"})):
        place.configure("checks", keep_results=kept)
        for checkpoint in ("projects", "tags"):
            place.run(checkpoint)
        assert {page.name for page in (place.docs / "expectations").iterdir()} == suites


def run_often(place, checkpoint, barrier):
    for _ in range(4):
        barrier.wait(timeout=30)
        place.run(checkpoint)


def test_all_checkpoints_of_two_parallel_processes_are_in_the_data_docs(place):
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


def test_a_password_may_contain_any_character(place, postgres, monkeypatch):
    password = "p@ss/w:rd%20$HOME ${X}"
    postgres.psql(postgres.admin, f"create role special superuser login password '{password}'")
    monkeypatch.setenv("MLOPS_WAREHOUSE__USER", "special")
    monkeypatch.setenv("MLOPS_WAREHOUSE__PASSWORD", password)
    assert place.run("tags").success


def command(*arguments):
    """Run the checkpoints in a process, as `make validate` does."""
    call = [sys.executable, "-m", "pipeline.checkpoints", *arguments]
    return subprocess.run(call, cwd=DAGS, capture_output=True, text=True)


@pytest.fixture
def main(monkeypatch, capsys):
    """Function that runs the command in this process; its exit status or message, and its output."""
    from pipeline import checkpoints

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["checkpoints", *arguments])
        with pytest.raises(SystemExit) as ended:
            checkpoints.main()
        return ended.value.code, capsys.readouterr().out

    return run


def test_the_command_prints_a_line_per_expectation_and_its_status_is_1_if_one_fails(place):
    place.sql("update raw.projects set title = null where id = 4")
    done = command()
    assert done.returncode == 1, done.stderr
    lines = [line.split()[0] for line in done.stdout.splitlines()]
    assert lines.count("checkpoint") == 4
    assert lines.count("ok") == 13 + 11 + 15 + 11 - 1
    assert lines.count("FAILED") == 1
    assert "id 4, title null" in done.stdout


def test_the_status_of_the_command_is_0_if_all_expectations_are_met(place, main):
    status, output = main("tags")
    # As a process's exit status, False is 0.
    assert status == 0
    assert output.splitlines()[0] == "checkpoint tags"


def test_the_command_checks_a_file(place, main, tmp_path):
    status, output = main(f"predictions={write_predictions(tmp_path, (3, 'tag', None))}", "tags")
    assert status == 1
    assert [line.split()[1] for line in output.splitlines() if line.startswith("checkpoint")] == ["predictions", "tags"]
    assert "FAILED  expect_column_values_to_not_be_null(tag)" in output


def test_the_command_names_an_unknown_checkpoint(place, main):
    assert main("tag")[0].startswith("there is no checkpoint 'tag': tagifai has projects, tags, labeled_projects, ")


@pytest.mark.parametrize("checkpoint", ["snapshot", "predictions="])
def test_the_command_asks_for_a_missing_file_without_importing_great_expectations(place, checkpoint):
    call = [sys.executable, "-X", "importtime", "-m", "pipeline.checkpoints", checkpoint]
    done = subprocess.run(call, cwd=DAGS, capture_output=True, text=True)
    assert done.returncode == 2
    name = checkpoint.removesuffix("=")
    assert f"the checkpoint {name} needs a file: {name}=URI" in done.stderr.splitlines()[-1]
    assert "great_expectations" not in done.stderr
