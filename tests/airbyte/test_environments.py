"""Connectors from a package index, installed by the real uv; most of them are wheels that the tests create."""

import fcntl
import logging
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from airbyte_protocol.models import FailureType
from airbyte_testing import ROOT, let_go, wait_until

from airbyte_local.connectors import environments
from airbyte_local.connectors.environments import ConnectorInstallError

UV = ROOT / "var" / "env" / "uv" / "bin" / "uv"
# Gives the program of a connector in another process: folder, uv, package, version.
OTHER_PROCESS = """
import logging, sys
from pathlib import Path
from airbyte_local.connectors.environments import executable
logging.basicConfig(level=logging.INFO)
folder, uv, package, version = sys.argv[1:]
print(executable(package, version, folder=Path(folder), uv=Path(uv), run='test', log=logging.getLogger()))
"""


@pytest.fixture(autouse=True)
def wheels(tmp_path, monkeypatch):
    """Folder that uv uses as its only index, with a cache for this test."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def index(monkeypatch):
    """Use uv's default package index."""
    monkeypatch.delenv("UV_FIND_LINKS")
    monkeypatch.delenv("UV_OFFLINE")


@pytest.fixture
def connectors(tmp_path):
    """Folder of the installed connectors."""
    return tmp_path / "connectors"


@pytest.fixture
def executable(connectors, caplog):
    """Calls `executable` with these tests' folder and uv."""

    def call(package="airbyte-source-tiny", version="1.0", uv=UV, folder=connectors):
        log = logging.getLogger("test")
        log.setLevel(logging.INFO)
        return environments.executable(package, version, folder=folder, uv=uv, run="test", log=log)

    return call


@pytest.fixture
def other_process(connectors):
    """Calls `executable` in another process."""

    def start(uv=UV):
        command = [sys.executable, "-c", OTHER_PROCESS, connectors, uv, "airbyte-source-tiny", "1.0"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "airbyte")}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start


@pytest.fixture
def uv_that(tmp_path):
    """Creates a uv that first runs this shell code."""

    def make(code):
        program = tmp_path / "uv"
        program.write_text(f'#!/bin/sh\n{code}\nexec {UV} "$@"\n')
        program.chmod(0o755)
        return program

    return make


