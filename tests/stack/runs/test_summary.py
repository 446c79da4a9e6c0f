"""The summary of a run, as a person sees it."""

import io
import json

import pytest
from rich.console import Console

from stack.runs import summary

CANDIDATE = {"f1_weighted": 0.9, "f1_macro": 0.8, "precision": 0.7, "recall": 0.6, "test_rows": 5}


@pytest.fixture
def shown():
    """What the screen shows of facts."""

    def show(facts):
        screen = io.StringIO()
        summary.show(facts, Console(file=screen, soft_wrap=True), {"logs": "var/logs/"})
        return screen.getvalue()

    return show


def test_a_run_of_which_nothing_is_known_still_says_that_it_failed_and_why(shown):
    text = shown(summary.empty("files") | {"error": "port [8080] is taken", "seconds": 0.1})
    assert "failed in 0.1 s, source files" in text
    assert "port [8080] is taken" in text
    assert "champion" not in text


def test_a_run_without_a_source_is_shown_without_one(shown):
    text = shown(summary.empty(None) | {"error": "mine.yaml: cannot be read", "seconds": 0.1})
    assert "failed in 0.1 s\n" in text


def test_an_error_is_followed_by_the_way_to_the_full_log(shown):
    log = "/var/logs/airflow/dag_id=dataops/run_id=manual__2026[1]/task_id=transform/attempt=1.log"
    text = shown(summary.empty("files") | {"error": "dataops.transform: why\nand how", "log": log, "seconds": 1})
    assert f"error         dataops.transform: why\nand how\nfull log      {log}\n" in text


@pytest.mark.parametrize(
    ("source", "public"),
    [
        ("/a@b/c?d", "/a@b/c?d"),
        ("https://example.org/data", "https://example.org/data"),
        ("https://user:s3cret@example.org:8080/d@ta?token=s3cret#s3cret", "https://example.org:8080/d@ta"),
    ],
)
def test_a_summary_names_its_source_without_login_and_query(source, public):
    assert summary.empty(source)["source"] == public


def test_a_run_that_was_broken_off_has_a_state_and_no_seconds(shown):
    run = {"run_id": "r1", "state": "running", "seconds": None, "tasks": {"publish": {"state": None, "seconds": None}}}
    assert "dataops       running (r1)\n" in shown(summary.empty("files") | {"dataops": run})


def test_trials_candidate_champion_and_gate_are_told(shown):
    facts = summary.empty("files") | {
        "state": "success",
        "seconds": 70.0,
        "study": {"name": "s", "trials": 20, "run": 0, "reused": True},
        "candidate": {"version": "3", "cv_f1": 0.891, "trials": 20, **CANDIDATE},
        "champion": {"name": "tagifai", "version": "2", "alias": "champion", "f1_weighted": 0.95},
        "gate": {"decision": "kept", "reason": "0.9 is lower than 0.95"},
    }
    text = shown(facts)
    assert "20, all reused from an earlier run" in text
    assert "version 3: f1_weighted 0.900, f1_macro 0.800, precision 0.700, recall 0.600 on 5 held-out rows" in text
    assert "cross-validated 0.891" in text
    assert "tagifai version 2, f1_weighted 0.950; candidate kept: 0.9 is lower than 0.95" in text


def test_the_file_holds_the_facts(tmp_path):
    facts = summary.empty("fïles")
    summary.write(facts, tmp_path / "summary.json")
    assert json.loads((tmp_path / "summary.json").read_text()) == facts
