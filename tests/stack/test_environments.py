"""What the processes of the stack are told."""

import pytest

from stack.embedded.settings import load
from stack.environments import common_environment


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_hosts_that_the_caller_reaches_directly_are_reached_so_by_the_stack_too(tmp_path, monkeypatch, name):
    for each in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, "data.example")
    told = common_environment(load(tmp_path / "var"))
    assert told["NO_PROXY"] == told["no_proxy"] == "data.example,127.0.0.1,localhost"
