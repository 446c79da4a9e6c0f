"""What targets of the Makefile hand on, and what they refuse."""

import shutil
import subprocess

import pytest

from devtools.instance import MAKE_VARIABLES
from stack.embedded.settings import load
from stack.settings import ROOT, inherited_environment


def make(*words, cwd=ROOT):
    """A finished target; its output is text."""
    # Of an outer make, what it was called with is not meant for this one.
    environment = {k: v for k, v in inherited_environment().items() if not k.startswith(MAKE_VARIABLES)}
    return subprocess.run(["make", *words], cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("source", "given"),
    [
        ("https://files.test/data", 'SOURCE_URL="https://files.test/data" '),
        # Else a URL in `.env` would count more.
        ("/data", 'SOURCE_URL= SOURCE_FOLDER="/data" '),
    ],
)
def test_a_source_goes_to_every_command_of_compose(source, given):
    shown = make("--dry-run", "run", "PLACE=compose", f"SOURCE={source}").stdout
    for command in ("up --detach --wait", "run --rm --no-deps connect run"):
        assert f"{given}docker compose {command}" in shown


def test_a_configuration_is_refused_where_it_would_not_count():
    refused = make("run", "PLACE=compose", "CONFIG=mine.yaml")
    assert refused.returncode
    assert "only CONFIG=config/applications/NAME.yaml does: edit config/base.yaml" in refused.stderr


@pytest.mark.parametrize("target", ["run", "up", "predict", "demo-failure", "explain", "validate", "doctor"])
@pytest.mark.parametrize(
    "config", ["config/applications/tagifai.yaml", ROOT / "config" / "applications" / "tagifai.yaml"]
)
def test_containers_get_the_name_and_the_source_of_an_application_s_file(target, config):
    shown = make("--dry-run", target, "PLACE=compose", f"CONFIG={config}").stdout
    assert 'APPLICATIONS="tagifai" SOURCE_URL= SOURCE_FOLDER="data/sample" ' in shown


def test_a_source_of_the_command_line_counts_more_than_that_of_an_application_s_file():
    given = ("PLACE=compose", "CONFIG=config/applications/tagifai.yaml", "SOURCE=https://files.test/data")
    assert (
        'APPLICATIONS="tagifai" SOURCE_URL="https://files.test/data" docker' in make("--dry-run", "up", *given).stdout
    )


def test_an_application_s_file_that_is_not_there_is_refused():
    refused = make("--dry-run", "up", "PLACE=compose", "CONFIG=config/applications/nothing.yaml")
    assert refused.returncode
    assert "does not exist: `make init` writes one" in refused.stderr


@pytest.mark.parametrize("place", ["embedded", "compose"])
def test_commands_are_about_the_application_that_is_named(place):
    for target in ("run", "predict", "explain", "validate", "demo-failure"):
        shown = make("--dry-run", target, f"PLACE={place}", "APPLICATION=tickets", "INPUT=a.csv", "OUTPUT=b.csv").stdout
        assert ' --application "tickets"' in shown


@pytest.mark.parametrize("target", ["run", "up", "status", "predict"])
def test_a_misspelt_place_is_refused_and_not_taken_for_the_stack_without_docker(target):
    refused = make("--dry-run", target, "PLACE=compsoe")
    assert refused.returncode
    assert "PLACE=compsoe is not a place: use one of" in refused.stderr


def test_clean_keeps_the_folder_of_datasets_that_it_cannot_delete_and_tells_what_else_to_do(tmp_path):
    (tmp_path / "key.json").write_text("not a key")
    (tmp_path / "mine.yaml").write_text(f"warehouse: {{project: shop, keyfile: {tmp_path}/key.json}}")
    var = tmp_path / "var"
    started = load(var, place="bigquery", config=tmp_path / "mine.yaml")
    started.write_config()
    refused = make("clean", "PLACE=bigquery", f"VAR={var}")
    assert refused.returncode
    assert "there are no Google credentials (" in refused.stdout
    assert f"delete the folder alone: rm -r {var}" in refused.stdout
    assert (var / "secrets.json").exists()


def test_clean_deletes_the_folder_of_an_instance_that_was_never_started(tmp_path):
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "secrets.json").write_text("{}")
    assert make("clean", "PLACE=bigquery", f"VAR={tmp_path}/var").returncode == 0
    assert not (tmp_path / "var").exists()


def test_commands_of_airbyte_take_the_name_of_an_overlay():
    assert '--overlay "cloud"' in make("--dry-run", "airbyte-plan", "PLACE=cloud").stdout


def test_clean_deletes_no_folder_that_is_not_the_stack_s(tmp_path):
    (tmp_path / "mine").touch()
    refused = make("clean", f"VAR={tmp_path}")
    assert refused.returncode
    assert "is not an instance of the stack" in refused.stderr
    assert (tmp_path / "mine").exists()


@pytest.fixture
def checkout(tmp_path):
    """Function that makes a checkout, with the environment `stack` but for its packages."""

    def checkout(name):
        folder = tmp_path / name
        shutil.copytree(ROOT / "requirements", folder / "requirements")
        (folder / "config").mkdir()
        shutil.copy(ROOT / "Makefile", folder)
        scripts = folder / "var" / "env" / "stack" / "bin"
        scripts.mkdir(parents=True)
        (scripts / "activate").write_text(f"VIRTUAL_ENV='{scripts.parent}'\n")
        return folder

    return checkout


def everything(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize("target", ["setup", "var/env/stack/.ready"])
@pytest.mark.parametrize(
    ("how", "remedy"), [("copy", "rm -r var/env"), ("link var", "rm var"), ("link environment", "rm -r var/env")]
)
def test_environments_of_another_checkout_are_left_alone(checkout, target, how, remedy):
    first, second = checkout("first"), checkout("second")
    shutil.rmtree(second / "var")
    if how == "copy":
        shutil.copytree(first / "var", second / "var")
    elif how == "link var":
        (second / "var").symlink_to(first / "var")
    else:
        (second / "var" / "env").mkdir(parents=True)
        (second / "var" / "env" / "stack").symlink_to(first / "var" / "env" / "stack")
    (second / "var" / "env" / "uv" / "bin").mkdir(parents=True)
    (second / "var" / "env" / "uv" / "bin" / "uv").touch()
    before = everything(first)
    refused = make(target, cwd=second)
    assert refused.returncode
    assert f"another checkout, '{first}/var/env/stack': delete it with `{remedy}`, then run" in refused.stderr
    assert everything(first) == before


def test_the_environments_of_a_var_on_another_disk_are_its_own(checkout, tmp_path):
    own = checkout("own")
    (own / "var").rename(tmp_path / "disk")
    (own / "var").symlink_to(tmp_path / "disk")
    # To set up would only now begin.
    assert "another checkout" not in make("var/env/stack/.ready", "PYTHON=false", cwd=own).stderr
