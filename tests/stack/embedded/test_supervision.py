"""Starting and stopping the services."""

import socket

import pytest
import yaml

from devtools.ports import free_port
from stack.embedded.settings import load
from stack.embedded.supervision import Stack
from stack.errors import BusyError, StackError


@pytest.fixture
def settings(tmp_path):
    """Settings of an instance with ports of its own."""
    ports = {name: free_port() for name in ("airflow", "mlflow", "airbyte", "postgres", "docs")}
    (tmp_path / "ports.yaml").write_text(yaml.safe_dump({"ports": ports}))
    return load(tmp_path / "var", config=tmp_path / "ports.yaml")


def test_services_run_until_they_are_stopped_and_nobody_else_starts_them_meanwhile(settings):
    first, second = Stack(settings), Stack(settings)
    first.start(["postgres"], stay=False)
    try:
        assert second.is_up(["postgres"])
        assert not second.is_up()
        with pytest.raises(BusyError, match="another command is using"):
            second.start(["postgres"], stay=False, begun=pytest.fail)
        assert first.is_up(["postgres"])
    finally:
        first.stop()
    assert not second.is_up(["postgres"])
    second.start(["postgres"], stay=False)
    second.stop()


def test_a_service_that_cannot_start_is_named_with_the_reason_and_may_be_tried_again(settings):
    stack = Stack(settings)
    with socket.socket() as other:
        other.bind(("127.0.0.1", settings.ports.postgres))
        with pytest.raises(StackError, match=r"(?s)postgres ended as soon as it was started.*Address already in use"):
            stack.start(["postgres"], stay=False)
    stack.start(["postgres"], stay=False)
    stack.stop()
