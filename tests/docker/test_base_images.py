"""The base images, official or stand-ins: what our images and docker-compose.yml rely on."""

import json
import re
import shutil
from pathlib import Path

import pytest
from docker_testing import LABEL, PASSWORD, run, wait_until

pytestmark = pytest.mark.xdist_group("base images")

PYTHON = "python:3.11-slim-bookworm"
POSTGRES = "postgres:17"
HARDENED = ["--user=postgres", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
HARDENED += ["--tmpfs=/var/run/postgresql", "--tmpfs=/tmp"]


@pytest.fixture
def init_folder(tmp_path):
    """A folder for the first start's scripts."""
    folder = tmp_path / "init"
    folder.mkdir()
    return folder


def mounted(folder):
    """The option that makes a folder the init folder."""
    return f"--volume={folder}:/docker-entrypoint-initdb.d:ro"


def python(*words, **options):
    """The output of a container of the Python image, without a network."""
    label = f"--label={LABEL}"
    return run("docker", "run", "--rm", "--interactive", "--network=none", label, PYTHON, *words, **options).stdout


def configuration(image):
    """An image's configuration."""
    return json.loads(run("docker", "inspect", image).stdout)[0]["Config"]


def files(image):
    """Sizes of an image's files by name."""
    container = run("docker", "create", f"--label={LABEL}", image).stdout.strip()
    listed = run("sh", "-c", f"docker export {container} | tar -t --verbose --numeric-owner").stdout.splitlines()
    words = [line.split(maxsplit=5) for line in listed if line.startswith("-")]
    return {each[5]: int(each[2]) for each in words}


@pytest.mark.usefixtures("base_images")
def test_python_is_3_11_under_all_its_names_and_makes_virtual_environments_with_and_without_pip():
    version = "import sys; print(*sys.version_info[:2])"
    lines = [f"{name} -c '{version}'" for name in ("python", "python3", "python3.11", "/usr/local/bin/python3.11")]
    lines += ["python -m venv /a", "/a/bin/pip --version", "python -m venv --without-pip /b"]
    lines += ["/b/bin/python -c 'import ssl; print(ssl.OPENSSL_VERSION)'"]
    said = python("sh", "-c", " && ".join(lines)).splitlines()
    assert said[:4] == ["3 11"] * 4
    assert "/a/lib/python3.11/site-packages/pip" in said[4]
    assert said[5].startswith("OpenSSL")


@pytest.mark.usefixtures("base_images")
def test_the_python_image_runs_python_with_utf_8():
    said = python(input="import os, sys; print(os.environ['LANG'], sys.stdout.encoding)")
    assert said.split() == ["C.UTF-8", "utf-8"]


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize("image", [PYTHON, POSTGRES])
def test_a_stand_in_contains_nothing_of_the_machine_that_built_it(image):
    found = files(image)
    assert not [
        name for name in found if name.startswith(("var/lib/apt/lists/", "var/cache/apt/", "var/log/", "run/b"))
    ]
    assert not [name for name in found if "snakeoil" in name or name.startswith("etc/apt/auth.conf")]
    assert found.get("etc/resolv.conf", 0) == found.get("etc/hostname", 0) == 0
    words = ["--entrypoint=sh", image, "-c", "cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null"]
    lines = run("docker", "run", "--rm", f"--label={LABEL}", *words, check=False).stdout.splitlines()
    debian = re.search('^DEF_MIRROR="(.+)/debian"$', Path(shutil.which("debootstrap")).read_text(), re.MULTILINE)[1]
    assert {line.split()[1].rpartition("/")[0] for line in lines} == {debian}
    assert "stand-in" in configuration(image)["Labels"]


@pytest.mark.usefixtures("base_images")
def test_the_configuration_of_postgres_is_the_official_one():
    found = configuration(POSTGRES)
    assert (found["Entrypoint"], found["Cmd"]) == (["docker-entrypoint.sh"], ["postgres"])
    assert (found["StopSignal"], list(found["Volumes"])) == ("SIGINT", ["/var/lib/postgresql/data"])
    assert list(found["ExposedPorts"]) == ["5432/tcp"]
    assert {"PG_MAJOR=17", "PGDATA=/var/lib/postgresql/data", "LANG=en_US.utf8"} <= set(found["Env"])
    line = "id -u postgres; id -g postgres; psql --version; pg_dump --version; pg_restore --version"
    said = run("docker", "run", "--rm", f"--label={LABEL}", "--entrypoint=sh", POSTGRES, "-c", line).stdout.splitlines()
    assert said[:2] == ["999", "999"]
    assert ["17." in line for line in said[2:]] == [True] * 3


def assert_runs_as_postgres(server):
    """The server and its files belong to the user postgres."""
    line = 'stat -c %U:%u /proc/1 "$PGDATA/base"'
    assert server.shell(line).stdout.split() == ["postgres:999"] * 2


def test_the_first_start_creates_user_and_database_and_runs_the_init_folder_in_order(new_postgres, init_folder):
    (init_folder / "01.sql").write_text(
        "create table steps (n serial, text text); insert into steps (text) values ('sql')"
    )
    (init_folder / "02.sh").write_text(
        'psql -qU "$POSTGRES_USER" "$POSTGRES_DB" -c "insert into steps (text) values (\'sh\')"'
    )
    (init_folder / "03.sql").write_text("insert into steps (text) values ('zipped')")
    run("gzip", str(init_folder / "03.sql"))
    (init_folder / "notes.txt").write_text("this is no script")
    variables = {"POSTGRES_PASSWORD": PASSWORD, "POSTGRES_USER": "keeper", "POSTGRES_DB": 'the "data"'}
    server = new_postgres(mounted(init_folder), **variables).ready()
    assert_runs_as_postgres(server)
    steps = "select text from steps order by n"
    database = "'the \"data\"'"
    assert server.sql(steps, database=database) == ["sql", "sh", "zipped"]
    assert server.sql("select rolsuper from pg_roles where rolname = current_user") == ["t"]
    assert server.sql("show server_encoding") == ["UTF8"]
    run("docker", "stop", "--time", "60", server.id)
    assert "received fast shutdown request" in server.log()
    assert server.exit_code() == 0
    run("docker", "rm", server.id)
    second = new_postgres(mounted(init_folder), volume=server.volume, **variables).ready()
    assert second.sql(steps, database=database) == ["sql", "sh", "zipped"]
    assert "password authentication failed" in second.refusal(password="wrong")


def test_user_database_and_password_can_come_from_files(new_postgres, tmp_path):
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name, value in {"PASSWORD": PASSWORD, "USER": "keeper", "DB": "data"}.items():
        (secrets / name).write_text(f"{value}\n")
        (secrets / name).chmod(0o600)
    variables = {f"POSTGRES_{name}_FILE": f"/secrets/{name}" for name in ("PASSWORD", "USER", "DB")}
    server = new_postgres(f"--volume={secrets}:/secrets:ro", **variables).ready()
    assert server.sql("select current_database()", user="keeper", database="data") == ["data"]
    assert "password authentication failed" in server.refusal(user="keeper", password="wrong")


def test_a_hardened_server_uses_the_given_arguments_and_folder_and_its_data_outlive_the_container(new_postgres):
    variables = {"POSTGRES_INITDB_ARGS": "--data-checksums --locale 'C'", "PGDATA": "/var/lib/postgresql/data/below"}
    options = {"command": ["-c", "max_connections=17"], "POSTGRES_PASSWORD": PASSWORD, **variables}
    first = new_postgres(*HARDENED, **options).ready()
    assert_runs_as_postgres(first)
    shown = first.sql("show data_checksums; show data_directory; show max_connections")
    assert shown == ["on", variables["PGDATA"], "17"]
    assert first.sql("select datcollate from pg_database where datname = 'postgres'") == ["C"]
    first.sql("create table kept as select 7 as n")
    run("docker", "rm", "--force", first.id)
    second = new_postgres(*HARDENED, volume=first.volume, **options).ready()
    assert second.sql("select n from kept") == ["7"]


def test_without_a_password_the_server_starts_only_if_it_is_told_to_trust_everybody(new_postgres):
    server = new_postgres().start()
    assert server.exit_code() == 1
    assert "POSTGRES_PASSWORD" in server.log()
    server = new_postgres(volume=server.volume, POSTGRES_HOST_AUTH_METHOD="trust").ready()
    assert server.sql("select 1", password="") == ["1"]


def test_a_password_given_twice_is_refused(new_postgres):
    server = new_postgres(POSTGRES_PASSWORD=PASSWORD, POSTGRES_PASSWORD_FILE="/none").start()
    assert server.exit_code() == 1
    assert "both" in server.log()


@pytest.mark.usefixtures("stand_ins")
def test_a_first_start_that_failed_or_was_killed_is_repeated_by_the_next_start(new_postgres, init_folder, tmp_path):
    gate = tmp_path / "gate"
    gate.mkdir()
    (init_folder / "01.sql").write_text("create table made as select 7 as n")
    waits = "[ ! -e /gate/waits ] || { echo waiting; cat /gate/pipe; }"
    (init_folder / "02.sh").write_text(f"[ -e /gate/open ] || {{ {waits}; exit 3; }}\n")
    run("mkfifo", str(gate / "pipe"))
    server = new_postgres(mounted(init_folder), f"--volume={gate}:/gate:ro", POSTGRES_PASSWORD=PASSWORD).start()
    assert server.exit_code() == 3
    (gate / "waits").touch()
    server.start()
    wait_until(lambda: "waiting" in server.log())
    run("docker", "kill", "--signal=KILL", server.id)
    assert server.exit_code() == 137
    (gate / "open").touch()
    assert server.ready().sql("select n from made") == ["7"]
    assert not [name for name in server.shell("ls -A $PGDATA").stdout.split() if name.startswith(".")]
    # As after a kill while the finished cluster was moved into place.
    run("docker", "stop", "--time", "60", server.id)
    back = "cd /data && mkdir .made && chown 999:999 .made && mv PG_VERSION base global .made"
    mount = f"--volume={server.volume}:/data"
    run("docker", "run", "--rm", f"--label={LABEL}", mount, "--entrypoint=sh", POSTGRES, "-c", back)
    assert server.ready().sql("select n from made") == ["7"]
    assert ".made" not in server.shell("ls -A $PGDATA").stdout


@pytest.mark.usefixtures("stand_ins")
def test_a_folder_with_other_files_is_left_unchanged(new_postgres):
    first = new_postgres(POSTGRES_PASSWORD=PASSWORD)
    mount = f"--volume={first.volume}:/data"
    shell = ["docker", "run", "--rm", f"--label={LABEL}", mount, "--entrypoint=sh", POSTGRES, "-c"]
    run(*shell, "echo mine >/data/letter")
    assert first.start().exit_code() == 1
    assert "no cluster" in first.log()
    assert run(*shell, "ls -A /data; cat /data/letter").stdout.split() == ["letter", "mine"]
