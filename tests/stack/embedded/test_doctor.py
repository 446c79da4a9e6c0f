"""What a run needs of this machine and of this instance."""

import fcntl
import io
import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections import namedtuple

import psutil
import pytest
import yaml
from rich.console import Console

from devtools.ports import free_port
from stack.embedded import doctor, machine, postgres
from stack.embedded.settings import load
from stack.embedded.supervision import Stack
from stack.errors import StackError
from stack.settings import ROOT

SLEEP = [sys.executable, "-c", "import sys; print('begun', flush=True); sys.stdin.read()"]


@pytest.fixture
def stack(tmp_path):
    """An instance with ports of its own, of which nothing runs."""
    ports = {name: free_port() for name in ("airflow", "mlflow", "airbyte", "postgres", "docs")}
    (tmp_path / "ports.yaml").write_text(yaml.safe_dump({"ports": ports}))
    return Stack(load(tmp_path / "var", config=tmp_path / "ports.yaml"))


@pytest.fixture
def begin():
    """Starts processes that run until the test ends: `begin(VARIABLE=value)` is one with these in its environment."""
    begun = []

    def begin(command=SLEEP, **environment):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        begun.append(subprocess.Popen(command, env=os.environ | environment, **pipes))
        assert begun[-1].stdout.readline()
        return begun[-1]

    yield begin
    for process in begun:
        process.stdin.close()
        process.wait()


@pytest.fixture
def screen():
    return Console(file=io.StringIO(), width=500)


def listen(port):
    """Command line of a process that listens on a port."""
    program = f"import socket, sys; s = socket.socket(); s.bind(('127.0.0.1', {port})); s.listen(); "
    return [sys.executable, "-c", program + "print('begun', flush=True); sys.stdin.read()"]


def environment_in(folder, name="stack", home=None):
    """A folder like an environment, whose one program was made for `home`; None: for where it is."""
    programs = folder / name / "bin"
    programs.mkdir(parents=True)
    (programs / "activate").write_text("# no program\n")
    (programs / "supervisord").write_text(f"#!{home or folder}/{name}/bin/python\nimport sys\n")
    return folder / name


def test_on_this_machine_every_check_says_something_and_none_stops_a_run(stack, screen):
    assert doctor.look(
        screen, place="embedded", var=stack.settings.var, config=stack.settings.var.parent / "ports.yaml"
    )
    shown = screen.file.getvalue()
    assert shown.count("✓") + shown.count("!") == len(doctor.FULL) + 1
    assert shown.endswith("`make run` can start\n")


def test_nothing_is_told_before_a_run_where_all_is_ample(stack, screen, monkeypatch):
    for name in ("MEMORY", "DISK", "INODES"):
        monkeypatch.setattr(machine, name, (0, 0))
    doctor.require(stack, screen)
    assert screen.file.getvalue() == ""


def test_all_that_stops_a_run_is_told_at_once_with_its_remedy(stack, screen, monkeypatch):
    monkeypatch.setenv("PATH", str(stack.settings.var))
    with socket.socket() as other:
        other.bind(("127.0.0.1", stack.settings.ports.mlflow))
        with pytest.raises(StackError) as caught:
            doctor.require(stack, screen)
    first, second = str(caught.value).splitlines()
    assert first.startswith("not found: setpriv")
    assert "install util-linux" in first
    assert f"port {stack.settings.ports.mlflow} of mlflow is taken: stop the process that listens there" in second
    assert "ports.mlflow in a file given as CONFIG=…" in second


def test_what_may_stop_a_run_is_printed_and_does_not(stack, screen, monkeypatch):
    monkeypatch.setattr(machine, "DISK", (1, 1 << 60))
    doctor.require(stack, screen)
    assert "! disk" in screen.file.getvalue().replace("  ", " ")
    assert "→ free some" in screen.file.getvalue()


def test_a_wrong_setting_is_told_by_doctor_in_place_of_a_trace(tmp_path, screen):
    (tmp_path / "mine.yaml").write_text("lables: 7")
    assert not doctor.look(screen, place="embedded", var=tmp_path / "var", config=tmp_path / "mine.yaml")
    assert "there is no setting `lables`" in screen.file.getvalue()


