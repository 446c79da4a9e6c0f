"""The service's settings: what is missing or wrong is named as the variable to set."""

import pytest
from airbyte_testing import ROOT, service_environment

from airbyte_local import settings

DATABASE = {"host": "localhost", "port": 5433, "database": "warehouse", "user": "warehouse", "password": "the-password"}


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """Sets a whole environment, changed; None removes a variable."""

    def change(**changes):
        given = {**service_environment(DATABASE, tmp_path), "MLOPS_AIRBYTE__PORT": "8001", **changes}
        monkeypatch.delenv("MLOPS_CONFIG", raising=False)
        for name, value in given.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)

    return change


def test_the_environment_and_the_shipped_configuration_are_enough(environment):
    environment()
    loaded = settings.load()
    assert (loaded.airbyte.host, loaded.airbyte.port) == ("127.0.0.1", 8001)
    assert loaded.airbyte.connections == ROOT / "airbyte" / "connections.yaml"
    assert loaded.airbyte.database.conninfo()["password"] == "the-password"
    assert "the-password" not in repr(loaded)


def test_variables_take_precedence_over_the_configuration_file(environment, tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(
        "airbyte: {connections: /from/file.yaml, connectors: c.yaml, check_timeout: 9, job_timeout: 7, attempts: 2}\n"
        "labels: {min_freq: 50}\n"
    )
    environment(MLOPS_CONFIG=str(file), MLOPS_AIRBYTE__JOB_TIMEOUT="9")
    loaded = settings.load()
    assert (str(loaded.airbyte.connections), loaded.airbyte.job_timeout) == ("/from/file.yaml", 9)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("MLOPS_AIRBYTE__CLIENT_ID", None, "Field required"),
        ("MLOPS_AIRBYTE__CLIENT_SECRET", None, "Field required"),
        ("MLOPS_AIRBYTE__SIGNING_KEY", None, "Field required"),
        ("MLOPS_AIRBYTE__SIGNING_KEY", "short", "at least 32"),
        ("MLOPS_AIRBYTE__PORT", "70000", "less than or equal to 65535"),
        ("MLOPS_AIRBYTE__ATTEMPTS", "0", "greater than or equal to 1"),
        ("MLOPS_AIRBYTE__JOB_TIMEOUT", "0", "greater than or equal to 1"),
        ("MLOPS_AIRBYTE__COLOUR", "red", "Extra inputs"),
        ("MLOPS_AIRBYTE__DATABASE__PORT", "0", "greater than or equal to 1"),
        ("MLOPS_VAR", None, "Field required"),
    ],
)
def test_a_setting_that_is_missing_or_wrong_is_reported(environment, name, value, words):
    environment(**{name: value})
    with pytest.raises(settings.SettingsError) as error:
        settings.load()
    (fault,) = str(error.value).split("; ")
    assert fault.startswith(f"{name}: ")
    assert words in fault
    assert "short" not in fault


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_connector_gets_variables_for_the_network_and_no_secrets(monkeypatch, tmp_path, is_ours):
    told = ("PATH", "HOME", "LC_ALL", "TZ", "https_proxy", "NO_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
    untold = ("MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY", "MLOPS_VAR", "UV_INDEX", "PYTHONHOME")
    for name in (*told, *untold, "PYTHONPATH"):
        monkeypatch.setenv(name, "x")
    given = settings.connector_environment("run", tmp_path, is_ours=is_ours)
    assert set(told) <= given.keys()
    assert [name for name in untold if name in given] == []
    assert ("PYTHONPATH" in given) == is_ours
