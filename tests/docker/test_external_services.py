"""An external PostgreSQL, Airbyte or MLflow in place of the stack's own."""

import pytest
from docker_testing import PASSWORD
from external_testing import ConnectedStack, ExternalServices

pytestmark = pytest.mark.xdist_group("external services")

READY = (0, "Settings, secrets and databases are ready.")
DATABASES = ["airflow", "mlflow", "optuna", "warehouse"]
OWNERS = "select datname from pg_database where datname = pg_get_userbyid(datdba) and datname != 'postgres' order by 1"
CONNECTIONS = (
    "from pathlib import Path; from stack.compose.settings import load; from stack.airbyte import local_api;"
    "api = local_api(load(Path('/var/lib/mlops')));"
    "print(api.url, *sorted(each['name'] for each in api.list('connections')))"
)


@pytest.fixture(scope="module")
def external(our_images):
    """A network for external services."""
    external = ExternalServices()
    yield external
    external.remove()


@pytest.fixture(scope="module")
def server(external):
    """An external PostgreSQL: its name and itself."""
    return external.postgres()


@pytest.fixture(scope="module")
def settings(external, server, tmp_path_factory):
    """The lines of `.env` when all three services are external; the user may not create roles yet."""
    name, postgres = server
    postgres.sql("create role keeper login createdb password 'secret'")
    return {
        "POSTGRES_HOST": name,
        "POSTGRES_USER": "keeper",
        "POSTGRES_PASSWORD": "secret",
        "AIRBYTE_URL": external.airbyte(postgres, name),
        "AIRBYTE_CLIENT_ID": "far",
        "AIRBYTE_CLIENT_SECRET": PASSWORD,
        "MLFLOW_URL": external.mlflow(tmp_path_factory.mktemp("mlflow")),
        "MLFLOW_USERNAME": "far",
        "MLFLOW_PASSWORD": PASSWORD,
    }


@pytest.fixture(scope="module")
def connected(external, tmp_path_factory):
    """A stack that reaches them."""
    stack = ConnectedStack(tmp_path_factory.mktemp("connected"), external)
    yield stack
    stack.delete()


def test_each_problem_with_an_external_service_is_one_line_with_the_fix(connected, settings):
    problems = [
        ({"POSTGRES_PASSWORD": "wrong"}, "correct POSTGRES_HOST, _PORT, _USER and _PASSWORD in .env"),
        ({"AIRBYTE_CLIENT_SECRET": "wrong"}, "correct AIRBYTE_CLIENT_ID and AIRBYTE_CLIENT_SECRET in .env"),
        ({"AIRBYTE_URL": "http://far-airbyte:1"}, "AIRBYTE_URL: http://far-airbyte:1/"),
        ({"AIRBYTE_URL": "http://far-mlflow:5000/health?"}, "AIRBYTE_URL: http://far-mlflow:5000/health?"),
        ({"MLFLOW_PASSWORD": "wrong"}, "correct MLFLOW_USERNAME and MLFLOW_PASSWORD in .env"),
        ({"MLFLOW_URL": "http://nowhere.invalid"}, "MLFLOW_URL: http://nowhere.invalid/"),
        ({"MLFLOW_USERNAME": ""}, "MLFLOW_USERNAME and MLFLOW_PASSWORD"),
        ({"POSTGRES_PASSWORD": ""}, "POSTGRES_HOST needs POSTGRES_PASSWORD"),
        ({}, "CREATEDB and CREATEROLE"),
    ]
    connected.set(**settings)
    answers = connected.init(*(variables for variables, _ in problems))
    assert len(answers) == len(problems)
    for (code, output), (variables, fix) in zip(answers, problems, strict=True):
        assert (code, len(output.splitlines())) == (1, 1), (variables, output)
        assert fix in output
        assert PASSWORD not in output


def test_external_services_are_used_and_the_own_ones_are_not_started(connected, server, settings):
    # The right to create databases and roles is enough.
    server[1].sql("alter role keeper createrole")
    connected.set(**settings)
    connected.compose("up", "--detach", "--no-build", "connect")
    connected.compose("wait", "connect", check=False)
    found = connected.containers()
    assert found.keys() == {"init", "connect", "airflow-api-server", "airflow-dag-processor"}
    assert found["connect"]["State"]["ExitCode"] == 0, connected.compose("logs", "connect").stdout
    assert server[1].sql(OWNERS) == DATABASES
    words = ("run", "--rm", "--no-deps", "-T", "--entrypoint", "python", "connect", "-c", CONNECTIONS)
    assert connected.compose(*words).stdout.splitlines()[-1].split() == [
        f"{settings['AIRBYTE_URL']}/api/public/v1",
        "projects",
        "tags",
    ]
    shown = connected.make("--silent", "password", "PLACE=compose").stdout
    assert f"{settings['MLFLOW_URL']}  user far  password {PASSWORD}" in shown
    assert connected.init() == [READY]
    assert server[1].sql(OWNERS) == DATABASES


@pytest.mark.slow
def test_a_server_of_the_latest_version_is_prepared_too(connected, external):
    name, postgres = external.postgres(18)
    connected.set(POSTGRES_HOST=name, POSTGRES_PASSWORD=PASSWORD)
    assert connected.init() == [READY]
    assert postgres.sql(OWNERS) == DATABASES
