"""make backup, make restore and make nuke on a real stack; test_backup_scripts.py shows the rest with a stub."""

import os
import shutil
import signal
import stat
import subprocess
import tarfile

import pytest
from clone_testing import CHAMPION, WEIGHTS, CloneStack
from docker_testing import run, wait_until

pytestmark = pytest.mark.xdist_group("backup")

ROWS = "select count(*), sum(n) from kept"
BEFORE = "1000|500500"
AFTER = "1|0"


@pytest.fixture(scope="module")
def kept(our_images, tmp_path_factory):
    """PostgreSQL and MLflow, with rows that belong to the warehouse's own role, and a champion."""
    stack = CloneStack(tmp_path_factory.mktemp("kept"))
    try:
        stack.up("postgres", "mlflow")
        stack.psql("create table kept as select n from generate_series(1, 1000) n; alter table kept owner to warehouse")
        stack.python(CHAMPION)
        yield stack
    finally:
        stack.delete()


@pytest.fixture(scope="module")
def backup(kept, tmp_path_factory):
    """A backup of it."""
    file = tmp_path_factory.mktemp("backup") / "kept.tar"
    kept.make("backup", f"FILE={file}")
    return file


@pytest.fixture(autouse=True)
def real_programs(kept):
    """No wrapped program outlives a test."""
    yield
    kept.unwrap()


def change(kept):
    """Change the rows, and add a table and files."""
    kept.psql("delete from kept; insert into kept values (0); create table if not exists later (n int)")
    in_var(kept, "echo later > /var/lib/mlops/later; echo wrong > /var/lib/mlops/artifacts/later")


def in_var(kept, line):
    """The output of a shell command that sees the volumes."""
    words = ("run", "--rm", "--no-deps", "-T", "--entrypoint", "sh", "init", "-c", line)
    options = {"cwd": kept.folder, "env": kept.environment, "stdin": subprocess.DEVNULL}
    return run("docker", "compose", *words, check=False, **options).stdout.split()


def assert_restored(kept):
    """Rows, owner, champion and files are those of the backup, and nothing else is left."""
    assert kept.psql(ROWS) == BEFORE
    assert kept.psql("select tablename, tableowner from pg_tables where schemaname = 'public'") == "kept|warehouse"
    assert kept.psql("select count(*) from pg_database where datname like '%restored'") == "0"
    assert in_var(kept, "cd /var/lib/mlops && ls -d later artifacts/later .restored ../mlops-secrets/.restored") == []
    kept.up("mlflow")
    assert kept.python(WEIGHTS) == ["the weights"]


def test_a_backup_is_readable_by_its_owner_only_and_the_services_are_running_again(kept, backup):
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert list(backup.parent.iterdir()) == [backup]
    assert kept.running().keys() == {"postgres", "mlflow"}
    with tarfile.open(backup) as tar:
        assert {member.mode for member in tar} == {0o600}
        assert tar.extractfile("manifest").readline() == b"mlops-backup 1\n"
        assert tar.getmember("warehouse.dump").size > tar.getmember("optuna.dump").size


def kill_and_restore_again(kept, backup, moment):
    """Change the stack, kill a restore at a call of Docker, and run it again."""
    kept.up("mlflow", "postgres")
    change(kept)
    kept.wrap("docker", f'[[ "$*" != *"{moment}"* ]] || kill -KILL 0')
    with kept.start("restore", str(backup), YES="1") as process:
        assert process.wait(timeout=300) == -signal.SIGKILL
    kept.unwrap()
    run("docker", "start", kept.containers()["mlflow"]["Id"])
    kept.make("restore", f"FILE={backup}", "YES=1")
    assert kept.running().keys() == {"postgres", "mlflow"}
    assert_restored(kept)


def test_a_restore_that_was_killed_while_it_replaced_removes_later_changes_when_run_again(kept, backup):
    kill_and_restore_again(kept, backup, "find .restored")


@pytest.mark.slow
def test_a_restore_that_was_killed_while_it_unpacked_removes_later_changes_when_run_again(kept, backup):
    kill_and_restore_again(kept, backup, "tar -xz -C .restored")


def test_tables_champion_and_passwords_are_back_after_nuke_and_restore(kept, backup):
    logins = kept.make("password", "PLACE=compose").stdout
    refused = kept.make("nuke", check=False)
    assert (refused.returncode, f"{kept.name}_var" in refused.stdout) == (2, True)
    assert "YES=1" in refused.stdout
    assert kept.running().keys() == {"postgres", "mlflow"}
    kept.make("nuke", "YES=1")
    assert kept.volumes() == []
    assert "Nothing to delete" in kept.script("nuke").stdout
    kept.make("restore", f"FILE={backup}")
    assert kept.running() == {}
    kept.up("postgres", "mlflow")
    assert kept.make("password", "PLACE=compose").stdout == logins
    assert_restored(kept)


@pytest.mark.slow
def test_a_restore_that_fails_while_it_unpacks_leaves_the_stack_unchanged(kept, backup):
    kept.up("mlflow", "postgres")
    change(kept)
    kept.wrap("docker", '[[ "$*" != *"tar -xz -C .restored"* ]] || exit 1')
    refused = kept.make("restore", f"FILE={backup}", "YES=1", check=False)
    assert "Nothing was replaced" in refused.stdout
    kept.unwrap()
    assert kept.running().keys() == {"postgres", "mlflow"}
    assert kept.psql(ROWS) == AFTER
    assert kept.psql("select count(*) from pg_database where datname like '%restored'") == "0"
    assert in_var(kept, "cat /var/lib/mlops/later") == ["later"]
    kept.make("restore", f"FILE={backup}", "YES=1")


@pytest.mark.slow
def test_an_interrupted_backup_leaves_no_file_and_the_services_running(kept, tmp_path):
    kept.up("mlflow", "postgres")
    folder = tmp_path / "files"
    folder.mkdir()
    kept.wrap("tar", f'[[ "$*" != *warehouse.dump* ]] || {{ touch {tmp_path}/reached; exec sleep 300; }}')
    with kept.start("backup", str(folder / "kept.tar")) as process:
        wait_until((tmp_path / "reached").exists)
        assert "mlflow" not in kept.running()
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=300) == 130
    assert list(folder.iterdir()) == []
    assert kept.running().keys() == {"postgres", "mlflow"}


@pytest.mark.slow
def test_a_stack_without_containers_is_backed_up_and_has_none_afterwards(kept, tmp_path):
    kept.compose("down")
    kept.make("backup", f"FILE={tmp_path}/down.tar")
    assert kept.compose("ps", "--all", "--quiet").stdout == ""
    shutil.rmtree(kept.folder / "var", ignore_errors=True)
    with tarfile.open(tmp_path / "down.tar") as tar:
        assert tar.getmember("warehouse.dump").size > tar.getmember("optuna.dump").size


@pytest.mark.slow
def test_a_stopped_stack_is_backed_up_and_stays_stopped(kept, tmp_path):
    kept.up("postgres", "mlflow")
    kept.compose("stop")
    kept.make("backup", f"FILE={tmp_path}/stopped.tar")
    assert kept.running() == {}
