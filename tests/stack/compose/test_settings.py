"""What `.env` may say, and that a wrong word in it is named."""

import os

import pytest

from stack.compose import settings as compose_settings
from stack.compose.settings import Environment, environment_of
from stack.settings import ConfigError


@pytest.fixture
def env(tmp_path):
    """Reads a `.env` of these lines: `env("NAME=value", …, VARIABLE="of the caller")`."""

    def read(*lines, **given):
        (tmp_path / ".env").write_text("\n".join(lines), encoding="utf-8")
        return environment_of(tmp_path / ".env", given)

    return read


@pytest.fixture
def refused(env):
    """Why a `.env` of these lines is refused."""

    def read(*lines, **given):
        with pytest.raises(ConfigError) as caught:
            env(*lines, **given)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return read


def test_without_a_file_the_defaults_hold(tmp_path):
    assert environment_of(tmp_path / ".env", {}) == Environment()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("AIRFLOW_PROT", "AIRFLOW_PORT"),
        ("airflow_port", "AIRFLOW_PORT"),
        ("AIRFLOW-PORT", "AIRFLOW_PORT"),
        ("SOURCE_FOLDERS", "SOURCE_FOLDER"),
        ("POSTGRESS_PASSWORD", "POSTGRES_PASSWORD"),
        ("SOURCE_BUCKIT", "SOURCE_BUCKET"),
    ],
)
def test_a_misspelt_name_is_told_with_the_one_that_was_meant(refused, monkeypatch, written, meant):
    monkeypatch.setattr(compose_settings, "_names_of_connections", lambda: {"SOURCE_BUCKET"})
    assert f".env: there is no setting {written} (did you mean {meant}?)" in refused(f"{written}=secret 7")
    assert "secret" not in refused(f"{written}=secret")


def test_every_unknown_name_is_told_and_one_that_is_like_none_too(refused):
    told = refused("QWXYZ=1", "MLFLOW_PROT=1")
    assert "no setting QWXYZ; there is no setting MLFLOW_PROT (did you mean MLFLOW_PORT?)" in told
    assert ".env.example lists all: APPLICATIONS, SOURCE_FOLDER, SOURCE_URL, AIRFLOW_PORT" in told


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["AIRFLOW_PORT=99999"], "AIRFLOW_PORT: Input should be less than or equal to 65535, not '99999'"),
        (["AIRFLOW_PORT=80"], "AIRFLOW_PORT: Input should be greater than or equal to 1024, not '80'"),
        (["MLFLOW_PORT=five"], "MLFLOW_PORT: Input should be a valid integer"),
        (["POSTGRES_PORT=0"], "POSTGRES_PORT: Input should be greater than or equal to 1, not '0'"),
        (["AIRFLOW_PORT=5000"], "AIRFLOW_PORT, MLFLOW_PORT, AIRBYTE_PORT and DOCS_PORT must differ"),
        (["SOURCE_URL=here"], "SOURCE_URL: Input should be a valid URL"),
        (["SOURCE_URL=ftp://here"], "SOURCE_URL: URL scheme should be 'http' or 'https', not 'ftp://here'"),
        (["MLFLOW_URL=mlflow:5000"], "MLFLOW_URL: URL scheme should be 'http' or 'https'"),
        (["POSTGRES_HOST=db"], "POSTGRES_HOST needs POSTGRES_PASSWORD"),
        (["POSTGRES_HOST=db", "POSTGRES_PASSWORD="], "POSTGRES_HOST needs POSTGRES_PASSWORD"),
        (
            ["AIRBYTE_URL=http://a", "AIRBYTE_CLIENT_ID=me"],
            "AIRBYTE_URL needs AIRBYTE_CLIENT_ID and AIRBYTE_CLIENT_SECRET",
        ),
        (["DOCKER_SOCKET=/var/run/docker.sock"], "DOCKER_SOCKET and DOCKER_GROUP go together"),
        (["DOCKER_GROUP=docker"], "DOCKER_GROUP: Input should be a valid integer"),
        (["MLFLOW_USERNAME=me"], "MLFLOW_USERNAME and MLFLOW_PASSWORD go together"),
        (["MLFLOW_PASSWORD=x"], "MLFLOW_USERNAME and MLFLOW_PASSWORD go together"),
    ],
)
def test_an_impossible_value_is_told_by_its_name(refused, lines, told):
    assert told in refused(*lines)


