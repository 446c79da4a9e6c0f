"""`make up` on a new instance."""

import httpx
import pytest

from stack.embedded.services import services

pytestmark = pytest.mark.xdist_group("watching")


def test_up_serves_airflow_behind_a_login_and_mlflow(watching, up):
    settings = watching.settings
    airflow = httpx.Client(base_url=settings.url("airflow"), timeout=60)
    assert airflow.get("/api/v2/dags").status_code == httpx.codes.UNAUTHORIZED
    login = {"username": "admin", "password": settings.secrets["admin"]}
    token = airflow.post("/auth/token", json=login).raise_for_status().json()["access_token"]
    dags = airflow.get("/api/v2/dags", headers={"Authorization": f"Bearer {token}"}).json()["dags"]
    assert {dag["dag_id"]: dag["is_paused"] for dag in dags} == dict.fromkeys(("dataops", "mlops", "watch"), False)
    assert "dataops" in {dag["dag_id"] for dag in dags if dag["timetable_summary"]}
    assert httpx.get(settings.url("mlflow"), timeout=60).is_success


def test_only_the_first_up_shows_the_passwords(watching, up):
    assert watching.settings.secrets["admin"] in up.stdout
    again = watching.make("up")
    assert again.returncode == 0, again.stdout
    assert watching.settings.secrets["admin"] not in again.stdout


def test_status_lists_every_service_as_running(watching, up):
    assert watching.make("status").stdout.count("running") == len(services(watching.settings, stay=True))