def test_a_model_name_that_mlflow_cannot_load_is_told_by_doctor(tmp_path, screen):
    (tmp_path / "mine.yaml").write_text("model: {name: 'C# tickets'}")
    assert not doctor.look(screen, place="embedded", var=tmp_path / "var", config=tmp_path / "mine.yaml")
    assert "mine.yaml: model.name: " in " ".join(screen.file.getvalue().split())


def test_a_folder_that_cannot_be_is_told_by_doctor_in_place_of_a_trace(tmp_path, screen):
    (tmp_path / "file").touch()
    assert not doctor.look(screen, place="embedded", var=tmp_path / "file" / "var", config=None)
    assert f"{tmp_path}/file/var: Not a directory" in screen.file.getvalue()


def test_the_holder_of_a_port_is_named(stack, begin):
    process = begin(listen(stack.settings.ports.airflow))
    check = machine.ports(stack)
    assert (check.state, check.found) == ("fail", f"port {stack.settings.ports.airflow} of airflow is taken")
    assert f"pid {process.pid}" in check.remedy


def test_a_port_of_another_instance_is_freed_by_its_make_down(stack, begin):
    begin(listen(stack.settings.ports.airflow), MLOPS_VAR="/other/var")
    assert "make down VAR=/other/var" in machine.ports(stack).remedy


def test_a_port_of_our_own_service_is_fine(stack, begin):
    begin(listen(stack.settings.ports.airflow), MLOPS_VAR=str(stack.settings.var))
    check = machine.ports(stack)
    assert check.state == "ok"
    assert "used by this stack" in check.found


def test_a_port_of_our_own_service_is_fine_whoever_serves_its_connections(stack, begin):
    port = stack.settings.ports.postgres
    serve = f"""
import socket, subprocess, sys
server = socket.create_server(("127.0.0.1", {port}))
clients = [socket.create_connection(("127.0.0.1", {port})) for _ in range(20)]
served = [server.accept()[0] for _ in clients]
descriptors = [each.fileno() for each in served]
subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], pass_fds=descriptors, env={{}})
served.clear()
print("begun", flush=True)
sys.stdin.read()
"""
    begin([sys.executable, "-c", serve], MLOPS_VAR=str(stack.settings.var))
    assert machine.ports(stack).state == "ok"


def test_a_port_can_be_taken_again_as_soon_as_it_is_free(stack):
    with socket.socket() as other:
        other.bind(("127.0.0.1", stack.settings.ports.postgres))
        assert machine.ports(stack).state == "fail"
    assert machine.ports(stack).state == "ok"


@pytest.mark.parametrize(("available", "state"), [(3.0e9, "ok"), (1.5e9, "warn"), (0.5e9, "fail")])
def test_memory_is_ample_or_scarce_or_too_little(stack, monkeypatch, available, state):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: namedtuple("Memory", "available")(available))
    assert machine.memory(stack).state == state


def test_memory_of_our_own_services_counts_as_available(stack, begin, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: namedtuple("Memory", "available")(0))
    monkeypatch.setattr(machine, "MEMORY", (1, 2))
    assert machine.memory(stack).state == "fail"
    begin(MLOPS_VAR=str(stack.settings.var))
    assert machine.memory(stack).state == "ok"


@pytest.mark.parametrize(("free", "state"), [(3.0e9, "ok"), (0.5e9, "warn"), (0.1e9, "fail")])
def test_a_disk_is_ample_or_scarce_or_full(stack, monkeypatch, free, state):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: namedtuple("Usage", "free")(free))
    assert machine.disk(stack).state == state


@pytest.mark.parametrize(
    ("files", "free", "state"), [(1e6, 1e5, "ok"), (1e6, 9_000, "warn"), (1e6, 10, "fail"), (0, 0, "ok")]
)
def test_files_can_be_too_many_where_the_file_system_counts_them(stack, monkeypatch, files, free, state):
    monkeypatch.setattr(os, "statvfs", lambda path: namedtuple("Status", "f_files f_favail")(files, free))
    assert machine.inodes(stack).state == state


