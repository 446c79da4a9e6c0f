"""Bad input on a whole stack that stays up; tests/airflow/test_bad_input.py has every case of docs/bad-input.md.

The good run contains everything that is let through. After each failed run, consumers read what they read before.
"""

import json
from pathlib import Path

import pytest
from bad_input import CASES, LOAD_PROJECTS, URL_CASES, serving

from stack.runs.airflow_api import AirflowApi

pytestmark = pytest.mark.xdist_group("instance")

# One that the sync stops, and one that a checkpoint stops.
FILES = [case for case in CASES if case.name in ("bytes that are not UTF-8", "null titles")]
(SERVER_ERROR,) = [case for case in URL_CASES if case.behaviour == "500"]


@pytest.fixture(scope="module")
def up(place):
    """The instance that is up after runs on the good files."""
    return place.instance


@pytest.fixture(scope="module")
def before(up):
    """The data that consumers read after the good run."""
    return up.consumers_read()


@pytest.fixture(scope="module")
def answer(up, tmp_path_factory):
    """The output of `make predict` after the good run."""
    return answered(up, tmp_path_factory.mktemp("predict"))


def answered(instance, folder):
    """The output of `make predict` for one project."""
    (folder / "in.csv").write_text("id,title,description\n7,Object detection,Boxes in images and video with YOLO\n")
    done = instance.make("predict", INPUT=folder / "in.csv", OUTPUT=folder / "out.csv")
    assert done.returncode == 0, done.stdout
    text = (folder / "out.csv").read_text()
    assert "\n7," in text
    return text


def stopped(instance, source, task, texts, tries=1):
    """Run on a bad source and check what the screen, the page, the log and Airflow show; returns the screen's text."""
    done = instance.make("run", SOURCE=source)
    facts = instance.summary()
    error, log = facts["error"], Path(facts["log"])
    assert done.returncode != 0
    assert (facts["state"], facts["mlops"]) == ("failed", None)
    assert error.startswith(f"dataops.{task}"), error
    assert [text for text in texts if text not in error] == [], error
    # The screen has the error message and the log's path, and no Python traceback.
    assert error in done.stdout
    assert f"full log      {log}\n" in done.stdout
    assert "Traceback" not in done.stdout
    (page,) = [line.split()[-1] for line in done.stdout.splitlines() if line.startswith("page ")]
    assert "✗ Failed" in Path(page).read_text(encoding="utf-8")
    # The same message is the last error in the log and on Airflow's page.
    dag, name, message = *error.partition(": ")[0].split("."), error.partition(": ")[2]
    run_id = facts["dataops"]["run_id"]
    assert log == instance.var.joinpath(
        "logs", "airflow", f"dag_id={dag}", f"run_id={run_id}", f"task_id={name}", f"attempt={tries}.log"
    )
    events = [json.loads(line) for line in log.read_text().splitlines()]
    last = [event for event in events if event.get("level") == "error"][-1]
    assert last["error_detail"][0]["exc_value"] == message
    assert AirflowApi.of(instance.settings()).errors(dag, run_id, name, tries, -1)[-1] == message
    return done.stdout


@pytest.mark.parametrize("case", FILES, ids=[case.name for case in FILES])
def test_a_bad_file_stops_the_run_and_consumers_read_what_they_read_before(case, up, before, answer, folder):
    case.write(folder)
    # The data docs are served, unlike those of the tests of the tasks.
    stopped(up, folder, *case.tasks, [text.replace("see file://", "see http://localhost:") for text in case.texts])
    assert up.consumers_read() == before


@pytest.mark.slow
def test_a_url_that_answers_500_is_tried_three_times_and_consumers_read_what_they_read_before(up, before):
    with serving() as server:
        server.behaviour = SERVER_ERROR.behaviour
        texts = (f"http://{server.address}{SERVER_ERROR.text}",)
        screen = stopped(up, server.url, LOAD_PROJECTS, texts, tries=3)
    assert "s3cret" not in screen
    assert "s3cret" not in json.dumps(up.summary())
    assert up.consumers_read() == before


def test_after_the_failed_runs_predict_gives_the_same_output_as_before(up, answer, tmp_path):
    assert answered(up, tmp_path) == answer
