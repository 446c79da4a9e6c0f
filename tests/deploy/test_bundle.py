"""The bundle: its files, its manifest, and what it refuses."""

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy import bundle as bundles
from deploy import manifest
from deploy.bundle import Bundle, build
from deploy.manifest import File
from pipeline.settings import Settings
from stack.errors import StackError
from stack.settings import ROOT


def files(folder):
    """The content of each file below a folder, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A git repository with a DAG, from which bundles are made in place of this one."""
    root = tmp_path / "repository"
    for name, text in {
        "airflow/dags/ours.py": "1",
        "airflow/dags/pipeline/__init__.py": "",
        "airflow/plugins/ui.py": "",
        ".gitignore": "__pycache__/\n*.log\n",
        "requirements/composer.in": "numpy\n",
        "airbyte/connections.yaml": "",
        "airbyte/connections.staging.yaml": "",
        "airbyte/connections.bigquery.yaml": "",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for command in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    monkeypatch.setattr(bundles, "ROOT", root)
    return root


def test_files_are_where_composer_has_them(bundle):
    paths = bundle.contents.keys()
    assert {path.partition("/")[0] for path in paths} == {"dags", "plugins", "data"}
    assert {
        *("dags/dataops.py", "dags/mlops.py", "dags/.airflowignore", "dags/pipeline/settings.py"),
        *("plugins/other_uis.py", "data/config/base.yaml", "data/dbt_transforms/dbt_project.yml"),
        *("data/great_expectations/great_expectations.yml", "data/airbyte/connections.yaml"),
    } <= paths


def test_the_settings_are_those_of_the_place_without_its_deploy(bundle):
    config = yaml.safe_load(bundle.contents["data/config/applications/tagifai.yaml"])
    assert config["warehouse"]["project"] == "ours"
    assert config["search"]["trials"] == 20
    assert "deploy" not in config


def test_the_dags_find_the_settings_beside_their_folder_as_composer_mounts_them(bundle, tmp_path, monkeypatch):
    bundle.lay_out(tmp_path / "gcs")
    code = "from pipeline.settings import PROJECT, Settings; print(PROJECT, Settings().warehouse.project)"
    command = [bundles.ROOT / "var/env/stack/bin/python", "-P", "-c", code]
    environment = {"PYTHONPATH": str(tmp_path / "gcs/dags"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(tmp_path / "gcs" / "data"), "ours"]
    assert Settings.model_fields["var"].default == ROOT / "var"


def test_the_manifest_has_the_hash_and_the_size_of_every_file(bundle):
    assert bundle.manifest.files.keys() == bundle.contents.keys()
    for path, content in bundle.contents.items():
        entry = bundle.manifest.files[path]
        assert (entry.sha256, entry.size) == (hashlib.sha256(content).hexdigest(), len(content))


def test_the_manifest_has_packages_options_variables_and_image_digests(write_place):
    config = write_place(
        deploy={"environment_variables": {"TEAM": "ours"}, "airflow_options": {"core-parallelism": 8}},
        runner={"tasks": {"train": {"image": f"gpu@sha256:{'1' * 64}"}}},
    )
    made = build("staging", config).manifest
    assert made.place == "staging"
    assert made.packages["great-expectations"].startswith("==")
    assert made.airflow_options["core-parallelism"] == "8"
    assert made.environment_variables["TEAM"] == "ours"
    assert made.environment_variables["MLOPS_LINKS__MLFLOW"] == "https://mlflow.example"
    assert made.environment_variables["DO_NOT_TRACK"] == "1"
    assert made.images == {"tasks": config["runner"]["image"], "train": f"gpu@sha256:{'1' * 64}"}


def test_equal_input_gives_equal_bytes_and_the_manifest_comes_back_as_it_was(write_place, tmp_path):
    config = write_place()
    one, other = build("staging", config), build("staging", config)
    one.write(tmp_path / "one")
    other.write(tmp_path / "other")
    assert files(tmp_path / "one") == files(tmp_path / "other")
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "one").rglob("*") if path.is_file()}
    assert modes == {0o644}
    text = (tmp_path / "one" / "manifest.json").read_text()
    assert manifest.read(tmp_path / "one" / "manifest.json") == one.manifest
    assert text.endswith("}\n")
    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n"
    assert one.manifest.id == hashlib.sha256(text.encode()).hexdigest()[:12]


def test_one_changed_byte_gives_another_id(repository, write_place):
    config = write_place()
    before = build("staging", config).manifest.id
    (repository / "airflow/dags/ours.py").write_text("2")
    assert build("staging", config).manifest.id != before