def make_wheel(folder, *scripts, name="airbyte-source-tiny", version="1.0", metadata="", says="tiny"):
    """Write a package whose console scripts print the text `says`."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    entries = "".join(f"{script} = {module}:main\n" for script in scripts)
    files = {
        f"{module}.py": f"def main():\n    print({says!r})\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{entries}",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{module}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)


def output_of(program, *arguments):
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=True, env={}).stdout


def test_a_package_of_the_index_is_installed_from_a_lock_with_hashes_and_reused(executable, index, connectors, caplog):
    try:
        program = executable("CowSay", "6.1")
    except ConnectorInstallError as error:
        if error.failure_type is not FailureType.transient_error:
            raise
        pytest.skip(f"needs the package index: {error}")
    assert program == connectors / "cowsay-6.1" / "env" / "bin" / "cowsay"
    assert "hello" in output_of(program, "-t", "hello")
    lock = (connectors / "cowsay-6.1" / "requirements.txt").read_text()
    assert lock.startswith("cowsay==6.1 \\\n    --hash=sha256:")
    assert "://" not in lock
    assert [*(connectors / "cowsay-6.1").glob("env/lib/*/site-packages/cowsay/__pycache__/main.*.pyc")]
    assert caplog.text.count("installing the connector cowsay 6.1") == 1
    assert executable("cowsay", "6.1", uv=Path("/no/uv")) == program
    assert caplog.text.count("installing the connector cowsay 6.1") == 1


def test_dependencies_are_locked_too_and_separate_for_each_connector(executable, wheels, connectors):
    make_wheel(wheels, "tiny", metadata="Requires-Dist: needed<3\n")
    make_wheel(wheels, "tiny", version="2.0", metadata="Requires-Dist: needed\n", says="tiny 2")
    for version in ("2.0", "3.0"):
        make_wheel(wheels, name="needed", version=version)
    assert [output_of(executable(version=version)) for version in ("1.0", "2.0")] == ["tiny\n", "tiny 2\n"]
    locks = [(connectors / f"airbyte-source-tiny-{v}" / "requirements.txt").read_text() for v in ("1.0", "2.0")]
    assert ["needed==2.0" in lock for lock in locks] == [True, False]
    assert all(lock.count("==") == lock.count("--hash=sha256:") == 2 for lock in locks)


def test_of_several_console_scripts_the_one_named_like_the_package_is_the_connector(executable, wheels):
    make_wheel(wheels, "another", "source-tiny", "zzz")
    assert executable().name == "source-tiny"


@pytest.mark.parametrize(
    ("scripts", "words"), [([], "no console script"), (["b", "a"], "the console scripts a, b")], ids=["none", "others"]
)
def test_a_package_without_such_a_console_script_is_not_a_connector(executable, wheels, scripts, words):
    make_wheel(wheels, *scripts)
    with pytest.raises(ConnectorInstallError, match=f"{words}, so it is not a connector; correct `package`") as error:
        executable()
    assert error.value.failure_type is FailureType.config_error


@pytest.mark.parametrize("package", ["", "../x", "/x", "a/b", "--help", "-r", "a b", "a==1", "x@file:x", ".a", "a\n"])
def test_an_invalid_name_is_refused_before_anything_is_done(executable, connectors, package):
    with pytest.raises(ConnectorInstallError, match="correct `package`"):
        executable(package)
    assert not connectors.exists()


@pytest.mark.parametrize("version", ["", "latest", ">=1", "1.*", "1 --pre", "../1", "1/2", "1;x", "1.0\n", "٣"])
def test_a_version_that_is_not_exact_is_refused_before_anything_is_done(executable, connectors, version):
    with pytest.raises(ConnectorInstallError, match="correct `version`"):
        executable(version=version)
    assert not connectors.exists()


@pytest.mark.parametrize("version", ["1!2.0", "1.0rc1", "1.0.post1", "1.0.dev3"])
def test_every_canonical_public_version_can_be_asked_for(executable, wheels, version):
    make_wheel(wheels, "tiny", version=version)
    assert executable(version=version).parts[-4] == f"airbyte-source-tiny-{version}"


def test_a_version_that_the_index_does_not_have_is_reported(executable, index):
    with pytest.raises(ConnectorInstallError) as error:
        executable("cowsay", "999.0")
    if error.value.failure_type is FailureType.transient_error:
        pytest.skip(f"needs the package index: {error.value}")
    assert error.value.failure_type is FailureType.config_error
    assert "does not exist: correct `package` or `version` of cowsay in connectors.yaml" in str(error.value)
    assert "there is no version of cowsay==999.0" in str(error.value)


@pytest.mark.parametrize("own", [True, False], ids=["the package", "what it needs"])
def test_a_package_for_another_python_is_reported(executable, wheels, own):
    newer = "Requires-Python: >=3.99\n"
    make_wheel(wheels, "tiny", metadata="Requires-Dist: needed\n" + (newer if own else ""))
    make_wheel(wheels, name="needed", metadata="" if own else newer)
    with pytest.raises(
        ConnectorInstallError, match=r"does not support Python 3\.11 on this machine: use another"
    ) as error:
        executable()
    assert error.value.failure_type is FailureType.config_error
    assert ">=3.99" in str(error.value)


def test_conflicting_dependencies_are_reported(executable, wheels):
    make_wheel(wheels, "tiny", metadata="Requires-Dist: needed<2\nRequires-Dist: needed>2\n")
    with pytest.raises(ConnectorInstallError, match="use another version") as error:
        executable()
    assert error.value.failure_type is FailureType.config_error
    assert "needed" in str(error.value)


def test_an_index_that_does_not_answer_is_a_temporary_failure(executable, wheels, index, monkeypatch):
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(ConnectorInstallError, match="the package index does not answer: check the network") as error:
        executable()
    assert error.value.failure_type is FailureType.transient_error
    assert "Connection refused" in str(error.value)
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels))
    monkeypatch.setenv("UV_OFFLINE", "1")
    with pytest.raises(ConnectorInstallError, match="UV_OFFLINE forbids the network") as error:
        executable()
    assert error.value.failure_type is FailureType.config_error
    make_wheel(wheels, "tiny")
    assert output_of(executable()) == "tiny\n"


def test_a_file_that_differs_from_the_lock_file_is_not_installed(executable, wheels, connectors, tmp_path, monkeypatch):
    make_wheel(wheels, "tiny")
    executable()
    lock = connectors / "airbyte-source-tiny-1.0" / "requirements.txt"
    (lock.parent / ".ready").unlink()
    make_wheel(wheels, "tiny", says="something else")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "another cache"))
    with pytest.raises(ConnectorInstallError, match="another file than the lock file") as error:
        executable()
    assert str(lock) in str(error.value)
    assert error.value.failure_type is FailureType.config_error


def test_without_uv_the_error_says_what_to_do(executable, tmp_path):
    with pytest.raises(ConnectorInstallError, match="uv is missing: run `make setup`"):
        executable(uv=tmp_path / "uv")


def test_uv_gets_only_its_own_variables_and_those_for_the_network(executable, wheels, uv_that, tmp_path, monkeypatch):
    make_wheel(wheels, "tiny")
    for name in ("MLOPS_WAREHOUSE__PASSWORD", "AIRBYTE_X", "PYTHONPATH", "VIRTUAL_ENV", "https_proxy", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, "of the caller")
    executable(uv=uv_that(f"env >> {tmp_path}/told"))
    told = {line.partition("=")[0] for line in (tmp_path / "told").read_text().splitlines()}
    assert {"UV_CACHE_DIR", "UV_OFFLINE", "HOME", "PATH", "https_proxy", "SSL_CERT_FILE"} <= told
    assert not {"MLOPS_WAREHOUSE__PASSWORD", "AIRBYTE_X", "PYTHONPATH", "VIRTUAL_ENV"} & told


def test_a_killed_installation_is_repeated_from_the_same_lock_file_after_its_uv_has_ended(
    executable, other_process, wheels, connectors, uv_that, named_pipe
):
    make_wheel(wheels, "tiny", metadata="Requires-Dist: needed\n")
    make_wheel(wheels, name="needed", version="2.0")
    killer = uv_that(f'case "$*" in "pip sync"*) kill -9 $PPID; cat {named_pipe} ;; esac')
    killed = other_process(uv=killer)
    killed.communicate()
    assert killed.returncode == -9
    home = connectors / "airbyte-source-tiny-1.0"
    assert not (home / ".ready").exists()
    lock = (home / "requirements.txt").read_text()
    assert "needed==2.0" in lock
    with (home / ".lock").open() as held, pytest.raises(BlockingIOError):
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    make_wheel(wheels, name="needed", version="3.0")  # a new lock would have it
    let_go(named_pipe)
    assert output_of(executable()) == "tiny\n"
    assert (home / "requirements.txt").read_text() == lock


def test_an_incomplete_environment_is_replaced(executable, wheels, connectors):
    make_wheel(wheels, "tiny")
    program = executable()
    (connectors / "airbyte-source-tiny-1.0" / ".ready").unlink()
    next(program.parents[1].glob("lib/*/site-packages/airbyte_source_tiny.py")).unlink()
    assert output_of(executable()) == "tiny\n"


def test_an_environment_that_was_moved_is_recreated(executable, wheels, connectors, tmp_path):
    make_wheel(wheels, "tiny")
    executable()
    moved = connectors.rename(tmp_path / "moved")
    assert output_of(executable(folder=moved)) == "tiny\n"


def test_an_environment_without_its_python_is_recreated(executable, wheels):
    make_wheel(wheels, "tiny")
    python = executable().with_name("python")
    python.unlink()
    python.symlink_to("/no/python3.11")
    assert output_of(executable()) == "tiny\n"


def test_of_two_concurrent_processes_one_installs_and_both_get_the_program(
    other_process, wheels, connectors, uv_that, named_pipe
):
    make_wheel(wheels, "tiny")
    first = other_process(uv=uv_that(f'case "$*" in "pip sync"*) cat {named_pipe} ;; esac'))
    wait_until((connectors / "airbyte-source-tiny-1.0" / "env" / "bin" / "python").exists)
    second = other_process(uv=Path("/no/uv"))
    wait_until(lambda: any(f" {second.pid} " in line for line in waiting_for_locks()))
    let_go(named_pipe)
    said = [process.communicate() for process in (first, second)]
    assert {out.strip() for out, _ in said} == {str(connectors / "airbyte-source-tiny-1.0" / "env" / "bin" / "tiny")}
    assert ["installing" in err for _, err in said] == [True, False]


def waiting_for_locks():
    """Lines of /proc/locks about waiting processes."""
    return [line for line in Path("/proc/locks").read_text().splitlines() if "-> FLOCK" in line]
