"""make backup, make restore and make nuke."""

import os
import shutil
import signal
import stat
import subprocess
import tarfile

import pytest
from docker_testing import run, wait_until
from keeping import CHAMPION, WEIGHTS, KeptStack

ROWS = "select count(*), sum(n) from kept"
BEFORE = "1000|500500"
AFTER = "1|0"


@pytest.fixture(scope="module")
def kept(our_images, tmp_path_factory):
    """PostgreSQL and MLflow, with rows of the warehouse's own role and a champion."""
    stack = KeptStack(tmp_path_factory.mktemp("kept"))
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
def programs(kept):
    """Each test begins with the services up and without stand-ins."""
    yield kept
    kept.stand_aside()


def change(kept):
    """Have other rows, one more table and one more file."""
    kept.psql("delete from kept; insert into kept values (0); create table if not exists later (n int)")
    in_var(kept, "echo later > /var/lib/mlops/later; echo wrong > /var/lib/mlops/artifacts/later")


def in_var(kept, line):
    """What a line of shell prints that sees the files."""
    words = ("run", "--rm", "--no-deps", "-T", "--entrypoint", "sh", "init", "-c", line)
    options = {"cwd": kept.folder, "env": kept.environment, "stdin": subprocess.DEVNULL}
    return run("docker", "compose", *words, check=False, **options).stdout.split()


def assert_as_it_was(kept):
    """Rows, owner, champion and files are those of the backup, and nothing else is there."""
    assert kept.psql(ROWS) == BEFORE
    assert kept.psql("select tablename, tableowner from pg_tables where schemaname = 'public'") == "kept|warehouse"
    assert kept.psql("select count(*) from pg_database where datname like '%restored'") == "0"
    assert in_var(kept, "cd /var/lib/mlops && ls -d later artifacts/later .restored ../mlops-secrets/.restored") == []
    kept.up("mlflow")
    assert kept.python(WEIGHTS) == ["the weights"]


def test_a_backup_is_for_its_owner_alone_and_the_services_are_up_again(kept, backup):
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert list(backup.parent.iterdir()) == [backup]
    assert kept.running().keys() == {"postgres", "mlflow"}
    with tarfile.open(backup) as tar:
        assert {member.mode for member in tar} == {0o600}
        assert tar.extractfile("manifest").readline() == b"mlops-backup 1\n"


def test_the_default_file_is_named_after_the_project_and_the_time(kept):
    assert "passwords" in kept.make("backup").stdout
    (file,) = (kept.folder / "backups").iterdir()
    assert file.name.startswith(f"{kept.name}-20")


def test_backup_nuke_restore_and_tables_champion_and_passwords_are_back(kept, backup):
    logins = kept.make("password").stdout
    refused = kept.make("nuke", check=False)
    assert (refused.returncode, f"{kept.name}_var" in refused.stdout) == (2, True)
    assert "YES=1" in refused.stdout
    assert kept.running().keys() == {"postgres", "mlflow"}
    kept.make("nuke", "YES=1")
    assert kept.volumes() == []
    assert "nothing" in kept.script("nuke").stdout
    kept.make("restore", f"FILE={backup}")
    assert kept.running() == {}
    kept.up("postgres", "mlflow")
    assert kept.make("password").stdout == logins
    assert_as_it_was(kept)


def test_a_restore_over_a_stack_takes_away_what_came_later_and_starts_what_ran(kept, backup):
    kept.up("mlflow", "postgres")
    change(kept)
    refused = kept.make("restore", f"FILE={backup}", check=False)
    assert (refused.returncode, "YES=1" in refused.stdout) == (2, True)
    assert kept.psql(ROWS) == AFTER
    kept.make("restore", f"FILE={backup}", "YES=1")
    assert kept.running().keys() == {"postgres", "mlflow"}
    assert_as_it_was(kept)


