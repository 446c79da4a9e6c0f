"""docker/backup, docker/restore and docker/nuke: what they check, ask, print and leave after a failure."""

import os
import signal
import stat
import tarfile

import pytest
from docker_stub import StubbedScripts
from docker_testing import run, wait_until

pytestmark = pytest.mark.xdist_group("scripts")

PARTS = ["airflow.dump", "mlflow.dump", "optuna.dump", "warehouse.dump", "var.tar.gz", "secrets.tar.gz", "manifest"]
BOTH = {"mlflow", "postgres"}
UNPACKING, REPLACING = "tar -xz -C .restored", "find .restored"


@pytest.fixture
def scripts(tmp_path):
    return StubbedScripts(tmp_path)


@pytest.fixture
def backup(scripts, tmp_path):
    """A backup of the stub's stack; the calls that made it are forgotten."""
    file = tmp_path / "files" / "kept.tar"
    done = scripts.run("backup", str(file))
    assert done.returncode == 0, done.stdout
    scripts.set(calls="", sql="")
    return file


def at(words, action):
    """A hook that does something when a call contains these words."""
    return f'[[ "$*" != *"{words}"* ]] || {{ {action}; }}'


def test_a_backup_is_readable_by_its_owner_only_and_has_every_part(scripts, backup):
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert list(backup.parent.iterdir()) == [backup]
    with tarfile.open(backup) as tar:
        assert tar.getnames() == PARTS
        assert {member.mode for member in tar} == {0o600}
        manifest = tar.extractfile("manifest").read().decode().splitlines()
    assert manifest[:2] == ["mlops-backup 1", "project kept"]
    assert "postgresql 17.6" in manifest


def test_all_services_but_postgres_are_stopped_during_a_backup_and_started_again(scripts, tmp_path):
    scripts.run("backup", str(tmp_path / "kept.tar"))
    changes = scripts.changes()
    dumps = [number for number, call in enumerate(changes) if "pg_dump" in call]
    assert changes.index("compose stop mlflow") < dumps[0]
    assert [call.endswith(" mlflow") for call in changes if call.startswith("compose up")] == [False, True]
    assert changes[-1].startswith("compose up")
    assert scripts.running() == BOTH


@pytest.mark.parametrize("script", ["backup", "restore"])
def test_containers_of_tasks_outlive_the_scheduler_and_are_removed_before_anything_is_read_or_written(
    scripts, backup, tmp_path, script
):
    scripts.set(tasks="c1\nc2\n", running="mlflow\npostgres\ntask\n")
    file = tmp_path / "new.tar" if script == "backup" else backup
    assert scripts.run(script, str(file), YES="1").returncode == 0
    assert scripts.changes()[:2] == ["compose stop mlflow", "rm --force --volumes c1 c2"]


def test_the_default_file_is_named_after_the_project_and_the_time(scripts):
    assert "passwords" in scripts.run("backup").stdout
    (file,) = (scripts.folder / "backups").iterdir()
    assert file.name.startswith("kept-20")


def test_an_existing_file_is_not_overwritten(scripts, backup):
    done = scripts.run("backup", str(backup))
    assert (done.returncode, "already exists" in done.stdout, scripts.changes()) == (1, True, [])


def spoil(backup, file, kind):
    """Write a file that is not a complete backup."""
    if kind == "truncated":
        file.write_bytes(backup.read_bytes()[: backup.stat().st_size // 2])
    elif kind == "damaged":
        content = bytearray(backup.read_bytes())
        content[content.index(b"dump of warehouse")] ^= 1
        file.write_bytes(content)
    elif kind == "text":
        file.write_text("select 1;")
    elif kind == "foreign":
        with tarfile.open(file, "w") as tar:
            tar.add(__file__, "manifest")
    elif kind == "later":
        run("tar", "-xf", str(backup), "-C", str(file.parent))
        manifest = file.parent / "manifest"
        manifest.write_text(manifest.read_text().replace("mlops-backup 1", "mlops-backup 2"))
        run("tar", "-cf", str(file), "-C", str(file.parent), *PARTS)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("truncated", "is not a complete backup of this stack; nothing was changed"),
        ("damaged", "warehouse.dump is damaged; nothing was changed"),
        ("text", "is not a complete backup of this stack; nothing was changed"),
        ("foreign", "is not a complete backup of this stack; nothing was changed"),
        ("later", "has backup format 2, and this version of the stack reads format 1; nothing was changed"),
        ("missing", "cannot be read"),
    ],
)
def test_a_restore_refuses_what_is_not_a_complete_backup_before_anything_changes(
    scripts, backup, tmp_path, kind, reason
):
    spoil(backup, tmp_path / "spoiled.tar", kind)
    done = scripts.run("restore", str(tmp_path / "spoiled.tar"), YES="1")
    assert (done.returncode, reason in done.stdout.splitlines()[-1]) == (1, True)
    assert scripts.changes() == []


def test_a_restore_refuses_a_dump_that_postgres_cannot_read_before_anything_changes(scripts, backup):
    done = scripts.run("restore", str(backup), YES="1", hook=at("pg_restore postgres:17", "exit 1"))
    assert (done.returncode, "airflow.dump cannot be read; nothing was changed" in done.stdout) == (1, True)
    assert scripts.changes() == []


def test_a_restore_replaces_everything_and_starts_what_was_running(scripts, backup):
    done = scripts.run("restore", str(backup), YES="1")
    assert done.stdout.splitlines()[-1] == "Restore complete."
    for name in ("airflow", "mlflow", "optuna", "warehouse"):
        assert f'alter database "{name}.restored" rename to "{name}"' in scripts.sql()
    assert "alter role postgres password" in scripts.sql()
    assert scripts.running() == BOTH


