"""The container place keeps the contract of a place."""

import subprocess

import httpx
import pytest
from place_contract import PlaceContract

from stack.settings import ROOT

pytestmark = pytest.mark.xdist_group("stack")


class Place:
    """The running container stack after its first run, as PlaceContract needs it."""

    def __init__(self, stack):
        self._stack = stack

    def make(self, target, **variables):
        """Run a target of the Makefile."""
        words = [target, "PLACE=compose", *(f"{name}={value}" for name, value in variables.items())]
        # The doctor runs on this machine, in the environment of the repository that the stack is a copy of.
        folder = ROOT if target == "doctor" else self._stack.folder
        environment = self._stack.environment
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
        return subprocess.run(["make", *words], cwd=folder, env=environment, text=True, **output)

    def read(self, name):
        return self._stack.compose("exec", "-T", "airflow-scheduler", "cat", f"/var/lib/mlops/{name}").stdout

    def open(self, address):
        return httpx.get(address, timeout=60).raise_for_status().text

    def get(self, path):
        return httpx.get(f"{self._stack.url('docs')}{path}", timeout=60)


@pytest.fixture(scope="module")
def ran(first_run):
    return first_run


@pytest.fixture(scope="module")
def place(stack, first_run):
    return Place(stack)


class TestCompose(PlaceContract):
    """The container place."""
