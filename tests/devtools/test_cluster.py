"""The Kubernetes for tests, where it cannot be started."""

import sys

import pytest

from devtools.cluster import __main__ as command


def test_what_is_missing_is_told_before_minutes_of_building(monkeypatch, tmp_path):
    monkeypatch.setenv("MLOPS_CLUSTER", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["cluster", "up"])
    monkeypatch.setattr(command, "missing", lambda: "the kubelet needs root")
    monkeypatch.setattr(command.subprocess, "run", lambda *_, **__: pytest.fail("it builds"))
    with pytest.raises(SystemExit, match="the cluster: the kubelet needs root"):
        command.main()
