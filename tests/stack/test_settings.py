"""The launcher's settings."""

import json
import stat

import pytest

from stack import settings as module
from stack.embedded.settings import load
from stack.settings import ROOT, ConfigError, made_secrets


def overlay(folder, text):
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


def test_an_overlay_replaces_single_settings_and_keeps_the_rest(tmp_path):
    before = load(tmp_path / "var").config
    settings = load(tmp_path / "var", config=overlay(tmp_path, "labels: {min_freq: 7}\nports: {airflow: 9080}"))
    assert settings.config["labels"] == before["labels"] | {"min_freq": 7}
    assert settings.config["search"] == before["search"]
    assert settings.ports.airflow == 9080
    assert settings.ports.mlflow == 5000


def test_the_default_source_is_the_sample_and_a_folder_becomes_absolute(tmp_path, monkeypatch):
    assert load(tmp_path / "var").config["source"] == str(ROOT / "data" / "sample")
    monkeypatch.chdir(tmp_path)
    assert load(tmp_path / "var", source="files").config["source"] == str(tmp_path / "files")


def test_a_url_stays_a_url(tmp_path):
    assert load(tmp_path / "var", source="https://example.org/data/").config["source"] == "https://example.org/data"


def test_a_source_that_nothing_here_can_load_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="source: gs://… cannot be loaded; give a folder or"):
        load(tmp_path / "var", source="gs://bucket/folder")
    with pytest.raises(ConfigError, match="source: gs://… cannot be loaded; give a folder or"):
        load(tmp_path / "var", config=overlay(tmp_path, "source: gs://bucket/folder"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lables: {min_freq: 7}", "there is no setting `lables`; known here: applications, "),
        ("labels: {minfreq: 7}", "there is no setting `labels.minfreq`; known here: known, classes, min_freq"),
        ("labels: 7", "`labels` holds settings of its own: known, classes, min_freq"),
        ("ports: {airflow: 80}", "ports.airflow: Input should be greater than or equal to 1024, not 80"),
        ("search: {folds: 1}", "search.folds: Input should be greater than or equal to 3, not 1"),
        ("checks: {min_labeled: many}", "checks.min_labeled: Input should be a valid integer"),
        ("airbyte: {job_timeout: 0}", "airbyte.job_timeout: Input should be greater than or equal to 1, not 0"),
        ("labels: {classes: [yes]}", "labels.classes.0: Input should be a valid string, not True: put it in quotes"),
        ("labels: {classes: [a, 1]}", "labels.classes.1: Input should be a valid string, not 1: put it in quotes"),
        (
            "labels: {known: [2020-01-01]}",
            "labels.known.0: Input should be a valid string, not datetime.date(2020, 1, 1)",
        ),
        ("labels: {several: last}", "labels.several: Input should be 'first', 'most_frequent' or 'stop', not 'last'"),
        ("columns: {label: kind}", "columns.label: 'kind' must be a column of sources.tags"),
        (
            "labels:\n  min_freq: 7\n  min_freq: 8",
            "is not valid YAML: `min_freq` stands in line 2 and in line 3: leave one",
        ),
        (
            "labels: {min_freq: 7}\nmlflow: ''\nlabels: {}",
            "is not valid YAML: `labels` stands in line 1 and in line 3: leave one",
        ),
        (
            "labels: {min_freq: 7, min_freq: 8}",
            "is not valid YAML: `min_freq` stands in line 1 and in line 1: leave one",
        ),
        (
            "model: {name: 'C# tickets'}",
            "model.name: Value error, MLflow cannot register or load a model named 'C# tickets'",
        ),
        ("- a list", "must hold settings as `name: value`"),
        ("a: b: c", "is not valid YAML"),
    ],
)
def test_a_wrong_overlay_is_refused_by_file_and_setting(tmp_path, text, message):
    path = overlay(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "var", config=path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_an_overlay_that_is_missing_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read"):
        load(tmp_path / "var", config=tmp_path / "nowhere.yaml")


@pytest.fixture
def save(tmp_path):
    """Function that changes the settings as they were started with, and saves them."""

    def save(change):
        settings = load(tmp_path / "var")
        change(settings.config)
        settings.write_config()

    return save


def test_what_another_version_saved_holds_as_far_as_this_one_knows_it(tmp_path, save):
    def change(saved):
        del saved["labels"]["rest"], saved["ports"]["mlflow"]
        saved["labels"] |= {"gone": 1, "known": ["mlops"]}
        saved |= {"gone": {"too": 1}, "slices": 8, "threshold": {"low": 0.5}}

    now = load(tmp_path / "var").config
    save(change)
    restored = load(tmp_path / "var", as_started=True).config
    assert restored == now | {"labels": now["labels"] | {"known": ["mlops"]}}


@pytest.mark.parametrize("place", ["embedded", "bigquery-emulator"])
def test_settings_of_the_last_start_are_saved_again_byte_for_byte(tmp_path, place):
    started = load(tmp_path / "var", place=place)
    started.write_config()
    assert load(tmp_path / "var", place=place, as_started=True).config_texts() == started.config_texts()


def test_a_saved_setting_that_is_impossible_now_is_named_with_its_file(tmp_path, save):
    save(lambda saved: saved["search"].update(folds=1))
    with pytest.raises(ConfigError, match=r"var/applications/tagifai\.yaml: search\.folds: Input should be greater"):
        load(tmp_path / "var", as_started=True)


def test_secrets_are_made_once_a_machine_and_only_their_owner_reads_them(tmp_path):
    first = load(tmp_path / "one").secrets
    assert load(tmp_path / "one").secrets == first
    other = load(tmp_path / "two").secrets
    assert not set(first.values()) & set(other.values())
    path = tmp_path / "one" / "secrets.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == first


def test_of_two_commands_that_make_the_secrets_at_once_one_does_and_both_know_them(tmp_path, monkeypatch):
    write, others = module.write_private, []

    def write_as_second(path, text, **options):
        monkeypatch.undo()
        others.append(made_secrets(path))
        write(path, text, **options)

    monkeypatch.setattr(module, "write_private", write_as_second)
    assert [made_secrets(tmp_path / "secrets.json")] == others
    assert [each.name for each in tmp_path.iterdir()] == ["secrets.json"]


def test_a_secret_of_a_later_version_is_made_and_the_others_stay(tmp_path):
    first = made_secrets(tmp_path / "secrets.json")
    (tmp_path / "secrets.json").write_text(json.dumps({"postgres": first["postgres"]}))
    second = made_secrets(tmp_path / "secrets.json")
    assert second.keys() == first.keys()
    assert second["postgres"] == first["postgres"]
    assert made_secrets(tmp_path / "secrets.json") == second
