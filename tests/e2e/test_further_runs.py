"""What users do beside complete runs: interrupt one, start two at once, mistype."""

import socket

import psycopg
import pytest

pytestmark = pytest.mark.xdist_group("instance")


def test_a_second_run_at_once_is_refused_and_ctrl_c_ends_every_process_of_the_first(interrupted):
    assert interrupted.second.returncode != 0
    assert "another command is at work" in interrupted.second.stdout
    assert interrupted.returncode != 0
    assert interrupted.processes == []
    assert interrupted.summary["error"] == "interrupted"


def test_the_run_after_an_interrupted_one_leaves_no_unfinished_run(instance, first_run):
    assert first_run.returncode == 0, first_run.stdout
    with instance.services("postgres"), psycopg.connect(**instance.settings().database("airflow")) as connection:
        unfinished = "select dag_id, state from dag_run where state in ('running', 'queued')"
        assert connection.execute(unfinished).fetchall() == []


def test_explain_of_an_unknown_run_lists_the_known_ones_and_stops_its_services(instance, first_run):
    done = instance.make("explain", RUN="nonsense")
    assert done.returncode != 0
    assert "there is no run nonsense" in done.stdout
    assert instance.summary()["dataops"]["run_id"] in done.stdout
    assert instance.processes() == []


def test_a_setting_that_does_not_exist_is_named_before_anything_starts(instance, first_run, tmp_path):
    (tmp_path / "mine.yaml").write_text("labels: {min_frequency: 3}")
    done = instance.make("run", CONFIG=tmp_path / "mine.yaml")
    assert done.returncode != 0
    assert "labels.min_frequency" in instance.summary()["error"]
    assert "dataops" not in done.stdout


def test_a_port_that_is_taken_is_named(instance, first_run):
    with socket.socket() as other:
        other.bind(("127.0.0.1", instance.settings().ports.mlflow))
        done = instance.make("run")
    assert done.returncode != 0
    assert f"port {instance.settings().ports.mlflow} is taken, and mlflow needs it" in instance.summary()["error"]
