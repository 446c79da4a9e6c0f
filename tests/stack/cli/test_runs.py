"""What the commands tell the services that they start, and what a run leaves of the run of another command."""

import json

import pytest
from click.testing import CliRunner
from rich.console import Console

from stack.cli.main import main
from stack.embedded import place
from stack.embedded.settings import load
from stack.errors import BusyError, StackError


class NoStack:
    """A stack that is not up, and keeps what it was started with."""

    started = None

    def __init__(self, settings):
        self.settings = settings

    def is_up(self, _):
        return False

    def start(self, _, *, stay, begun):
        NoStack.started = (self.settings, stay)

    def stop(self):
        pass


def test_a_stack_that_does_not_stay_serves_no_schedule_and_no_watch(tmp_path, monkeypatch):
    monkeypatch.setattr(place, "Stack", NoStack)
    monkeypatch.setattr(place.doctor, "require", lambda *_: None)
    (tmp_path / "mine.yaml").write_text("watch: {seconds: 5}")
    settings = load(tmp_path / "var", config=tmp_path / "mine.yaml")
    with place.Place(settings, Console()).running():
        started, stay = NoStack.started
    assert not stay
    assert started.config["dataops_schedule"] is None
    assert started.config["watch"] == {"seconds": None}
    assert started.config["search"] == settings.config["search"]


@pytest.fixture
def make_run(tmp_path, monkeypatch):
    """Function that runs with a stack of some class; returns the exit status and the summary's error."""

    def make_run(stack):
        monkeypatch.setattr(place, "Stack", stack)
        monkeypatch.setattr(place.doctor, "require", lambda *_: None)
        done = CliRunner().invoke(main, ["--var", str(tmp_path), "run"])
        return done.exit_code, json.loads((tmp_path / "summary.json").read_text())["error"]

    return make_run


def test_a_run_that_is_refused_leaves_the_summary_of_the_one_at_work(tmp_path, make_run):
    class BusyStack(NoStack):
        def start(self, _, **options):
            raise BusyError("another command is at work")

    (tmp_path / "summary.json").write_text('{"error": "of the other"}')
    assert make_run(BusyStack) == (1, "of the other")


def test_a_run_says_that_it_has_not_ended_before_the_first_service_starts(tmp_path, make_run):
    class BrokenStack(NoStack):
        def start(self, _, *, stay, begun):
            begun()
            facts = json.loads((tmp_path / "summary.json").read_text())
            raise StackError(f"it said: {facts['error']}")

    assert make_run(BrokenStack) == (1, "it said: the run has not ended: it is still running, or it was killed")


def test_the_stack_can_be_stopped_whatever_has_become_of_its_settings(tmp_path):
    (tmp_path / "config.yaml").write_text("search: [")
    done = CliRunner().invoke(main, ["--var", str(tmp_path), "down"])
    assert (done.exit_code, done.stdout) == (0, "The stack is stopped.\n")
