"""Commands as tasks."""

import os
import select
import signal
import sys

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from airflow_testing import TaskInstance, execute, failed

from pipeline import runners

# Seconds within which a command must have ended.
BOUND = 30

SCRIPT = r"""
import json, os, pathlib, sys
print("at work in", os.getcwd())
what, path = sys.argv[1], sys.argv[sys.argv.index("--result") + 1]
if what == "facts":
    report = {"rows_out": 3, "note": "three rows", "summary": {"share": float("nan")}}
    pathlib.Path(path).write_text(json.dumps({"rows": 3, "environment": dict(os.environ), "report": report}))
if what == "nothing":
    pathlib.Path(path).write_text(json.dumps({"rows": 3}))
if what == "refuse":
    error = "projects.csv, row 7: no title\ngive it one"
    pathlib.Path(path).write_text(json.dumps({"error": error, "report": {"rows_in": 7}}))
    sys.exit(1)
if what == "wait":
    pathlib.Path(path).write_text(json.dumps({"error": "MLflow does not answer"}))
    sys.exit(75)
if what == "end":
    sys.exit(0)
if what == "chat":
    pathlib.Path(path).write_text("hello")
if what == "list":
    pathlib.Path(path).write_text("[1]")
if what == "infinite":
    pathlib.Path(path).write_text(json.dumps({"rows": 3, "loss": float("inf")}))
if what == "crash":
    print("the last words", file=sys.stderr)
    sys.exit(9)
"""


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Function that makes a task of a command in an environment that has only a Python interpreter."""
    (tmp_path / "some" / "bin").mkdir(parents=True)
    (tmp_path / "some" / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "script.py").write_text(SCRIPT)
    monkeypatch.setenv("MLOPS_RUNNER__ROOT", str(tmp_path))
    monkeypatch.setenv("MLOPS_RUNNER__PROJECT", str(tmp_path))
    return lambda what: runners.task("some", ["python", "script.py", what], "command")


def test_a_command_returns_its_result_and_pushes_its_report(command):
    instance = TaskInstance()
    result = execute(command("facts"), instance)
    assert set(result) == {"rows", "environment"}
    # JSON has no NaN.
    assert instance.pushed == {"report": {"rows_out": 3, "note": "three rows", "summary": {"share": None}}}


def test_a_command_without_a_report_has_an_empty_one(command):
    instance = TaskInstance()
    assert execute(command("nothing"), instance) == {"rows": 3}
    assert instance.pushed == {"report": {}}


def test_a_command_gets_the_projects_settings_but_not_airflows_secrets(command, monkeypatch):
    monkeypatch.setenv("MLOPS_ARTIFACTS", "/somewhere")
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "secret")
    environment = execute(command("facts"), TaskInstance())["environment"]
    assert environment["MLOPS_ARTIFACTS"] == "/somewhere"
    assert not [name for name in environment if name.startswith("AIRFLOW")]


@pytest.mark.parametrize(
    ("what", "kind", "message", "report"),
    [
        (
            "refuse",
            AirflowFailException,
            "projects.csv, row 7: no title\ngive it one",
            {"rows_in": 7, "note": "projects.csv, row 7: no title"},
        ),
        ("wait", AirflowException, "MLflow does not answer", {"note": "MLflow does not answer"}),
        (
            "crash",
            AirflowException,
            "`python script.py crash` ended with 9: the last words",
            {"note": "`python script.py crash` ended with 9: the last words"},
        ),
    ],
)
def test_a_failed_command_reports_its_error_and_is_retried_only_if_that_can_help(command, what, kind, message, report):
    error, xcoms = failed(command(what))
    assert str(error) == message
    assert type(error) is kind
    assert xcoms == {"report": report}


@pytest.mark.parametrize(
    ("what", "flaw"),
    [
        ("end", "wrote no result"),
        ("chat", "its result is not JSON but begins with 'hello'"),
        ("list", "its result is not a JSON object but '[1]'"),
        ("infinite", "its result holds NaN or infinity, which JSON does not have"),
    ],
)
def test_without_a_result_there_is_no_success(command, what, flaw):
    error, _ = failed(command(what))
    assert type(error) is AirflowException
    assert f"`python script.py {what}` ended with 0, but {flaw}, so it does not count as done" in str(error)


def test_a_program_that_is_not_there_fails_at_once_with_the_remedy(command, monkeypatch):
    monkeypatch.setenv("MLOPS_RUNNER__ROOT", "/nowhere")
    error, _ = failed(command("facts"))
    assert type(error) is AirflowFailException
    assert "/nowhere/some/bin/python" in str(error)
    assert "make setup" in str(error)


def started(folder, monkeypatch):
    """The process ids of a task and of its command, which waits forever."""
    (folder / "some" / "bin").mkdir(parents=True)
    (folder / "some" / "bin" / "sh").symlink_to("/bin/sh")
    monkeypatch.setenv("MLOPS_RUNNER__ROOT", str(folder))
    monkeypatch.setenv("MLOPS_RUNNER__PROJECT", str(folder))
    os.mkfifo(folder / "started")
    script = "echo $$ > started; exec tail -f /dev/null"
    operator = runners.task("some", ["sh", "-c", script], "command")
    task = os.fork()
    if not task:
        # Like Airflow's task process.
        signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
        try:
            operator.execute({"ti": TaskInstance()})
        finally:
            os._exit(0)
    return task, int((folder / "started").read_text())


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_the_command_of_a_killed_task_is_killed_too(tmp_path, monkeypatch, end):
    task, command = started(tmp_path, monkeypatch)
    gone = os.pidfd_open(command)
    for _ in range(BOUND):
        # Repeated, since a task that has only just started its command does not know its process yet.
        os.kill(task, end)
        if select.select([gone], [], [], 1)[0]:
            break
    else:
        pytest.fail(f"the command still runs {BOUND} s after its task was killed")
    os.kill(task, signal.SIGKILL)
    os.waitpid(task, 0)
