"""What `docker compose up` needs of a machine, with a docker program that answers as each test wants."""

import io
import json
import os
import re
import shutil
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from devtools.ports import free_port
from stack import places
from stack.compose import checks as compose_checks
from stack.compose import doctor as compose_doctor
from stack.compose.settings import Environment
from stack.embedded import machine
from stack.errors import StackError
from stack.settings import ROOT

# Prints what there is for the command's first words; it fails where there is nothing, or an error too.
DOCKER = """#!/bin/sh
for name in "$1 $2 $3" "$1 $2" "$1"; do
  file="$(dirname "$0")/answers/$(echo "$name" | tr ' /' '__')"
  if [ -e "$file" ]; then cat "$file"; [ ! -e "$file.error" ] || { cat "$file.error" >&2; exit 1; }; exit 0; fi
done
exit 1
"""
SERVED = ("airflow", "mlflow", "airbyte", "docs")
INFO = {"ServerVersion": "20.10.24+dfsg1", "MemTotal": 16 * 10**9, "DockerRootDir": "/"}


class Docker:
    """A docker program."""

    def __init__(self, folder):
        self.folder = folder / "answers"
        self.folder.mkdir()
        (folder / "docker").write_text(DOCKER)
        (folder / "docker").chmod(0o755)

    def says(self, command, answer="", error=None):
        """Answer a command, by its first words."""
        file = self.folder / command.replace(" ", "_").replace("/", "_")
        file.write_text(answer if isinstance(answer, str) else json.dumps(answer))
        if error is not None:
            file.with_name(f"{file.name}.error").write_text(error)


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """A docker program with an engine and Compose, and nothing else."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sh", "cat", "dirname", "tr"):
        (programs / name).symlink_to(shutil.which(name))
    # Not a shim that looks for other programs.
    (programs / "python3").symlink_to(Path(sys.executable).resolve())
    monkeypatch.setenv("PATH", str(programs))
    for name in Environment.model_fields:
        # Counts more than a `.env` that may be here, and is the default.
        monkeypatch.setenv(name.upper(), "")
    made = Docker(programs)
    made.says("info", INFO)
    made.says("compose version", "2.26.1-4\n")
    return made


@pytest.fixture
def project(docker, tmp_path):
    """A project with free ports and a source of its own."""
    source = tmp_path / "source"
    source.mkdir(mode=0o755)
    for name in ("projects.csv", "tags.csv"):
        (source / name).touch(mode=0o644)
    return made(source, {name: free_port() for name in SERVED})


def made(source, ports, info=None, **environment):
    """A project as Compose has it."""
    environment = Environment(**{f"{name}_port": port for name, port in ports.items()}, **environment)
    services = {name: {"image": f"mlops-{name}", "ports": [{"published": str(port)}]} for name, port in ports.items()}
    services["init"] = {
        "image": "mlops-init",
        "volumes": [{"type": "bind", "source": str(source), "target": "/source"}],
    }
    services["postgres"] = {"image": "postgres:17"}
    volumes = {name: {"name": f"mine_{name}"} for name in ("postgres", "var", "secrets")}
    config = {"name": "mine", "services": services, "volumes": volumes}
    return compose_doctor.Project(environment, config, INFO | (info or {}))


def checked(found):
    return {check.name: check for check in found}


def test_without_docker_the_remedy_is_to_install_it_and_settings_are_looked_at_still(docker, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("AIRFLOW_PORT", "99999")
    found = checked(compose_doctor.checks())
    assert found["Docker"].remedy.startswith("install Docker Engine")
    assert found["settings"].found.startswith(".env: AIRFLOW_PORT: Input should be less than")
    assert len(found) == 2


@pytest.mark.parametrize(
    ("error", "found"),
    [
        ("Got permission denied while trying to connect to the Docker daemon socket", "may not use the Docker engine"),
        ("permission denied while trying to connect", "may not use the Docker engine"),
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock", "no Docker engine answers"),
    ],
)
def test_an_engine_that_does_not_answer_is_told_with_what_to_do(docker, error, found):
    docker.says("info", {"ServerErrors": [error]}, error="errors pretty printing info")
    check, facts = compose_doctor.engine()
    assert (check.state, facts) == ("fail", {})
    assert found in check.found
    assert ("usermod" if "permission" in error else "systemctl start docker") in check.remedy


def test_an_old_engine_is_told(docker):
    docker.says("info", INFO | {"ServerVersion": "19.03.5"})
    assert compose_doctor.engine()[0].found == "Docker Engine 19.03.5 is too old; 20.10 or newer is needed"


@pytest.mark.parametrize(
    ("version", "state"), [("2.20.1", "fail"), ("v2.20.2", "ok"), ("2.40.0-desktop.1", "ok"), ("1.29.2", "fail")]
)
def test_a_compose_that_does_not_know_the_file_is_told(docker, version, state):
    docker.says("compose version", version)
    assert compose_doctor.compose().state == state


def test_no_compose_is_told(docker):
    docker.says("compose version", "", error="docker: 'compose' is not a docker command.")
    check = compose_doctor.compose()
    assert (check.state, check.found) == ("fail", "no Compose v2; 2.20.2 or newer is needed")


def test_what_compose_says_of_the_file_is_told(docker):
    docker.says("compose config", "", error="failed to read .env: line 2: unterminated quoted value\n")
    found = checked(compose_doctor.checks())
    assert found["settings"].found == "Compose: failed to read .env: line 2: unterminated quoted value"
    assert "code" not in found


def test_a_port_of_somebody_else_is_told_with_its_setting_and_ours_is_fine(docker, project):
    assert compose_doctor.ports(project).state == "ok"
    with socket.socket() as other:
        other.bind(("127.0.0.1", project.environment.mlflow_port))
        other.listen()
        port = project.environment.mlflow_port
        check = compose_doctor.ports(project)
        assert (check.state, check.found) == ("fail", f"port {port} of mlflow is taken")
        assert f"pid {os.getpid()}" in check.remedy
        assert "set MLFLOW_PORT in .env" in check.remedy
        docker.says("ps", f"127.0.0.1:{port}->5000/tcp\n")
        assert "used by this stack" in compose_doctor.ports(project).found


def test_the_container_that_has_a_port_is_named(docker, project):
    docker.says(f"ps --filter publish={project.environment.airbyte_port}", "other-airbyte-1")
    with socket.socket() as other:
        other.bind(("127.0.0.1", project.environment.airbyte_port))
        docker.says("ps", "other-airbyte-1\n")
        assert "(container other-airbyte-1)" in compose_doctor.ports(project).remedy


def test_a_service_that_is_elsewhere_needs_no_port(project):
    del project.config["services"]["mlflow"]
    assert set(project.published) == {"airflow", "airbyte", "docs"}


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: (folder / "tags.csv").unlink(), "has no tags.csv"),
        (lambda folder: (folder / "projects.csv").chmod(0o600), "projects.csv cannot be read by the containers' user"),
        (lambda folder: folder.chmod(0o700), "source cannot be read by the containers' user"),
        (shutil.rmtree, "is not a folder"),
    ],
)
def test_a_source_that_containers_cannot_read_is_told(project, tmp_path, spoil, told):
    assert compose_doctor.source(project).state == "ok"
    spoil(tmp_path / "source")
    check = compose_doctor.source(project)
    assert check.state == "fail"
    assert check.found.startswith("SOURCE_FOLDER: ")
    assert told in check.found
    assert "SOURCE_FOLDER" in check.remedy or "chmod -R a+rX" in check.remedy


def test_a_source_without_a_file_of_another_application_is_told(project, tmp_path, write_application):
    write_application("tickets")
    both = replace(project, environment=project.environment.model_copy(update={"applications": "tagifai, tickets"}))
    assert "has no tickets.csv" in compose_doctor.source(both).found
    (tmp_path / "source" / "tickets.csv").touch()
    assert compose_doctor.source(both).found.endswith("holds projects.csv and tags.csv and tickets.csv")


def test_an_application_of_env_that_does_not_exist_is_told(docker, monkeypatch):
    monkeypatch.setenv("APPLICATIONS", "tagifai,nothing")
    check = checked(compose_doctor.checks())["settings"]
    assert check.state == "fail"
    assert "nothing.yaml" in check.found


def test_a_source_by_url_needs_no_folder(project, tmp_path):
    project = made(tmp_path / "none", {}, source_url="https://example.org/data")
    assert compose_doctor.source(project).found.startswith("example.org")


def test_code_that_containers_cannot_read_is_told_by_its_first_file(project, tmp_path, monkeypatch):
    folder = tmp_path / "config"
    folder.mkdir(mode=0o755)
    (folder / "base.yaml").touch(mode=0o600)
    project.config["services"]["init"]["volumes"].append({"type": "bind", "source": str(folder), "target": "/x"})
    monkeypatch.setattr(compose_doctor, "ROOT", tmp_path)
    check = compose_doctor.code(project)
    assert (check.state, check.remedy) == ("fail", "`chmod -R a+rX config/base.yaml`")


def test_little_memory_and_a_full_disk_are_told(project, monkeypatch):
    assert compose_doctor.memory(project).state == "ok"
    assert compose_doctor.memory(made(".", {}, {"MemTotal": 4 * 10**9})).state == "warn"
    assert compose_doctor.memory(made(".", {}, {"MemTotal": 2 * 10**9})).state == "fail"
    monkeypatch.setattr(compose_doctor, "BUILD", 1 << 60)
    check = compose_doctor.disk(project)
    assert check.state == "fail"
    assert "`docker system df`" in check.remedy
    assert "on another machine" in compose_doctor.disk(made(".", {}, {"DockerRootDir": "/nowhere"})).found


def test_images_that_cannot_be_made_without_a_network_are_told(docker, project, monkeypatch):
    monkeypatch.setattr(compose_doctor, "index_answers", lambda: False)
    check = compose_doctor.images(project)
    assert check.state == "fail"
    assert "python:3.11-slim-bookworm is missing too, and no registry has it" in check.found
    assert "docs/closed-networks.md" in check.remedy
    docker.says("manifest inspect", "{}")
    assert compose_doctor.images(project).found.endswith("and no package index answers")
    monkeypatch.setattr(compose_doctor, "index_answers", lambda: True)
    assert compose_doctor.images(project).state == "warn"
    docker.says("image inspect", "[]")
    assert compose_doctor.images(project).found == "all 6 exist"


def test_an_index_that_cannot_be_reached_does_not_answer(docker, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{free_port()}/simple")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert not compose_doctor.index_answers()


def test_volumes_that_this_version_cannot_go_on_with_are_told(docker, project):
    assert compose_doctor.volumes(project).found == "none yet"
    docker.says("image inspect", "[]")
    docker.says("volume inspect", "[]")
    docker.says("run --rm --network=none", "postgres (PostgreSQL) 17.6 (Debian 17.6-0+deb13u1)\n17\n")
    project.config["volumes"]["var"]["name"] = "none"
    assert "volume `postgres`" not in compose_doctor.volumes(project).found
    docker.says("run --rm --network=none", "postgres (PostgreSQL) 17.6\n16\n")
    check = compose_doctor.volumes(project)
    assert (check.state, check.found) == (
        "fail",
        "the volume `postgres` holds a cluster of PostgreSQL 16, and this image is PostgreSQL 17",
    )
    assert check.remedy.startswith("run `make backup` with that image")


SOCKET = {"docker_socket": "/run/docker.sock", "docker_group": 7}


@pytest.fixture
def use_runner(monkeypatch):
    """Sets values of the runner of the container place."""
    config = places.config("compose")

    def use(**values):
        changed = {"tagifai": config | {"runner": config["runner"] | values}}
        monkeypatch.setattr(places, "configs", lambda *_: changed)

    return use


def test_tasks_in_containers_without_an_engine_are_told_with_the_settings(docker, use_runner):
    use_runner(tasks={"train": {"type": "docker"}})
    check = checked(compose_doctor.checks())["settings"]
    assert check.state == "fail"
    assert "set DOCKER_SOCKET and DOCKER_GROUP in .env" in check.found


def test_a_wrong_setting_of_the_config_is_told(docker, monkeypatch):
    config = places.config("compose") | {"model": {"name": "C# tickets"}}
    monkeypatch.setattr(places, "configs", lambda *_: {"tagifai": config})
    check = checked(compose_doctor.checks())["settings"]
    assert (check.state, check.found[:20]) == ("fail", "config/: model.name:")


def test_an_engine_that_no_task_needs_is_told(docker, project):
    assert (compose_doctor.tasks(project).state, compose_doctor.tasks(made(".", {}, **SOCKET)).state) == ("ok", "warn")


@pytest.mark.parametrize(
    ("said", "error", "found", "remedy"),
    [
        ("999\nOK", None, "from mlops-tasks", ""),
        ("999\n", "PermissionError: [Errno 13] Permission denied", "group 7 may not use", "set DOCKER_GROUP=999"),
        ("999\n", "ConnectionRefusedError: [Errno 111]", "no Docker engine answers at /run/docker.sock", "in .env"),
        ("", "docker: bind source path does not exist.", "/run/docker.sock: docker: bind source path", "in .env"),
    ],
)
def test_an_engine_that_tasks_cannot_use_is_told(docker, use_runner, said, error, found, remedy):
    use_runner(type="docker")
    assert compose_doctor.tasks(made(".", {}, **SOCKET)).remedy == "`make images`"
    docker.says("image inspect", "[]")
    docker.says("run --rm --network=none", said, error)
    check = compose_doctor.tasks(made(".", {}, **SOCKET))
    assert check.state == ("fail" if error else "ok")
    assert found in check.found
    assert remedy in check.remedy


def test_lost_secrets_are_told_before_a_start_makes_new_ones(docker, project):
    docker.says("image inspect", "[]")
    docker.says("volume inspect mine_postgres", "[]")
    docker.says("run", "postgres (PostgreSQL) 17.6\n17\n")
    check = compose_doctor.volumes(project)
    assert check.found.startswith("the volume `secrets` is gone")
    assert "`make restore FILE=…`" in check.remedy


def test_a_layout_is_ours_or_told(tmp_path):
    compose_checks.require_layout(tmp_path)
    compose_checks.require_layout(tmp_path)
    assert (tmp_path / "layout").read_text() == f"{compose_checks.LAYOUT}\n"
    for text, word in (("99", "a newer version (layout 99"), ("0", "another version (layout 0"), ("", "unknown")):
        (tmp_path / "layout").write_text(text)
        with pytest.raises(StackError, match="the volume `var` was written by") as caught:
            compose_checks.require_layout(tmp_path)
        assert word in str(caught.value)
        assert "`make backup`" in str(caught.value)


def test_postgres_says_of_another_version_what_doctor_says():
    script = (ROOT / "docker" / "postgres-start").read_text(encoding="utf-8")
    said = "".join(re.findall(r'reason\+?="(.*)"$', script, re.MULTILINE))
    for words, meant in (("\\`", "`"), ('$(<"$PGDATA/PG_VERSION")', "16"), ("$version", "17")):
        said = said.replace(words, meant)
    assert said == compose_checks.cluster_problem("16", "17")


def test_the_verdict_counts_what_would_stop_a_start(monkeypatch):
    screen = Console(file=io.StringIO(), width=200)
    wrong = machine.Check("ports", "fail", "taken", "free it")
    monkeypatch.setattr(compose_doctor, "checks", lambda: iter([wrong, machine.Check("disk", "warn", "low", "free")]))
    assert not compose_doctor.look(screen, place="compose", var=ROOT, config=None)
    assert "1 of these would stop `docker compose up`" in screen.file.getvalue()
    monkeypatch.setattr(compose_doctor, "checks", lambda: iter([machine.Check("disk", "warn", "low", "free")]))
    assert compose_doctor.look(screen, place="compose", var=ROOT, config=None)
