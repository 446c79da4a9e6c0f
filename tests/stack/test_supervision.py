"""Starting and stopping the services."""

import socket

import pytest
import yaml

from stack.settings import load
from stack.supervision import Stack, StackError, processes_of
from stack.testing import free_port


@pytest.fixture
def settings(tmp_path):
    """Settings of an instance with ports of its own."""
    ports = {name: free_port() for name in ("airflow", "mlflow", "airbyte", "postgres")}
    (tmp_path / "ports.yaml").write_text(yaml.safe_dump({"ports": ports}))
    return load(tmp_path / "var", config=tmp_path / "ports.yaml")


def test_services_run_until_they_are_stopped_and_nobody_else_starts_them_meanwhile(settings):
    first, second = Stack(settings), Stack(settings)
    first.start(["postgres"], stay=False)
    try:
        assert second.is_up(["postgres"])
        assert not second.is_up()
        with pytest.raises(StackError, match="another command is at work"):
            second.start(["postgres"], stay=False)
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


def test_a_service_runs_with_other_settings_only_while_it_is_to(settings):
    def sources():
        processes = (process for process in processes_of(settings.var) if "airbyte_local" in process.cmdline())
        return [process.environ()["MLOPS_SOURCE"] for process in processes]

    stack = Stack(settings)
    stack.start(["postgres", "airbyte"], stay=False)
    try:
        ours = sources()
        with stack.changed("airbyte", settings.model_copy(update={"config": settings.config | {"source": "/other"}})):
            assert sources() == ["/other"]
        assert sources() == ours == [settings.config["source"]]
        assert stack.is_up_with(settings)
        assert stack.is_up(["postgres", "airbyte"])
    finally:
        stack.stop()
