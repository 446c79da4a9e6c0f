"""Commands, and containers that are deleted after the tests."""

import os
import subprocess
import time
import uuid
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LABEL = f"mlops-test-{uuid.uuid4().hex}"
PASSWORD = "correct horse's battery"


def need(is_met, reason):
    """Skip the test unless its requirement is met; fail it in CI."""
    if not is_met and "CI" in os.environ:
        pytest.fail(reason)
    if not is_met:
        pytest.skip(reason)


def run(*command, check=True, **options):
    """A finished process with its output as text."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    done = subprocess.run(command, text=True, **options)
    assert done.returncode == 0 or not check, done.stderr
    return done


def wait_until(condition, seconds=120):
    """Wait until a condition is true, at most two minutes unless `seconds` says otherwise."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"the condition is still not true after {seconds} s"
        time.sleep(0.1)
    return value


def remove(kind):
    """Delete these tests' containers with their unnamed volumes, or their named volumes."""
    every, volumes = (["--all"], ["--volumes"]) if kind == "container" else ([], [])
    names = run("docker", kind, "ls", *every, "--quiet", "--filter", f"label={LABEL}").stdout.split()
    if names:
        run("docker", kind, "rm", "--force", *volumes, *names)


class Postgres:
    """A container of PostgreSQL with a volume of its own."""

    def __init__(self, *options, command=(), volume=None, data="/var/lib/postgresql/data", **variables):
        self.volume = volume or run("docker", "volume", "create", "--label", LABEL).stdout.strip()
        self.user = variables.get("POSTGRES_USER", "postgres")
        mount = f"--mount=type=volume,source={self.volume},target={data}"
        settings = [f"--env={name}={value}" for name, value in variables.items()]
        words = ["docker", "create", "--label", LABEL, mount, *settings, *options, "postgres:17", *command]
        self.id = run(*words).stdout.strip()

    def start(self):
        """Start it without waiting."""
        run("docker", "start", self.id)
        return self

    def ready(self):
        """Start it and wait until it accepts connections over the network."""
        self.start()
        wait_until(lambda: self.shell("pg_isready -q -h $(hostname -i)", check=False).returncode == 0 or self.ended())
        assert not self.ended(), self.log()
        return self

    def ended(self):
        """Whether it has ended."""
        return run("docker", "inspect", "--format", "{{.State.Status}}", self.id).stdout.strip() == "exited"

    def exit_code(self):
        """Wait for its end; returns its exit code."""
        return int(run("docker", "wait", self.id, timeout=120).stdout)

    def log(self):
        """Its log."""
        return run("docker", "logs", self.id, stderr=subprocess.STDOUT).stdout

    def shell(self, line, *, check=True, **variables):
        """A finished shell command inside."""
        settings = [f"--env={name}={value}" for name, value in variables.items()]
        return run("docker", "exec", *settings, self.id, "sh", "-c", line, check=check)

    def sql(self, query, *, user=None, password=PASSWORD, database="postgres"):
        """The words of the rows, asked over the network."""
        line = f'psql -XtA -h $(hostname -i) -U {user or self.user} -d {database} -c "$QUERY"'
        return self.shell(line, PGPASSWORD=password, QUERY=query).stdout.split()

    def refusal(self, **login):
        """The error message of a refused login."""
        with pytest.raises(AssertionError) as error:
            self.sql("select 1", **login)
        return str(error.value)
