import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tagifai import cli, findings, train
from tagifai.errors import ServiceError, TagifaiError
from tagifai.snapshot import hash_of

ROOT = Path(__file__).resolve().parents[2]
# Runs commands and prints the names of the modules that they have imported.
LOADED = """
import json, sys
from tagifai.cli import main
for command in json.loads(sys.argv[1]):
    main(command, standalone_mode=False)
print(*sys.modules)
"""


@pytest.fixture
def connected(make_settings, warehouse):
    """Settings with a warehouse."""
    return make_settings(warehouse={"type": "postgres", **warehouse})


def test_a_command_writes_its_facts_and_its_report_as_json(connected, run, tmp_path):
    status, _ = run(connected, "extract", "--result", tmp_path / "facts" / "extract.json")
    assert status == 0
    facts = json.loads((tmp_path / "facts" / "extract.json").read_text())
    assert set(facts) == {"snapshot", "uri", "rows", "report"}
    assert facts["rows"] == facts["report"]["rows_out"] == 150
    assert [file.name for file in (tmp_path / "facts").iterdir()] == ["extract.json"]


def failure(message):
    return {"error": message, "report": {"note": message}}


def test_an_expected_failure_is_an_error_in_the_result_and_the_last_line_of_the_log(connected, run, tmp_path):
    result = tmp_path / "train.json"
    arguments = ["--snapshot", "/no/where/abc.parquet", "--study", "xyz-1"]
    status, log = run(connected, "train", *arguments, "--result", result)
    assert status == 1
    assert json.loads(result.read_text()) == failure(log[-1])
    assert log[-1].startswith("study xyz-1 does not belong to snapshot abc")
    assert "Traceback" not in "".join(log)


def test_a_wrong_setting_is_an_expected_failure(connected, run, tmp_path):
    broken = connected.model_copy(update={"threshold": 7})
    status, log = run(broken, "extract", "--result", tmp_path / "facts.json")
    assert status == 1
    assert log[-1].startswith("wrong settings: threshold: Input should be less than 1")
    assert json.loads((tmp_path / "facts.json").read_text()) == failure(log[-1])


@pytest.mark.parametrize(("kind", "status"), [(TagifaiError, 1), (ServiceError, os.EX_TEMPFAIL)])
def test_an_error_becomes_one_line_and_the_status_says_whether_another_try_may_succeed(monkeypatch, kind, status):
    def fail():
        raise kind("first\n  second")

    monkeypatch.setattr("tagifai.settings.load", fail)
    outcome = CliRunner().invoke(cli.main, ["extract"])
    assert outcome.exit_code == status
    assert outcome.output == "first second\n"


@pytest.mark.parametrize("option", ["--input", "--output"])
def test_input_and_output_go_together(option):
    outcome = CliRunner().invoke(cli.main, ["predict", option, "a.csv"])
    assert outcome.exit_code == 2
    assert "--input and --output go together" in outcome.output


def test_every_verb_has_a_command():
    verbs = {
        "extract",
        "optimize",
        "train",
        "run-module",
        "evaluate",
        "promote",
        "predict",
        "publish",
        "spoil",
        "check",
    }
    assert set(cli.main.commands) == verbs


@pytest.fixture
def loaded(connected, environment):
    """Function that runs commands in one process; returns the names of the modules that they have imported."""

    def loaded(*commands):
        command = [sys.executable, "-c", LOADED, json.dumps(commands)]
        done = subprocess.run(command, cwd=ROOT, env=environment(connected), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return set(done.stdout.splitlines()[-1].split())

    return loaded


@pytest.mark.parametrize("command", ["extract", "--help"])
def test_extract_and_help_load_no_model_library(loaded, command):
    """Imports are most of a command's time."""
    names = loaded([command])
    assert "tagifai.cli" in names
    assert not names & {"mlflow", "sklearn", "scipy", "pandas", "optuna", "sqlalchemy"}


def test_spoil_appends_bad_rows(run, settings, tmp_path):
    (tmp_path / "projects.csv").write_text("id,title,description\n1,T,D\n")
    status, _ = run(settings, "spoil", "--folder", tmp_path, "--result", tmp_path / "spoil.json")
    assert status == 0
    assert json.loads((tmp_path / "spoil.json").read_text())["report"] == {"rows_out": 3, "note": "3 bad rows appended"}
    assert (tmp_path / "projects.csv").read_text().count("\n") == 5


def test_train_and_evaluate_load_no_more_than_the_model_needs(loaded, connected, best_of_one, uri, tmp_path):
    """Without our list of types, skops would import all of scikit-learn."""
    study = f"{hash_of(uri)}-by-hand"
    findings.write(connected, study, best_of_one)
    # The name of the model's folder, from a model trained elsewhere.
    elsewhere = connected.model_copy(update={"artifacts": str(tmp_path / "elsewhere")})
    findings.write(elsewhere, study, best_of_one)
    fingerprint = train.train(elsewhere, uri=uri, study=study)["fingerprint"]
    folder = f"{connected.artifacts}/models/{fingerprint}"
    names = loaded(["train", "--snapshot", uri, "--study", study], ["evaluate", "--snapshot", uri, "--model", folder])
    assert {"sklearn", "skops.io"} <= names
    assert not names & {"mlflow", "optuna", "sqlalchemy", "sklearn.ensemble"}
