"""What users do after the first run: mistype, interrupt, run again."""

import os
import signal
import socket
import subprocess

import psycopg
import pytest

from stack.settings import ROOT


@pytest.fixture(scope="module", autouse=True)
def first(first_run, instance):
    """The summary of the first run."""
    assert first_run.returncode == 0, first_run.stdout
    return instance.summary()


@pytest.fixture(scope="module")
def published(first, instance):
    """What consumers read after the first run."""
    return instance.consumers_read()


def test_explain_of_an_unknown_run_lists_the_known_ones_and_stops_its_services(instance):
    done = instance.make("explain", RUN="nonsense")
    assert done.returncode != 0
    assert "there is no run nonsense" in done.stdout
    assert instance.summary()["dataops"]["run_id"] in done.stdout
    assert instance.processes() == []


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
    assert f"port {instance.settings().ports.mlflow} is taken, and mlflow needs it" in instance.summary()["error"]


def test_predict_without_files_says_what_to_type(instance):
    done = instance.make("predict")
    assert done.returncode != 0
    assert "make predict INPUT=file.csv OUTPUT=tagged.csv" in done.stdout


def test_a_second_run_at_once_is_refused_and_ctrl_c_ends_every_process_of_the_first(instance, published):
    command = instance.command("run")
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        for line in process.stdout:
            if "dataops." in line:
                break
        second = instance.make("run")
        assert second.returncode != 0
        assert "another command is at work" in second.stdout
        # To the whole group, as a terminal does.
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=120)
    assert process.returncode != 0
    assert instance.processes() == []
    assert instance.summary()["error"] == "interrupted"


def test_the_next_run_on_the_same_snapshot_reuses_the_study_and_keeps_the_champion(instance, first, published):
    done = instance.make("run", SOURCE=first["source"])
    assert done.returncode == 0, done.stdout
    facts = instance.summary()
    assert facts["study"] == first["study"] | {"run": 0, "reused": True}
    assert "all reused from an earlier run" in done.stdout
    assert facts["champion"] == first["champion"]
    assert facts["gate"]["decision"] == "kept"
    with instance.services("postgres", "mlflow"):
        after = instance.consumers_read()
        with psycopg.connect(**instance.settings().database("airflow")) as connection:
            unfinished = "select dag_id, state from dag_run where state in ('running', 'queued')"
            assert connection.execute(unfinished).fetchall() == []
    assert after["marts.labeled_projects"] == published["marts.labeled_projects"]
    assert [row[:4] for row in after["marts.predictions"]] == [row[:4] for row in published["marts.predictions"]]