def test_neither_ignored_nor_unknown_files_are_in_the_bundle_and_the_unknown_are_named(repository, write_place):
    cache = repository / "airflow/dags/__pycache__"
    cache.mkdir()
    (cache / "ours.pyc").touch()
    (repository / "airflow/dags/debug.log").touch()
    (repository / "airflow/dags/scratch.py").touch()
    config = write_place()
    assert sorted(build("staging", config).contents) == [
        "dags/ours.py",
        "dags/pipeline/__init__.py",
        "data/airbyte/connections.staging.yaml",
        "data/airbyte/connections.yaml",
        "data/config/applications/tagifai.yaml",
        "data/config/base.yaml",
        "plugins/ui.py",
    ]
    assert bundles.left_out("staging", config) == ["airflow/dags/scratch.py"]


def test_an_overlay_of_the_place_that_is_not_in_git_is_named_and_those_of_other_places_are_not(repository, write_place):
    for name in ("staging", "bigquery"):
        subprocess.run(["git", "rm", "--quiet", "--cached", f"airbyte/connections.{name}.yaml"], cwd=repository)
    assert bundles.left_out("staging", write_place()) == ["airbyte/connections.staging.yaml"]


def test_a_name_that_is_not_utf_8_is_shown_if_left_out_and_refused_in_the_bundle(repository, write_place):
    config, name = write_place(), os.fsdecode(b"airflow/dags/a\xff.txt")
    (repository / name).touch()
    assert bundles.left_out("staging", config) == [r"airflow/dags/a\xff.txt"]
    subprocess.run(["git", "add", name], cwd=repository, check=True)
    with pytest.raises(StackError, match=r"file 'dags/a.*\.txt': not UTF-8, as names in a bucket are: give it another"):
        build("staging", config)
    (repository / name).unlink()
    with pytest.raises(StackError, match=r"airflow/dags/a\\xff\.txt is in git and cannot be read"):
        build("staging", config)


def test_a_file_that_is_gone_from_the_working_tree_is_an_error(repository, write_place):
    (repository / "airflow/dags/ours.py").unlink()
    with pytest.raises(StackError, match=r"airflow/dags/ours\.py is in git and cannot be read.*git rm"):
        build("staging", write_place())


def test_a_folder_that_is_not_in_git_is_an_error(tmp_path, write_place, monkeypatch):
    config = write_place()
    monkeypatch.setattr(bundles, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(StackError, match="git cannot list the files"):
        build("staging", config)


def test_a_new_bundle_takes_the_place_of_an_old_one_and_of_nothing_else(bundle, tmp_path):
    target = tmp_path / "bundle"
    Bundle({"dags/old.py": b""}, bundle.manifest.model_copy(update={"files": {"dags/old.py": File.of(b"")}})).write(
        target
    )
    bundle.write(target)
    assert files(target).keys() == {*bundle.contents, "packages.txt", "manifest.json"}


def test_a_folder_with_anything_that_is_not_of_a_bundle_is_left_alone(bundle, tmp_path):
    written, dbt = tmp_path / "bundle", tmp_path / "target"
    bundle.write(written)
    (written / "dags" / "mine.py").touch()
    dbt.mkdir()
    (dbt / "manifest.json").write_text("{}")
    for folder, other in {written: "dags/mine.py", dbt: "manifest.json"}.items():
        before = files(folder)
        with pytest.raises(StackError, match=rf"{folder} is not overwritten, since {other} is not of a bundle: give"):
            bundle.write(folder)
        assert files(folder) == before


def test_a_folder_that_cannot_be_written_is_an_error_with_its_remedy(bundle, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match=r"file/bundle cannot be written \(.+\): give OUTPUT another folder"):
        bundle.write(tmp_path / "file" / "bundle")
    with pytest.raises(StackError, match=r"/proc/x cannot be written \(.+\): give OUTPUT another folder"):
        bundle.write(Path("/proc/x"))


def test_names_that_composer_rejects_and_secrets_are_refused_together(write_place):
    config = write_place(
        deploy={
            "environment_variables": {"GCS_BUCKET": "mine", "MLOPS_STUDIES": "x", "AIRFLOW_CONN_A": "a://b:c@d"},
            "airflow_options": {"core.parallelism": 1},
        },
        mlflow="https://me:mine@host",
    )
    with pytest.raises(StackError) as refused:
        build("staging", config)
    told = str(refused.value).splitlines()
    words = ("GCS_BUCKET", "core.parallelism", "MLOPS_MLFLOW holds a secret", "MLOPS_LINKS__MLFLOW holds a secret")
    words += ("AIRFLOW_CONN_A holds a secret", "MLOPS_STUDIES holds a secret")
    for line, word in zip(told, words, strict=True):
        assert line.startswith(str(bundles.places.path("staging")))
        assert word in line


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"{}", "place: Field required"), (b"x", "JSON"), (b'"\xff"', "JSON"), (None, "cannot be read")],
)
def test_a_manifest_that_is_none_is_an_error_with_its_remedy(tmp_path, content, told):
    file = tmp_path / "manifest.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(StackError, match=told) as refused:
        manifest.read(file)
    assert str(file) in str(refused.value)
