"""check: what is wrong with each service that the commands use."""

import threading

import pytest

from tagifai import check as module
from tagifai.check import check


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """A slow machine is no fault; and what the command sets for MLflow is reset."""
    monkeypatch.setattr(module, "PATIENCE", 600)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")


def test_every_service_that_can_be_used_is_fine(make_settings, warehouse, mlflow_url, make_studies):
    studies, _ = make_studies()
    settings = make_settings(warehouse={"type": "postgres", **warehouse}, mlflow=mlflow_url, studies=studies)
    assert check(settings) == dict.fromkeys(("warehouse", "mlflow", "studies", "artifacts"))


def test_each_service_that_does_not_answer_is_named_with_its_address_and_no_password(make_settings):
    # Nothing listens there.
    found = check(make_settings(studies="postgresql+psycopg2://none:hidden@127.0.0.1:1/none"))
    assert "the warehouse 127.0.0.1:1/none refused" in found["warehouse"]
    assert "MLflow at http://127.0.0.1:1 refused" in found["mlflow"]
    assert "the database of the studies refused" in found["studies"]
    assert found["artifacts"] is None
    assert "hidden" not in str(found)


def test_artifacts_that_cannot_be_written_are_named(make_settings, tmp_path):
    (tmp_path / "artifacts").write_text("a file in place of the folder")
    assert "artifacts" in check(make_settings())["artifacts"]


def test_a_service_that_never_answers_is_given_up(settings, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    monkeypatch.setattr(module, "_studies", lambda settings: threading.Event().wait())
    assert "no answer within 0.1 s" in check(settings)["studies"]
