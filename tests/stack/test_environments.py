"""Environment variables of the stack's processes, and the list of environments."""

import re

import pytest

from stack.embedded.settings import load
from stack.environments import common_environment, names
from stack.settings import ROOT


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_hosts_that_the_caller_reaches_directly_are_reached_so_by_the_stack_too(tmp_path, monkeypatch, name):
    for each in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, "data.example")
    told = common_environment(load(tmp_path / "var"))
    assert told["NO_PROXY"] == told["no_proxy"] == "data.example,127.0.0.1,localhost"


def test_the_makefile_and_the_images_have_the_same_environments_as_the_launcher(tmp_path):
    known = set(names(load(tmp_path / "var")))
    makefile = re.search(r"^ENVIRONMENTS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(makefile[1].split()) == known
    made = re.findall(r"package-settings environment ([a-z ]+\b)", (ROOT / "docker" / "Dockerfile").read_text())
    assert set(" ".join(made).split()) - {"uv"} == known
    assert all((ROOT / "requirements" / f"{name}.txt").exists() for name in known)
