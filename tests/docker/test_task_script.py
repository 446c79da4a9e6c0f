"""docker/task, which runs the command of a task in its container."""

import signal
import subprocess
import sys

import pytest
from docker_testing import ROOT

TASK = ROOT / "docker" / "task"


def task(*command, **options):
    """The finished script with this machine's Python."""
    return subprocess.run([sys.executable, "-I", TASK, *command], capture_output=True, text=True, **options)


@pytest.mark.parametrize("status", [0, 3])
def test_it_ends_with_the_commands_status(status):
    assert task("sh", "-c", f"exit {status}").returncode == status


def test_a_command_that_a_signal_ended_gives_128_and_its_number():
    assert task("sh", "-c", "kill -SEGV $$").returncode == 128 + signal.SIGSEGV


@pytest.mark.parametrize(("command", "status"), [("/no/such/program", 127), ("/etc/passwd", 126)])
def test_a_command_that_cannot_be_started_is_named(command, status):
    done = task(command)
    assert done.returncode == status
    assert "the command cannot be started" in done.stderr
    assert command in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_command(number):
    code = f"import signal, sys; signal.signal({number}, lambda *_: sys.exit(7)); print(1, flush=True); signal.pause()"
    process = subprocess.Popen(
        [sys.executable, "-I", TASK, sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "1\n"
    process.send_signal(number)
    assert process.wait() == 7
    process.stdout.close()
