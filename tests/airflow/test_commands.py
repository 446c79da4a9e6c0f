"""How a command becomes a task."""

import os
import select
import signal
import sys

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from pipeline.commands import CommandOperator

# Seconds in which a command has to be gone.
BOUND = 30

SCRIPT = """
import json, os, pathlib, sys
print("at work in", os.getcwd())
what, path = sys.argv[1], sys.argv[sys.argv.index("--result") + 1]
if what == "facts":
    pathlib.Path(path).write_text(json.dumps({"rows": 3, "environment": dict(os.environ)}))
if what == "refuse":
    pathlib.Path(path).write_text(json.dumps({"error": "projects.csv, row 7: no title; give it one"}))
    sys.exit(1)
if what == "wait":
    pathlib.Path(path).write_text(json.dumps({"error": "MLflow does not answer"}))
    sys.exit(75)
if what == "crash":
    print("the last words", file=sys.stderr)
    sys.exit(9)
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Executes a command of an environment that has only a Python interpreter."""
    (tmp_path / "some" / "bin").mkdir(parents=True)
    (tmp_path / "some" / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "script.py").write_text(SCRIPT)
    monkeypatch.setenv("MLOPS_RUNNER__ROOT", str(tmp_path))
    monkeypatch.setenv("MLOPS_RUNNER__PROJECT", str(tmp_path))
    return lambda what: CommandOperator(
        task_id="command", environment="some", command=["python", "script.py", what]
    ).execute({})


def test_the_result_file_is_what_the_task_returns(run):
    assert run("facts")["rows"] == 3


def test_a_command_gets_the_projects_settings_but_not_airflows_secrets(run, monkeypatch):
    monkeypatch.setenv("MLOPS_ARTIFACTS", "/somewhere")
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "secret")
    environment = run("facts")["environment"]
    assert environment["MLOPS_ARTIFACTS"] == "/somewhere"
    assert not [name for name in environment if name.startswith("AIRFLOW")]


def test_a_command_that_refuses_fails_with_its_own_words_and_is_not_tried_again(run):
    with pytest.raises(AirflowFailException, match=r"^projects\.csv, row 7: no title; give it one$"):
        run("refuse")


def test_a_command_whose_service_is_away_fails_with_its_own_words_and_may_be_tried_again(run):
    with pytest.raises(AirflowException, match=r"^MLflow does not answer$") as caught:
        run("wait")
    assert not isinstance(caught.value, AirflowFailException)


def test_a_command_that_crashes_may_be_tried_again(run):
    with pytest.raises(AirflowException, match="ended with 9: the last words") as caught:
        run("crash")
    assert not isinstance(caught.value, AirflowFailException)


def started(folder, monkeypatch):
    """A process that executes a command which waits for ever, and the command's process id."""
    (folder / "some" / "bin").mkdir(parents=True)
    (folder / "some" / "bin" / "sh").symlink_to("/bin/sh")
    monkeypatch.setenv("MLOPS_RUNNER__ROOT", str(folder))
    monkeypatch.setenv("MLOPS_RUNNER__PROJECT", str(folder))
    os.mkfifo(folder / "started")
    script = "echo $$ > started; exec tail -f /dev/null"
    operator = CommandOperator(task_id="command", environment="some", command=["sh", "-c", script])
    task = os.fork()
    if not task:
        # As Airflow's task process does.
        signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
        try:
            operator.execute({})
        finally:
            os._exit(0)
    return task, int((folder / "started").read_text())


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_task_takes_its_command_along(tmp_path, monkeypatch, end):
    task, command = started(tmp_path, monkeypatch)
    gone = os.pidfd_open(command)
    for _ in range(BOUND):
        # Again, since a task that has only just started its command does not know it yet.
        os.kill(task, end)
        if select.select([gone], [], [], 1)[0]:
            break
    else:
        pytest.fail(f"the command outlives its task for {BOUND} s")
    os.kill(task, signal.SIGKILL)
    os.waitpid(task, 0)
