"""The embedded place, without a whole stack."""

import io
import sys

import pytest
from rich.console import Console

from stack.embedded import place as embedded
from stack.embedded.settings import load


@pytest.fixture
def place(tmp_path):
    return embedded.Place(load(tmp_path), Console(file=io.StringIO()))


def test_a_command_that_needs_no_service_starts_none_and_does_not_wait_for_those_of_another(place, monkeypatch, capfd):
    def start(*_, **__):
        raise AssertionError("a service was started")

    monkeypatch.setattr(place._stack, "start", start)
    monkeypatch.setattr(embedded, "command_of", lambda _, *command: [sys.executable, *command])
    assert place.run_command("any", "-c", "print('done')", services=[]) == 0
    assert capfd.readouterr().out == "done\n"
