"""Runs that do not reach their end: a wrong setting, a port that is taken, a second run at once, Ctrl-C."""

import socket

import pytest

pytestmark = pytest.mark.xdist_group("instance")


def test_a_setting_that_does_not_exist_is_named_before_anything_starts(instance, tmp_path):
    (tmp_path / "mine.yaml").write_text("labels: {min_frequency: 3}")
    done = instance.make("run", CONFIG=tmp_path / "mine.yaml")
    assert done.returncode != 0
    assert "labels.min_frequency" in instance.summary()["error"]
    assert "dataops" not in done.stdout


def test_a_port_that_is_taken_is_named(instance):
    with socket.socket() as other:
        other.bind(("127.0.0.1", instance.settings().ports.mlflow))
        done = instance.make("run")
    assert done.returncode != 0
    assert f"port {instance.settings().ports.mlflow} of mlflow is taken" in instance.summary()["error"]


def test_a_second_run_at_once_is_refused_and_ctrl_c_ends_every_process_of_the_first(interrupted):
    assert interrupted.second.returncode != 0
    assert "another command is using" in interrupted.second.stdout
    assert interrupted.returncode != 0
    assert interrupted.processes == []
    assert interrupted.summary["error"] == "interrupted"
