"""Problems at the start of the container stack: each is one line that names it, and the next start can succeed."""

import re
import socket
from pathlib import Path

import pytest
from docker_testing import wait_until

from devtools.ports import free_port
from stack import places
from stack.compose import doctor as compose_doctor
from stack.compose.settings import Environment

pytestmark = pytest.mark.xdist_group("startup problems")

SERVED = ("AIRFLOW", "MLFLOW", "AIRBYTE", "DOCS")
SOCKET = Path("/var/run/docker.sock")
# The volume with PostgreSQL's password, as the init job sees it.
PASSWORD_VOLUME = "/run/mlops-volumes/postgres"


@pytest.fixture
def doctor_of(monkeypatch):
    """Runs the checks of `make doctor PLACE=compose` on a project; returns them by name."""

    def checks(project, **variables):
        ports = {f"{name}_PORT": str(free_port()) for name in SERVED}
        # Empty variables win over a `.env` of this repository, and mean the defaults.
        defaults = {name.upper(): "" for name in Environment.model_fields}
        for name, value in (defaults | ports | {"COMPOSE_PROJECT_NAME": project.name} | variables).items():
            monkeypatch.setenv(name, value)
        return {check.name: check for check in compose_doctor.checks()}

    return checks


def last_line(project, service="init"):
    """The last line of a service's log, which has no traceback."""
    log = project.log(service)
    assert "Traceback" not in log
    return [line for line in log.splitlines() if line.strip()][-1]


def test_before_the_first_start_doctor_finds_nothing_that_would_stop_it(project, doctor_of):
    found = doctor_of(project)
    basics = {"Docker", "Compose", "settings", "code", "source", "ports", "memory", "disk", "images", "volumes"}
    assert set(found) == basics | {"tasks"}
    assert not [check for check in found.values() if check.state == "fail"]
    assert found["volumes"].found == "none yet"


def test_a_wrong_setting_stops_the_start_with_a_line_that_names_it(shared_project):
    shared_project.env("AIRFLOW_PROT=8090")
    done = shared_project.compose("up", "--no-color", "--exit-code-from", "init", "init", check=False)
    assert done.returncode
    assert ".env: there is no setting AIRFLOW_PROT (did you mean AIRFLOW_PORT?)" in done.stdout
    assert "Traceback" not in done.stdout


def test_an_env_file_that_containers_cannot_read_stops_the_start_with_the_fix(shared_project):
    shared_project.env()
    (shared_project.clone / ".env").chmod(0o600)
    done = shared_project.compose("run", "--rm", "--no-deps", "init", check=False)
    assert done.returncode
    assert ".env cannot be read by the containers' user: `chmod a+r .env`" in done.stdout


@pytest.mark.parametrize(
    ("layout", "problem"), [("0", "another version (layout 0"), ("7", "a newer version (layout 7")]
)
def test_a_volume_of_another_layout_stops_the_start_and_is_not_changed(shared_project, doctor_of, layout, problem):
    shared_project.env()
    shared_project.shell("init", f"echo {layout} >/var/lib/mlops/layout")
    done = shared_project.compose("run", "--rm", "--no-deps", "init", check=False)
    assert done.returncode
    assert f"the volume `var` was written by {problem}, this one has 1): " in done.stdout
    assert "`make restore FILE=…`" in done.stdout
    assert shared_project.shell("init", "ls /var/lib/mlops").stdout.split()[-1] == "layout"
    assert problem in doctor_of(shared_project)["volumes"].found


def test_a_missing_source_folder_is_reported_by_compose_and_by_doctor(shared_project, doctor_of):
    shared_project.env("SOURCE_FOLDER=/nowhere/at/all")
    done = shared_project.compose("create", "airbyte", check=False)
    assert done.returncode
    assert "/nowhere/at/all" in done.stdout
    found = doctor_of(shared_project, SOURCE_FOLDER="/nowhere/at/all")
    assert found["source"].found == "SOURCE_FOLDER: /nowhere/at/all is not a folder"