def test_a_restore_of_a_stopped_stack_leaves_it_stopped(scripts, backup):
    scripts.set(running="")
    done = scripts.run("restore", str(backup), YES="1")
    assert done.stdout.splitlines()[-1] == "Restore complete; start the stack with `docker compose up`."
    assert scripts.running() == set()


def test_restore_and_nuke_change_nothing_if_there_is_neither_a_terminal_nor_a_yes(scripts, backup):
    for words in (["restore", str(backup)], ["nuke"]):
        done = scripts.run(*words)
        assert (done.returncode, "no terminal: set YES=1" in done.stdout) == (1, True)
    assert scripts.changes() == []
    assert scripts.running() == BOTH


def test_nuke_lists_what_it_deletes(scripts):
    done = scripts.run("nuke", YES="1")
    assert (done.returncode, "kept_var  3M" in done.stdout) == (0, True)
    assert scripts.changes() == ["compose stop airflow-scheduler", "compose down --volumes --remove-orphans"]


def test_nuke_without_containers_and_volumes_has_nothing_to_delete(scripts):
    scripts.set(volumes="", containers="")
    assert "Nothing to delete" in scripts.run("nuke").stdout
    assert scripts.changes() == []


def test_a_restore_that_fails_while_it_unpacks_replaces_nothing_and_starts_the_services_again(scripts, backup):
    done = scripts.run("restore", str(backup), YES="1", hook=at(UNPACKING, "exit 1"))
    assert (done.returncode, "Nothing was replaced" in done.stdout) == (1, True)
    assert "rename to" not in scripts.sql()
    for name in ("airflow", "mlflow", "optuna", "warehouse"):
        assert f'drop database if exists "{name}.restored" with (force)' in scripts.sql()
    assert any("-rf /var/lib/mlops/.restored" in call for call in scripts.changes())
    assert scripts.running() == BOTH


def test_a_restore_that_fails_while_it_replaces_says_so_and_leaves_the_services_stopped(scripts, backup):
    done = scripts.run("restore", str(backup), YES="1", hook=at(REPLACING, "exit 1"))
    assert (done.returncode, "run the same command again" in done.stdout) == (1, True)
    assert "mlflow" not in scripts.running()


@pytest.mark.parametrize("moment", [UNPACKING, REPLACING], ids=["unpacking", "replacing"])
def test_a_restore_that_was_killed_can_be_run_again(scripts, backup, moment):
    with scripts.start("restore", str(backup), YES="1", hook=at(moment, "kill -KILL 0")) as process:
        assert process.wait(timeout=60) == -signal.SIGKILL
    done = scripts.run("restore", str(backup), YES="1")
    assert (done.returncode, "Restore complete" in done.stdout) == (0, True)


def test_an_interrupted_backup_leaves_no_file_and_the_services_running(scripts, tmp_path):
    reached = tmp_path / "reached"
    hook = at("pg_dump --username postgres --format custom warehouse", f"touch {reached}; exec sleep 300")
    with scripts.start("backup", str(tmp_path / "files" / "kept.tar"), hook=hook) as process:
        wait_until(reached.exists)
        assert scripts.running() == {"postgres"}
        second = scripts.run("nuke", YES="1")
        assert "another backup, restore or nuke is running" in second.stdout
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) == 130
    assert list((tmp_path / "files").iterdir()) == []
    assert scripts.running() == BOTH


def test_a_full_disk_is_reported_in_one_line_and_leaves_no_file(scripts, tmp_path):
    fails = '[[ "$*" != *optuna.dump* ]] || { echo "tar: No space left on device" >&2; exit 2; }'
    scripts.program("tar", f'#!/bin/bash\n{fails}\nexec {run("which", "tar").stdout.strip()} "$@"\n')
    done = scripts.run("backup", str(tmp_path / "files" / "kept.tar"))
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("docker/backup: ")]
    assert "full: free some space" in line
    assert list((tmp_path / "files").iterdir()) == []
    assert scripts.running() == BOTH


def test_a_stack_without_containers_is_backed_up_and_has_none_afterwards(scripts, tmp_path):
    scripts.set(running="", containers="")
    assert scripts.run("backup", str(tmp_path / "kept.tar")).returncode == 0
    assert scripts.changes()[-1] == "compose down"


def test_a_stopped_stack_is_backed_up_and_stays_stopped(scripts, tmp_path):
    scripts.set(running="")
    assert scripts.run("backup", str(tmp_path / "kept.tar")).returncode == 0
    assert scripts.changes()[-1] == "compose stop postgres"
    assert scripts.running() == set()


def test_without_volumes_there_is_nothing_to_back_up(scripts, tmp_path):
    scripts.set(volumes="")
    done = scripts.run("backup", str(tmp_path / "kept.tar"))
    assert (done.returncode, "nothing to back up" in done.stdout, scripts.changes()) == (1, True, [])


@pytest.mark.parametrize("name", ["backup", "restore"])
def test_an_external_postgres_server_is_backed_up_with_its_own_tools(scripts, tmp_path, name):
    scripts.use_external_postgres()
    done = scripts.run(name, str(tmp_path / "kept.tar"))
    assert (done.returncode, len(done.stdout.splitlines())) == (1, 1)
    assert "with its own tools" in done.stdout
    assert not (tmp_path / "kept.tar").exists()


@pytest.mark.parametrize("name", ["backup", "restore"])
def test_a_stack_that_is_starting_is_neither_backed_up_nor_replaced(scripts, backup, tmp_path, name):
    scripts.set(running="init\npostgres\n")
    file = {"backup": tmp_path / "other.tar", "restore": backup}[name]
    done = scripts.run(name, str(file), YES="1")
    assert (done.returncode, "the stack is starting" in done.stdout, scripts.changes()) == (1, True, [])
