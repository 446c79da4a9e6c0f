"""What users do after the first run: run again, mistype, interrupt, keep the stack up."""

import os
import signal
import subprocess
from pathlib import Path

import httpx
import psycopg
import pytest

from stack.settings import ROOT


@pytest.fixture(autouse=True)
def after_the_first_run(first_run):
    assert first_run.returncode == 0, first_run.stdout


def test_explain_writes_the_same_page_for_either_run(instance):
    facts = instance.summary()
    with instance.services("postgres", "airflow-api-server"):
        done = [instance.make("explain", RUN=facts[dag_id]["run_id"]) for dag_id in ("dataops", "mlops")]
        latest = instance.make("explain")
    assert [each.returncode for each in (*done, latest)] == [0, 0, 0], [each.stdout for each in (*done, latest)]
    (page,) = {Path(each.stdout.split()[-1]) for each in done}
    assert f"version {facts['champion']['version']}" in page.read_text(encoding="utf-8")
    assert Path(latest.stdout.split()[-1]).parent == page.parent


def test_explain_names_the_known_runs_where_one_is_not_and_stops_what_it_started(instance):
    done = instance.make("explain", RUN="nonsense")
    assert done.returncode != 0
    assert "there is no run nonsense" in done.stdout
    assert instance.summary()["dataops"]["run_id"] in done.stdout
    assert instance.processes() == []


def test_an_unchanged_snapshot_reuses_the_study_and_keeps_the_champion(instance):
    before, first = instance.consumers_read(), instance.summary()
    done = instance.make("run", SOURCE=first["source"])
    assert done.returncode == 0, done.stdout
    facts = instance.summary()
    assert facts["study"] == first["study"] | {"run": 0, "reused": True}
    assert "all reused from an earlier run" in done.stdout
    assert facts["champion"] == first["champion"]
    assert facts["gate"]["decision"] == "kept"
    after = instance.consumers_read()
    assert after["marts.labeled_projects"] == before["marts.labeled_projects"]
    assert [row[:4] for row in after["marts.predictions"]] == [row[:4] for row in before["marts.predictions"]]


def test_a_setting_that_does_not_exist_is_named_before_anything_starts(instance, tmp_path):
    (tmp_path / "mine.yaml").write_text("labels: {min_frequency: 3}")
    done = instance.make("run", CONFIG=tmp_path / "mine.yaml")
    assert done.returncode != 0
    assert "labels.min_frequency" in instance.summary()["error"]
    assert "dataops" not in done.stdout


def test_a_port_that_is_taken_is_named(instance):
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", instance.settings().ports.mlflow))
        done = instance.make("run")
    assert done.returncode != 0
    assert f"port {instance.settings().ports.mlflow} is taken, and mlflow needs it" in instance.summary()["error"]


def test_predict_without_files_says_what_to_type(instance):
    done = instance.make("predict")
    assert done.returncode != 0
    assert "make predict INPUT=file.csv OUTPUT=tagged.csv" in done.stdout


def test_a_second_run_at_once_is_refused_and_ctrl_c_ends_every_process_of_the_first(instance):
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
    again = instance.make("run")
    assert again.returncode == 0, again.stdout
    with instance.services("postgres"), psycopg.connect(**instance.settings().database("airflow")) as connection:
        states = connection.execute(
            "select state, count(*) from dag_run where state in ('running', 'queued') group by 1"
        )
        assert states.fetchall() == []


def test_up_serves_airflow_behind_a_login_and_mlflow_until_down(instance):
    settings = instance.settings()
    try:
        done = instance.make("up")
        assert done.returncode == 0, done.stdout
        assert settings.secrets["admin"] in done.stdout
        airflow = httpx.Client(base_url=settings.url("airflow"), timeout=60)
        assert airflow.get("/api/v2/dags").status_code == httpx.codes.UNAUTHORIZED
        login = {"username": "admin", "password": settings.secrets["admin"]}
        token = airflow.post("/auth/token", json=login).raise_for_status().json()["access_token"]
        dags = airflow.get("/api/v2/dags", headers={"Authorization": f"Bearer {token}"}).json()["dags"]
        assert {dag["dag_id"]: dag["is_paused"] for dag in dags} == {"dataops": False, "mlops": False}
        assert "dataops" in {dag["dag_id"] for dag in dags if dag["timetable_summary"]}
        assert httpx.get(settings.url("mlflow"), timeout=60).is_success
        again = instance.make("up")
        assert again.returncode == 0
        assert settings.secrets["admin"] not in again.stdout
        assert instance.make("status").stdout.count("running") == len(instance_services(instance))
    finally:
        down = instance.make("down")
    assert down.returncode == 0
    assert instance.processes() == []
    assert "Nothing is running" in instance.make("status").stdout


def instance_services(instance):
    from stack.embedded.services import services

    return services(instance.settings())