def test_a_clock_that_was_set_back_is_behind_what_was_written(stack):
    assert machine.clock(stack).state == "ok"
    log = stack.settings.var / "logs" / "postgres.log"
    log.parent.mkdir()
    log.touch()
    os.utime(log, times=(time.time() + 3600,) * 2)
    check = machine.clock(stack)
    assert check.state == "warn"
    assert str(log) in check.found


def test_a_path_is_too_long_when_the_supervisor_could_not_bind_below_it(tmp_path):
    def bind(var):
        (var / "run").mkdir()
        with socket.socket(socket.AF_UNIX) as probe:
            # As the supervisor does at first, with the highest process id of Linux.
            probe.bind(str(var / "run" / "supervisor.sock.4194304"))

    longest = doctor.LONGEST_PATH - len(os.fsencode(tmp_path / "x"))
    fits, too_long = (tmp_path / ("x" * (1 + longest + more)) for more in (0, 1))
    assert doctor.path(Stack(load(fits))).state == "ok"
    bind(fits)
    assert doctor.path(Stack(load(too_long))).state == "fail"
    with pytest.raises(OSError, match="too long"):
        bind(too_long)


def test_environments_that_were_moved_are_found_by_their_programs(stack, tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "ENVIRONMENTS", tmp_path / "env")
    monkeypatch.setattr(doctor, "names", lambda _: ("stack", "airflow"))
    environment_in(tmp_path / "env", "stack")
    assert doctor.scripts(stack).state == "ok"
    (tmp_path / "link").symlink_to(tmp_path / "env")
    with monkeypatch.context() as patch:
        patch.setattr(doctor, "ENVIRONMENTS", tmp_path / "link")
        assert doctor.scripts(stack).state == "ok"
    environment_in(tmp_path / "env", "airflow", home="/before/var/env")
    check = doctor.scripts(stack)
    assert (check.state, check.found.endswith(": airflow")) == ("fail", True)
    assert f"delete {tmp_path}/env" in check.remedy


def test_an_environment_is_to_be_set_up_when_it_is_missing_or_older_than_its_lock(stack, tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "ENVIRONMENTS", tmp_path / "env")
    monkeypatch.setattr(doctor, "names", lambda _: ("stack", "airflow"))
    monkeypatch.setattr(doctor, "_holds_what_is_locked", lambda name: True)
    ready = [environment_in(tmp_path / "env", name) / ".ready" for name in ("stack", "airflow")]
    ready[0].touch()
    assert doctor.environments(stack).found.endswith(": airflow")
    ready[1].touch()
    assert doctor.environments(stack).state == "ok"
    os.utime(ready[0], times=(0, 0))
    check = doctor.environments(stack)
    assert (check.state, check.found.endswith(": stack")) == ("warn", True)
    monkeypatch.setattr(doctor, "SETUP", 1 << 60)
    assert doctor.environments(stack).state == "fail"


def test_an_environment_without_a_package_of_its_lock_is_found(stack, tmp_path, monkeypatch):
    shutil.copytree(ROOT / "var" / "env" / "uv", tmp_path / "env" / "uv", symlinks=True)
    new = [tmp_path / "env" / "uv" / "bin" / "uv", "venv", "--quiet", "--offline", "--python", sys.executable]
    subprocess.run([*new, tmp_path / "env" / "stack"], check=True)
    (tmp_path / "env" / "stack" / ".ready").touch()
    monkeypatch.setattr(doctor, "names", lambda _: ("stack",))
    assert doctor.environments(stack).state == "ok"
    monkeypatch.setattr(doctor, "ENVIRONMENTS", tmp_path / "env")
    check = doctor.environments(stack)
    assert (check.state, check.found) == ("fail", "differ from their lock: stack")


