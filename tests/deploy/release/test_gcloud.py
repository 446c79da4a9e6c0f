"""How a command of gcloud is run and repeated, which of its errors are told at once, and what is a secret."""

from types import SimpleNamespace

import pytest
from rich.console import Console

from deploy import gcloud as gclouds
from deploy import secrets
from deploy.gcloud import Gcloud, GcloudError


@pytest.fixture
def gcloud(monkeypatch):
    """Function that gives a Gcloud whose commands answer one after the other: an error message, or None for success."""
    monkeypatch.setattr(gclouds.time, "sleep", lambda _seconds: None)

    def make(*answers):
        left = list(answers)

        class Answering(Gcloud):
            def _run(self, command, content):
                if message := left.pop(0):
                    raise GcloudError(message)
                return "done", ""

        made = Answering("demo", Console(quiet=True))
        made.left = left
        return made

    return make


def test_line_ends_of_what_is_read_and_written_stay(tmp_path, monkeypatch):
    program = tmp_path / "gcloud"
    program.write_text("#!/bin/sh\nexec cat\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    text, _ = Gcloud("demo", Console(quiet=True)).change("secrets", content="a\r\nü\n")
    assert text == "a\r\nü\n"


def test_an_empty_variable_of_the_caller_gives_no_secret():
    deploy = SimpleNamespace(connections=["db", "mlflow"], variables={"region": "eu", "token": None})
    environ = {"AIRFLOW_CONN_DB": "", "AIRFLOW_CONN_MLFLOW": "https://x", "AIRFLOW_VAR_TOKEN": ""}
    assert secrets.given(SimpleNamespace(deploy=deploy), environ) == {
        "airflow-connections-db": None,
        "airflow-connections-mlflow": "https://x",
        "airflow-variables-region": "eu",
        "airflow-variables-token": None,
    }


LIMITED = ("RESOURCE_EXHAUSTED: Quota exceeded", "HTTPError 429: Too many requests")
BUSY = ("UNAVAILABLE: try again", "HTTPError 503: no", "HTTPError 500: no")


@pytest.mark.parametrize("message", LIMITED + BUSY)
def test_a_read_is_repeated_while_the_service_is_busy(gcloud, message):
    assert gcloud(message, message, None).read("a") == "done"


@pytest.mark.parametrize("message", LIMITED)
def test_a_change_is_repeated_when_it_was_refused_before_anything_was_done(gcloud, message):
    assert gcloud(message, None).change("a") == ("done", "")


@pytest.mark.parametrize("message", BUSY)
def test_a_change_that_may_have_been_done_is_not_repeated(gcloud, message):
    made = gcloud(message, None)
    with pytest.raises(GcloudError):
        made.change("a")
    assert made.left == [None]


@pytest.mark.parametrize("message", ["PERMISSION_DENIED: no", "HTTPError 412: precondition", "NOT_FOUND: no"])
def test_other_errors_are_told_at_once(gcloud, message):
    made = gcloud(message, None)
    with pytest.raises(GcloudError, match=message.partition(":")[0]):
        made.read("a")
    assert made.left == [None]


def test_a_service_that_stays_busy_is_told_in_the_end(gcloud):
    with pytest.raises(GcloudError, match="UNAVAILABLE"):
        gcloud(*[BUSY[0]] * (len(gclouds.PAUSES) + 1)).read("a")
