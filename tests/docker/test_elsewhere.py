"""Another PostgreSQL, Airbyte or MLflow in place of the stack's own."""

import pytest
from docker_testing import PASSWORD
from faraway import Faraway, NearStack

READY = (0, "Settings, secrets and databases are ready.")
DATABASES = ["airflow", "mlflow", "optuna", "warehouse"]
OWNERS = "select datname from pg_database where datname = pg_get_userbyid(datdba) and datname != 'postgres' order by 1"
CONNECTIONS = (
    "from stack.compose.settings import load; from stack.airbyte import local_api;"
    "api = local_api(load()); print(api.url, *sorted(each['name'] for each in api.list('connections')))"
)


@pytest.fixture(scope="module")
def faraway(our_images):
    """A network for services elsewhere."""
    faraway = Faraway()
    yield faraway
    faraway.remove()


@pytest.fixture(scope="module")
def server(faraway):
    """PostgreSQL elsewhere: its name and itself."""
    return faraway.postgres()


@pytest.fixture(scope="module")
def services(faraway, server, tmp_path_factory):
    """What `.env` says where all three are elsewhere."""
    name, postgres = server
    return {
        "POSTGRES_HOST": name,
        "POSTGRES_PASSWORD": PASSWORD,
        "AIRBYTE_URL": faraway.airbyte(postgres, name),
        "AIRBYTE_CLIENT_ID": "far",
        "AIRBYTE_CLIENT_SECRET": PASSWORD,
        "MLFLOW_URL": faraway.mlflow(tmp_path_factory.mktemp("mlflow")),
        "MLFLOW_USERNAME": "far",
        "MLFLOW_PASSWORD": PASSWORD,
    }


@pytest.fixture(scope="module")
def near(faraway, tmp_path_factory):
    """A stack that reaches them."""
    stack = NearStack(tmp_path_factory.mktemp("near"), faraway)
    yield stack
    stack.delete()


def test_services_elsewhere_are_used_and_the_own_ones_are_not_started(near, server, services):
    near.set(**services)
    near.compose("up", "--detach", "--no-build", "connect")
    near.compose("wait", "connect", check=False)
    found = near.containers()
    assert found.keys() == {"init", "connect", "airflow-api-server", "airflow-dag-processor"}
    assert found["connect"]["State"]["ExitCode"] == 0, near.compose("logs", "connect").stdout
    assert server[1].sql(OWNERS) == DATABASES
    words = ("run", "--rm", "--no-deps", "-T", "--entrypoint", "python", "connect", "-c", CONNECTIONS)
    assert near.compose(*words).stdout.splitlines()[-1].split() == [
        f"{services['AIRBYTE_URL']}/api/public/v1",
        "projects",
        "tags",
    ]
    shown = near.make("--silent", "password").stdout
    assert f"{services['MLFLOW_URL']}  user far  password {PASSWORD}" in shown


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        ({"POSTGRES_PASSWORD": "wrong"}, "correct POSTGRES_HOST, _PORT, _USER and _PASSWORD in .env"),
        ({"AIRBYTE_CLIENT_SECRET": "wrong"}, "correct AIRBYTE_CLIENT_ID and AIRBYTE_CLIENT_SECRET in .env"),
        ({"AIRBYTE_URL": "http://far-airbyte:1"}, "AIRBYTE_URL: http://far-airbyte:1/"),
        ({"AIRBYTE_URL": "http://far-mlflow:5000/health?"}, "as another program would"),
        ({"MLFLOW_PASSWORD": "wrong"}, "correct MLFLOW_USERNAME and MLFLOW_PASSWORD in .env"),
        ({"MLFLOW_URL": "http://nowhere.invalid"}, "does not answer"),
        ({"MLFLOW_USERNAME": ""}, "MLFLOW_USERNAME and MLFLOW_PASSWORD go together"),
        ({"POSTGRES_PASSWORD": ""}, "POSTGRES_HOST needs POSTGRES_PASSWORD"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_is_wrong_with_a_service_elsewhere_is_one_line_with_the_remedy(near, services, wrong, remedy):
    near.set(**services)
    code, told = near.init(**wrong)
    assert (code, len(told.splitlines())) == (1, 1)
    assert remedy in told
    assert PASSWORD not in told


def test_a_role_that_may_create_databases_and_roles_is_enough(near, faraway, server):
    name, postgres = server
    for database in DATABASES:
        postgres.sql(f"drop database if exists {database} with (force)")
        postgres.sql(f"drop role if exists {database}")
    postgres.sql("drop role if exists keeper")
    postgres.sql("create role keeper login createdb password 'secret'")
    near.set(POSTGRES_HOST=name, POSTGRES_USER="keeper", POSTGRES_PASSWORD="secret")
    code, told = near.init()
    assert (code, "CREATEDB and CREATEROLE" in told) == (1, True)
    postgres.sql("alter role keeper createrole")
    assert near.init() == READY
    assert near.init() == READY
    assert postgres.sql(OWNERS) == DATABASES


def test_a_server_of_the_latest_version_is_prepared_too(near, faraway):
    name, postgres = faraway.postgres(18)
    near.set(POSTGRES_HOST=name, POSTGRES_PASSWORD=PASSWORD)
    assert near.init() == READY
    assert postgres.sql(OWNERS) == DATABASES
