"""How a command of gcloud is repeated, and which of its errors are told at once."""

import pytest
from rich.console import Console

from deploy import gcloud as gclouds
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