def test_a_folder_without_a_file_of_its_application_is_told_with_both(write_application, tmp_path):
    stack = Stack(load(tmp_path / "var", config=write_application("tickets")))
    check = doctor.sources(stack)
    assert (check.state, check.found) == ("fail", f"{tmp_path} has no tickets.csv, which tickets reads")
    (tmp_path / "tickets.csv").touch()
    check = doctor.sources(stack)
    assert (check.state, check.found) == ("ok", f"tickets reads {tmp_path}")


def test_a_source_by_url_is_not_looked_at(tmp_path):
    check = doctor.sources(Stack(load(tmp_path / "var", source="https://files.test/data")))
    assert (check.state, check.found) == ("ok", "tagifai reads https://files.test/data")


def test_the_lock_of_a_dead_server_matters_only_if_its_process_id_is_anothers_now(stack, begin):
    postgres.create_cluster(stack.settings.var / "postgres", "password")
    file = stack.settings.var / "postgres" / "postmaster.pid"
    assert doctor.database(stack).state == "ok"
    stranger = begin()
    shutil.copy(ROOT / "LICENSE", file)
    assert doctor.database(stack).state == "ok"
    file.write_text(f"{stranger.pid}\n")
    check = doctor.database(stack)
    assert (check.state, check.remedy) == ("fail", f"delete {file}")
    file.write_text(f"{begin(MLOPS_VAR=str(stack.settings.var)).pid}\n")
    assert doctor.database(stack).state == "ok"


def test_a_file_that_is_anothers_or_closed_is_found(stack):
    assert doctor.folder(stack).state == "ok"
    secrets = stack.settings.var / "secrets.json"
    if os.geteuid() == 0:
        os.chown(secrets, 65534, -1)
        state, found = "warn", f"{secrets} belongs to user 65534"
    else:
        secrets.chmod(0)
        state, found = "fail", f"{secrets} cannot be written"
    check = doctor.folder(stack)
    assert (check.state, check.found.startswith(found)) == (state, True)


def test_who_holds_the_lock_of_the_instance_is_named(stack, begin):
    assert doctor.locks(stack).state == "ok"
    (stack.settings.var / "run").mkdir()
    path = stack.settings.var / "run" / "lock"
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        check = doctor.locks(stack)
    assert check.state == "fail"
    assert f"(pid {os.getpid()})" in check.found
    assert doctor.locks(stack).state == "ok"


def test_processes_that_a_killed_launcher_left_are_counted(stack, begin):
    process = begin(MLOPS_VAR=str(stack.settings.var))
    check = doctor.locks(stack)
    assert check.state == "warn"
    assert check.found.startswith("1 processes are left without a supervisor")
    assert str(process.pid) in check.found


def test_docker_is_told_of_and_never_needed(stack, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.docker(stack) == machine.Check("Docker", "ok", "not found; `make run` does not need it")
    program = tmp_path / "docker"
    program.write_text('#!/bin/sh\n[ "$1" = compose ] && exit 1\n[ "$3" = "{{.Client.Version}}" ] && echo 28.0\n')
    program.chmod(stat.S_IRWXU)
    assert machine.docker(stack).found.startswith("client 28.0, daemon does not answer, compose does not answer;")


def make(*arguments, **variables):
    command = ["make", *arguments, *(f"{name}={value}" for name, value in variables.items())]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_make_tells_when_the_python_of_the_environments_is_gone(tmp_path):
    python = environment_in(tmp_path) / "bin" / "python"
    python.symlink_to(sys.executable)
    assert make("help", ENV=tmp_path).returncode == 0
    python.unlink()
    python.symlink_to("/nowhere/python3")
    done = make("doctor", ENV=tmp_path)
    assert done.returncode != 0
    assert f"delete {tmp_path}, then run the command again" in done.stdout


def test_make_tells_of_a_missing_tool_before_it_installs_anything(tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "find", "mkdir", "touch", "make"):
        (tools / name).symlink_to(shutil.which(name))
    done = make("doctor", ENV=tmp_path / "env", PYTHON=sys.executable, PATH=tools)
    assert done.returncode != 0
    assert "setpriv is needed: install util-linux" in done.stdout
    assert not (tmp_path / "env").exists()
