"""The container stack's base images, pulled or stand-ins: what our images and Compose rely on."""

import json
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from docker_testing import LABEL, PASSWORD, run, wait_until

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
    """What a container of the Python image prints, without a network."""
    label = f"--label={LABEL}"
    return run("docker", "run", "--rm", "--interactive", "--network=none", label, PYTHON, *words, **options).stdout


def configuration(image):
    """An image's configuration."""
    return json.loads(run("docker", "inspect", image).stdout)[0]["Config"]


def files(image):
    """Names and sizes of an image's files."""
    container = run("docker", "create", f"--label={LABEL}", image).stdout.strip()
    with subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE) as process:
        with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
            found = {member.name: member.size for member in tar if member.isfile()}
        process.stdout.read()
    return found


@pytest.mark.usefixtures("base_images")
@pytest.mark.parametrize("name", ["python", "python3", "python3.11", "/usr/local/bin/python3.11"])
def test_python_is_3_11_under_all_its_names(name):
    assert python(name, "-c", "import sys; print(*sys.version_info[:2])").split() == ["3", "11"]


@pytest.mark.usefixtures("base_images")
def test_python_is_what_its_image_runs_and_speaks_utf_8():
    assert python(input="import os, sys; print(os.environ['LANG'], sys.stdout.encoding)").split() == [
        "C.UTF-8",
        "utf-8",
    ]


@pytest.mark.usefixtures("base_images")
def test_python_makes_virtual_environments_with_and_without_pip():
    line = (
        "python -m venv /a && /a/bin/pip --version && python -m venv --without-pip /b && /b/bin/python -c 'import ssl'"
    )
    assert "/a/lib/python3.11/site-packages/pip" in python("sh", "-c", line)


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize("image", [PYTHON, POSTGRES])
def test_a_stand_in_holds_nothing_of_the_machine_that_built_it(image):
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


def test_the_first_start_makes_user_database_and_all_of_the_init_folder_in_order(new_postgres, init_folder):
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
    steps = "select text from steps order by n"
    database = "'the \"data\"'"
    assert server.sql(steps, database=database) == ["sql", "sh", "zipped"]
    assert server.sql("select rolsuper from pg_roles where rolname = current_user") == ["t"]
    assert server.sql("show server_encoding") == ["UTF8"]
    run("docker", "stop", "--time", "60", server.id)
    assert "received fast shutdown request" in server.log()
    assert server.exit_code() == 0
    assert server.ready().sql(steps, database=database) == ["sql", "sh", "zipped"]
    assert "password authentication failed" in server.refusal(password="wrong")


def test_names_and_password_come_from_files_too(new_postgres, tmp_path):
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name, value in {"PASSWORD": PASSWORD, "USER": "keeper", "DB": "data"}.items():
        (secrets / name).write_text(f"{value}\n")
        (secrets / name).chmod(0o600)
    variables = {f"POSTGRES_{name}_FILE": f"/secrets/{name}" for name in ("PASSWORD", "USER", "DB")}
    server = new_postgres(f"--volume={secrets}:/secrets:ro", **variables).ready()
    assert server.sql("select current_database()", user="keeper", database="data") == ["data"]
    assert "password authentication failed" in server.refusal(user="keeper", password="wrong")


def test_arguments_of_initdb_and_of_the_server_and_the_folder_are_taken(new_postgres):
    variables = {"POSTGRES_INITDB_ARGS": "--data-checksums --locale 'C'", "PGDATA": "/var/lib/postgresql/data/below"}
    server = new_postgres(command=["-c", "max_connections=17"], POSTGRES_PASSWORD=PASSWORD, **variables).ready()
    assert server.sql("show data_checksums; show data_directory; show max_connections") == [
        "on",
        variables["PGDATA"],
        "17",
    ]
    assert server.sql("select datcollate from pg_database where datname = 'postgres'") == ["C"]


def test_without_a_password_nobody_is_let_in_by_accident(new_postgres):
    server = new_postgres().start()
    assert server.exit_code() == 1
    assert "POSTGRES_PASSWORD" in server.log()
    server = new_postgres(volume=server.volume, POSTGRES_HOST_AUTH_METHOD="trust").ready()
    assert server.sql("select 1", password="") == ["1"]


def test_a_password_given_twice_is_refused(new_postgres):
    server = new_postgres(POSTGRES_PASSWORD=PASSWORD, POSTGRES_PASSWORD_FILE="/none").start()
    assert server.exit_code() == 1
    assert "both" in server.log()


@pytest.mark.parametrize("options", [[], HARDENED], ids=["as root", "without rights"])
def test_the_server_is_the_user_postgres_and_its_data_outlive_the_container(new_postgres, options):
    first = new_postgres(*options, POSTGRES_PASSWORD=PASSWORD).ready()
    assert first.shell("stat -c %U:%u /proc/1 /var/lib/postgresql/data/base").stdout.split() == ["postgres:999"] * 2
    first.sql("create table kept as select 7 as n")
    run("docker", "rm", "--force", first.id)
    second = new_postgres(*options, volume=first.volume).ready()
    assert second.sql("select n from kept") == ["7"]


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize("end", ["a kill", "an error"])
def test_a_first_start_that_was_cut_short_is_begun_again(new_postgres, init_folder, tmp_path, end):
    gate = tmp_path / "gate"
    gate.mkdir()
    (init_folder / "01.sql").write_text("create table made as select 7 as n")
    halt = "cat /gate/pipe" if end == "a kill" else "exit 3"
    (init_folder / "02.sh").write_text(f"[ -e /gate/open ] || {{ echo halted; {halt}; }}\n")
    run("mkfifo", str(gate / "pipe"))
    server = new_postgres(mounted(init_folder), f"--volume={gate}:/gate:ro", POSTGRES_PASSWORD=PASSWORD).start()
    wait_until(lambda: "halted" in server.log())
    if end == "a kill":
        run("docker", "kill", "--signal=KILL", server.id)
    assert server.exit_code() == (137 if end == "a kill" else 3)
    (gate / "open").touch()
    assert server.ready().sql("select n from made") == ["7"]
    assert not [name for name in server.shell("ls -A $PGDATA").stdout.split() if name.startswith(".")]


@pytest.mark.usefixtures("stand_ins")
def test_a_first_start_that_was_killed_while_it_moved_the_cluster_is_finished(new_postgres):
    first = new_postgres(POSTGRES_PASSWORD=PASSWORD).ready()
    first.sql("create table kept as select 7 as n")
    run("docker", "stop", "--time", "60", first.id)
    back = "cd /data && mkdir .made && chown 999:999 .made && mv PG_VERSION base global .made"
    mount = f"--volume={first.volume}:/data"
    run("docker", "run", "--rm", f"--label={LABEL}", mount, "--entrypoint=sh", POSTGRES, "-c", back)
    assert first.ready().sql("select n from kept") == ["7"]
    assert ".made" not in first.shell("ls -A $PGDATA").stdout


@pytest.mark.usefixtures("stand_ins")
def test_a_folder_with_other_files_is_left_alone(new_postgres):
    first = new_postgres(POSTGRES_PASSWORD=PASSWORD)
    mount = f"--volume={first.volume}:/data"
    shell = ["docker", "run", "--rm", f"--label={LABEL}", mount, "--entrypoint=sh", POSTGRES, "-c"]
    run(*shell, "echo mine >/data/letter")
    assert first.start().exit_code() == 1
    assert "holds files, but no cluster" in first.log()
    assert run(*shell, "ls -A /data; cat /data/letter").stdout.split() == ["letter", "mine"]
