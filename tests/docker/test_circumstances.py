"""The container stack where something is not as it should be: one line that names it, and a start that goes on."""

import re
import socket

import pytest
from docker_testing import wait_until

from devtools.ports import free_port
from stack.compose import doctor as compose_doctor
from stack.compose.settings import Environment

VERSION = "cat $PGDATA/PG_VERSION"
SERVED = ("AIRFLOW", "MLFLOW", "AIRBYTE", "DOCS")
# PostgreSQL's own volume, as the init job has it.
OWN = "/run/mlops-volumes/postgres"


@pytest.fixture
def doctor(project, monkeypatch):
    """Looks at the project as `make doctor PLACE=compose` does; returns the checks by name."""
    ports = {f"{name}_PORT": str(free_port()) for name in SERVED}
    project.env(*(f"{name}={port}" for name, port in ports.items()))
    # Empty ones count more than a `.env` that may be here, and are the defaults.
    defaults = {name.upper(): "" for name in Environment.model_fields}
    for name, value in (defaults | ports | {"COMPOSE_PROJECT_NAME": project.name}).items():
        monkeypatch.setenv(name, value)
    return lambda: {check.name: check for check in compose_doctor.checks()}


def said(project, service="init"):
    """The one line that a service ends with."""
    lines = [line for line in project.log(service).splitlines() if line.strip()]
    assert "Traceback" not in project.log(service)
    return lines[-1]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["AIRFLOW_PROT=8090"], ".env: there is no setting AIRFLOW_PROT (did you mean AIRFLOW_PORT?)"),
        (["POSTGRES_HOST=db"], ".env: POSTGRES_HOST needs POSTGRES_PASSWORD"),
        (["SOURCE_URL=here"], ".env: SOURCE_URL: Input should be a valid URL"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_a_line_that_names_it(project, lines, told):
    project.env(*lines)
    done = project.compose("up", "--no-color", "--exit-code-from", "init", "init", check=False)
    assert done.returncode
    assert told in done.stdout
    assert "Traceback" not in done.stdout


def test_an_env_file_that_containers_cannot_read_stops_the_start_with_the_remedy(project):
    (project.clone / ".env").chmod(0o600)
    done = project.compose("run", "--rm", "--no-deps", "init", check=False)
    assert done.returncode
    assert ".env cannot be read by the containers' user: `chmod a+r .env`" in done.stdout


@pytest.mark.parametrize(("layout", "told"), [("0", "another version (layout 0"), ("7", "a newer version (layout 7")])
def test_a_volume_of_another_layout_stops_the_start(project, doctor, layout, told):
    project.shell("init", f"echo {layout} >/var/lib/mlops/layout")
    done = project.compose("run", "--rm", "--no-deps", "init", check=False)
    assert done.returncode
    assert f"the volume `var` was written by {told}, this one has 1): " in done.stdout
    assert "`make restore FILE=…`" in done.stdout
    assert project.shell("init", "ls /var/lib/mlops").stdout.split()[-1] == "layout"
    assert told in doctor()["volumes"].found


@pytest.mark.usefixtures("our_images")
def test_before_the_first_start_doctor_finds_nothing_that_would_stop_it(doctor):
    found = doctor()
    assert {"Docker", "Compose", "settings", "code", "source", "ports", "memory", "disk", "images", "volumes"} == set(
        found
    )
    assert not [check for check in found.values() if check.state == "fail"]
    assert found["volumes"].found == "none yet"


@pytest.mark.usefixtures("our_images")
def test_a_source_folder_that_is_not_there_is_told_by_compose_and_by_doctor(project, doctor, monkeypatch):
    project.env("SOURCE_FOLDER=/nowhere/at/all")
    done = project.compose("create", "airbyte", check=False)
    assert done.returncode
    assert "/nowhere/at/all" in done.stdout
    monkeypatch.setenv("SOURCE_FOLDER", "/nowhere/at/all")
    assert doctor()["source"].found == "SOURCE_FOLDER: /nowhere/at/all is no folder"


@pytest.mark.usefixtures("our_images")
def test_a_port_that_is_taken_is_told_by_compose_and_by_doctor(project, doctor, monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        project.env(f"AIRBYTE_PORT={port}")
        done = project.compose("up", "--detach", "--no-deps", "airbyte", check=False)
        assert done.returncode
        assert f"127.0.0.1:{port}" in done.stdout
        monkeypatch.setenv("AIRBYTE_PORT", port)
        check = doctor()["ports"]
    assert check.found == f"port {port} is taken, and airbyte needs it"
    assert "set AIRBYTE_PORT in .env" in check.remedy


def test_a_postgres_volume_of_another_version_is_told_by_the_init_job_too_and_stays(project, doctor):
    project.shell("postgres", "echo 16 >$PGDATA/PG_VERSION")
    project.start()
    assert project.exit_code("init") == 1
    told = "the volume `postgres` holds a cluster of PostgreSQL 16, and this image is PostgreSQL 17: `make backup`"
    assert said(project).startswith(told)
    assert told in project.log("postgres")
    assert project.shell("postgres", VERSION).stdout.split()[-1] == "16"
    assert told.startswith(doctor()["volumes"].found)


def test_a_postgres_volume_of_other_secrets_is_told_and_the_documented_way_out_works(project):
    project.shell(
        "init", "echo other >/run/mlops-volumes/postgres/password && mkdir -m 777 /run/mlops-volumes/postgres/said"
    )
    project.compose("up", "--detach", "--no-deps", "--wait", "postgres")
    assert project.compose("run", "--rm", "--no-deps", "init", check=False).returncode
    project.compose("up", "--detach", "init")
    assert project.exit_code("init") == 1
    assert said(project).startswith(
        "PostgreSQL refuses the password: its volume was made with another volume of secrets"
    )
    way_out = """echo "alter role postgres password '$(cat /run/mlops/password)'" | psql -qU postgres"""
    project.compose("exec", "-T", "postgres", "sh", "-c", way_out)
    project.compose("up", "--detach", "init")
    wait_until(lambda: "warehouse" in project.sql("select datname from pg_database"))


def test_a_half_made_cluster_that_the_official_image_would_go_on_with_is_made_anew(project):
    project.shell("postgres", "echo 17 >$PGDATA/PG_VERSION && mkdir $PGDATA/base")
    project.shell(
        "init", "cd /run/mlops-volumes/postgres && mkdir -m 777 said && touch said/making && chmod 666 said/making"
    )
    project.start()
    wait_until(lambda: "airflow" in project.sql("select datname from pg_database"))
    assert "The first start was cut short" in project.log("postgres")
    assert "making" not in project.shell("init", f"ls -A {OWN}/said").stdout


def test_a_first_start_that_is_killed_at_any_point_is_finished_by_the_next(project):
    tables = "select count(*) from information_schema.tables where table_schema = 'public'"
    points = [
        (lambda: project.container("postgres"), ["init", "postgres"]),
        (lambda: re.search("initdb|belonging to this database", project.log("postgres")), ["postgres", "init"]),
        (lambda: "warehouse" in project.sql("select datname from pg_database"), ["init"]),
        (lambda: int((project.sql(tables, "airflow") or ["0"])[0]) > 3, ["init", "postgres"]),
    ]
    for reached, killed in points:
        project.start()
        wait_until(reached)
        project.kill(*killed)
    project.start()
    assert project.exit_code("init") == 0
    assert said(project) == "Settings, secrets and databases are ready."
    assert int(project.sql(tables, "airflow")[0]) > 30
    assert project.shell("init", "cat /var/lib/mlops/layout").stdout.split()[-1] == "1"