def test_a_port_in_use_is_reported_by_compose_and_by_doctor(shared_project, doctor_of):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        shared_project.env(f"AIRBYTE_PORT={port}")
        done = shared_project.compose("up", "--detach", "--no-deps", "airbyte", check=False)
        assert done.returncode
        assert f"127.0.0.1:{port}" in done.stdout
        check = doctor_of(shared_project, AIRBYTE_PORT=port)["ports"]
    assert check.found == f"port {port} of airbyte is taken"
    assert "set AIRBYTE_PORT in .env" in check.remedy


def test_doctor_tries_the_engine_for_tasks_as_the_scheduler_would_use_it(shared_project, doctor_of, monkeypatch):
    config = places.config("compose")
    # An image that is there for sure.
    own = config | {"runner": config["runner"] | {"type": "docker", "image": "mlops-init"}}
    monkeypatch.setattr(places, "configs", lambda *_: {"tagifai": own})
    group = SOCKET.stat().st_gid
    given = {"DOCKER_SOCKET": str(SOCKET), "DOCKER_GROUP": str(group)}
    assert doctor_of(shared_project)["settings"].state == "fail"
    assert doctor_of(shared_project, **given)["tasks"].state == "ok"
    wrong = doctor_of(shared_project, **given | {"DOCKER_GROUP": "54321"})["tasks"]
    assert (wrong.state, wrong.remedy) == ("fail", f"set DOCKER_GROUP={group} in .env")
    wrong = doctor_of(shared_project, **given | {"DOCKER_SOCKET": "/dev/null"})["tasks"]
    assert wrong.found == "DOCKER_SOCKET: no Docker engine answers at /dev/null"
    wrong = doctor_of(shared_project, **given | {"DOCKER_SOCKET": "/no/engine.sock"})["tasks"]
    assert "/no/engine.sock" in wrong.found


def test_a_postgres_volume_of_another_version_is_reported_and_not_changed(project, doctor_of):
    project.shell("postgres", "echo 16 >$PGDATA/PG_VERSION")
    project.start()
    assert project.exit_code("init") == 1
    problem = (
        "the volume `postgres` holds a cluster of PostgreSQL 16, and this image is PostgreSQL 17: run `make backup`"
    )
    assert last_line(project).startswith(problem)
    assert problem in project.log("postgres")
    assert project.shell("postgres", "cat $PGDATA/PG_VERSION").stdout.split()[-1] == "16"
    assert problem.startswith(doctor_of(project)["volumes"].found)


def test_a_postgres_volume_of_other_secrets_is_reported_and_the_documented_fix_works(project):
    project.shell("init", f"echo other >{PASSWORD_VOLUME}/password && mkdir -m 777 {PASSWORD_VOLUME}/said")
    project.compose("up", "--detach", "--no-deps", "--wait", "postgres")
    project.compose("up", "--detach", "init")
    assert project.exit_code("init") == 1
    assert last_line(project).startswith("PostgreSQL refuses the password: its volume was created with other secrets")
    fix = """echo "alter role postgres password '$(cat /run/mlops/password)'" | psql -qU postgres"""
    project.compose("exec", "-T", "postgres", "sh", "-c", fix)
    project.compose("up", "--detach", "init")
    wait_until(lambda: "warehouse" in project.sql("select datname from pg_database"))


def test_a_first_start_that_is_killed_at_any_point_is_finished_by_the_next_start(project):
    # As after a kill of the official image: it would continue with this incomplete cluster.
    project.shell("postgres", "echo 17 >$PGDATA/PG_VERSION && mkdir $PGDATA/base")
    marker = "mkdir -m 777 said && touch said/making && chmod 666 said/making"
    project.shell("init", f"cd {PASSWORD_VOLUME} && {marker}")
    tables = "select count(*) from information_schema.tables where table_schema = 'public'"
    points = [
        (lambda: "The first start was interrupted" in project.log("postgres"), ["init", "postgres"]),
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
    assert last_line(project) == "Settings, secrets and databases are ready."
    assert int(project.sql(tables, "airflow")[0]) > 30
    assert project.shell("init", "cat /var/lib/mlops/layout").stdout.split()[-1] == "1"
    assert "making" not in project.shell("init", f"ls -A {PASSWORD_VOLUME}/said").stdout