def test_all_impossible_values_are_told_at_once_and_no_password_among_them(refused):
    told = refused("AIRFLOW_PORT=1", "SOURCE_URL=x", "POSTGRES_HOST=db")
    assert told.index("SOURCE_URL") < told.index("AIRFLOW_PORT")
    assert "hidden" not in refused("MLFLOW_PASSWORD=hidden", "AIRFLOW_PORT=1")


@pytest.mark.parametrize(
    "line",
    [
        "AIRFLOW_PORT=9090",
        "export AIRFLOW_PORT=9090",
        'AIRFLOW_PORT="9090"',
        "AIRFLOW_PORT='9090'",
        "AIRFLOW_PORT=9090 # the other one",
        "  AIRFLOW_PORT = 9090",
        "# AIRFLOW_PROT=7\n\nAIRFLOW_PORT=9090\r",
        "AIRFLOW_PORT=1\nAIRFLOW_PORT=9090",
    ],
)
def test_quotes_comments_spaces_and_export_are_read_as_a_shell_does(env, line):
    assert env(line).airflow_port == 9090


def test_an_empty_value_is_the_default(env):
    lines = [f"{name.upper()}=" for name in Environment.model_fields]
    assert env(*lines) == env(*(f"{line}''" for line in lines)) == Environment()


def test_what_the_caller_sets_counts_more_and_an_empty_one_is_the_default(env):
    assert env("AIRFLOW_PORT=9090", AIRFLOW_PORT="9091").airflow_port == 9091
    assert env("AIRFLOW_PORT=9090", AIRFLOW_PORT="").airflow_port == 8080


def test_a_password_may_hold_any_sign_in_single_quotes(env):
    login = env("MLFLOW_USERNAME=me", "MLFLOW_PASSWORD='a $b #c \"d\" ${e}'")
    assert login.mlflow_password.get_secret_value() == 'a $b #c "d" ${e}'
    assert "$b" not in repr(login)


@pytest.mark.parametrize("name", ["COMPOSE_PROJECT_NAME", "COMPOSE_FILE", "DOCKER_HOST", "http_proxy", "NO_PROXY"])
def test_names_of_docker_and_of_proxies_are_not_ours(env, name):
    assert env(f"{name}=x") == Environment()


def test_names_that_airbytes_connections_use_are_known(env, monkeypatch, tmp_path):
    folder = tmp_path / "root" / "airbyte"
    folder.mkdir(parents=True)
    (folder / "connections.yaml").write_text("bucket: ${SOURCE_BUCKET}\n")
    (folder / "connections.compose.yaml").write_text("key: ${SOURCE_KEY}\n")
    monkeypatch.setattr(compose_settings, "ROOT", tmp_path / "root")
    assert env("SOURCE_BUCKET=b", "SOURCE_KEY=k") == Environment()


@pytest.mark.parametrize("line", ["AIRFLOW_PORT: 9090", "just words", "MLFLOW_PASSWORD='hidden", "=hidden"])
def test_a_line_that_is_no_setting_is_told_by_its_number_alone(refused, line):
    assert refused("AIRFLOW_PORT=9090", line) == ".env: line 2 is not NAME=value, or a quote is missing"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_only_its_owner_reads_is_told_with_the_remedy(tmp_path):
    (tmp_path / ".env").touch(mode=0)
    with pytest.raises(ConfigError, match=r"chmod a\+r \.env"):
        environment_of(tmp_path / ".env", {})


def test_a_file_that_is_no_text_is_told(tmp_path):
    (tmp_path / ".env").write_bytes(b"AIRFLOW_PORT=\xff\xfe")
    with pytest.raises(ConfigError, match=r"\.env cannot be read: .*utf-8"):
        environment_of(tmp_path / ".env", {})