def spoil(backup, file, kind):
    """Write a file that is not a whole backup."""
    if kind == "truncated":
        file.write_bytes(backup.read_bytes()[: backup.stat().st_size // 2])
    elif kind == "damaged":
        content = bytearray(backup.read_bytes())
        content[len(content) // 2] ^= 1
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
        with tarfile.open(backup) as old, tarfile.open(file, "w") as tar:
            for name in old.getnames():
                tar.add(file.parent / name, name)


@pytest.mark.parametrize("kind", ["truncated", "damaged", "text", "foreign", "later", "missing"])
def test_what_is_no_whole_backup_is_refused_before_anything_is_changed(kept, backup, tmp_path, kind):
    kept.up("mlflow", "postgres")
    before, rows = kept.running(), kept.psql(ROWS)
    spoil(backup, tmp_path / "spoiled.tar", kind)
    refused = kept.script("restore", str(tmp_path / "spoiled.tar"), check=False, YES="1")
    assert refused.returncode == 1
    assert ("cannot be read" if kind == "missing" else "nothing was changed") in refused.stdout.splitlines()[-1]
    assert kept.running() == before
    assert kept.psql(ROWS) == rows


@pytest.mark.parametrize("moment", ["tar -xz -C .restored", "find .restored"], ids=["unpacking", "replacing"])
def test_a_restore_that_was_killed_is_given_again(kept, backup, moment):
    kept.up("mlflow", "postgres")
    change(kept)
    kept.stand_in("docker", f'[[ "$*" != *"{moment}"* ]] || kill -KILL 0')
    with kept.begun("restore", str(backup), YES="1") as process:
        assert process.wait(timeout=300) == -signal.SIGKILL
    kept.stand_aside()
    kept.script("restore", str(backup), YES="1")
    assert_as_it_was(kept)


def test_a_restore_that_fails_while_it_unpacks_leaves_all_as_it_is(kept, backup):
    kept.up("mlflow", "postgres")
    change(kept)
    kept.stand_in("docker", '[[ "$*" != *"tar -xz -C .restored"* ]] || exit 1')
    refused = kept.make("restore", f"FILE={backup}", "YES=1", check=False)
    assert "Nothing was replaced" in refused.stdout
    kept.stand_aside()
    assert kept.running().keys() == {"postgres", "mlflow"}
    assert kept.psql(ROWS) == AFTER
    assert kept.psql("select count(*) from pg_database where datname like '%restored'") == "0"
    assert in_var(kept, "cat /var/lib/mlops/later") == ["later"]
    kept.make("restore", f"FILE={backup}", "YES=1")


def test_an_interrupted_backup_leaves_no_file_and_the_services_up(kept, tmp_path):
    kept.up("mlflow", "postgres")
    folder = tmp_path / "files"
    folder.mkdir()
    kept.stand_in("tar", f'[[ "$*" != *warehouse.dump* ]] || {{ touch {tmp_path}/reached; exec sleep 300; }}')
    with kept.begun("backup", str(folder / "kept.tar")) as process:
        wait_until((tmp_path / "reached").exists)
        assert "mlflow" not in kept.running()
        assert "at work already" in kept.script("nuke", check=False, YES="1").stdout
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=300) == 130
    assert list(folder.iterdir()) == []
    assert kept.running().keys() == {"postgres", "mlflow"}


def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(kept, tmp_path):
    kept.up("mlflow", "postgres")
    kept.stand_in("tar", '[[ "$*" != *optuna.dump* ]] || { echo "tar: No space left on device" >&2; exit 2; }')
    refused = kept.script("backup", str(tmp_path / "files" / "kept.tar"), check=False)
    assert refused.returncode == 1
    (told,) = [line for line in refused.stdout.splitlines() if line.startswith("docker/backup: ")]
    assert "full: free some" in told
    assert list((tmp_path / "files").iterdir()) == []
    assert kept.running().keys() == {"postgres", "mlflow"}


def test_a_stack_that_is_down_is_backed_up_and_stays_down(kept, tmp_path):
    kept.compose("down")
    kept.make("backup", f"FILE={tmp_path}/down.tar")
    assert kept.compose("ps", "--all", "--quiet").stdout == ""
    shutil.rmtree(kept.folder / "var", ignore_errors=True)
    with tarfile.open(tmp_path / "down.tar") as tar:
        assert tar.getmember("warehouse.dump").size > tar.getmember("optuna.dump").size


def test_a_stack_that_is_stopped_is_backed_up_and_stays_so(kept, tmp_path):
    kept.up("postgres", "mlflow")
    kept.compose("stop")
    kept.make("backup", f"FILE={tmp_path}/stopped.tar")
    assert kept.running() == {}


def test_without_volumes_there_is_nothing_to_back_up(kept, tmp_path):
    empty = {"COMPOSE_PROJECT_NAME": f"{kept.name}-empty"}
    refused = kept.script("backup", str(tmp_path / "kept.tar"), check=False, **empty)
    assert (refused.returncode, "nothing to back up" in refused.stdout) == (1, True)


def test_a_server_elsewhere_has_tools_of_its_own(kept, tmp_path):
    elsewhere = {"POSTGRES_HOST": "db.invalid", "POSTGRES_PASSWORD": "secret"}
    for name in ("backup", "restore"):
        refused = kept.script(name, str(tmp_path / "kept.tar"), check=False, **elsewhere)
        assert (refused.returncode, len(refused.stdout.splitlines())) == (1, 1)
        assert "with its own tools" in refused.stdout
    assert list(tmp_path.iterdir()) == []
