"""The places of config/places."""

import pytest
import yaml

from stack import places
from stack.embedded.settings import load
from stack.environments import own_environment, warehouse_environment
from stack.settings import ROOT, ConfigError


@pytest.fixture
def own(monkeypatch, tmp_path):
    """Function that writes a place of one's own, named `mine`."""
    for path in places.FOLDER.glob("*.yaml"):
        (tmp_path / path.name).write_text(path.read_text())
    monkeypatch.setattr(places, "FOLDER", tmp_path)
    return lambda text: (tmp_path / "mine.yaml").write_text(text)


@pytest.mark.parametrize("place", places.PRESETS)
def test_every_preset_has_a_file_that_says_where_commands_run_and_what_the_warehouse_is(place):
    config = places.config(place)
    assert config["runner"]["type"] in ("venv", "kubernetes")
    assert config["warehouse"]["type"] in ("postgres", "bigquery")
    assert config["labels"] == yaml.safe_load((ROOT / "config" / "base.yaml").read_text())["labels"]


def test_a_place_of_ones_own_changes_what_it_names_and_keeps_the_rest_of_its_preset(own):
    own("preset: bigquery\nwarehouse: {project: shop, labels: {team: data}}\nartifacts: gs://shop/mlops\n")
    config, preset = places.config("mine"), places.config("bigquery")
    assert config["warehouse"] == preset["warehouse"] | {"project": "shop", "labels": {"team": "data"}}
    assert config["artifacts"] == "gs://shop/mlops"
    assert config["search"] == preset["search"]
    assert places.launcher("mine") == "embedded"
    assert "mine" in places.known()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("warehouse: {project: shop}", "mine.yaml: `preset` must name one of embedded, compose, bigquery-emulator, "),
        ("preset: bigqery", "must name one of embedded, .*not 'bigqery'"),
        ("preset: bigquery\nartefacts: gs://shop", "mine.yaml: there is no setting `artefacts`; known here: "),
        ("preset: bigquery\nsearch: {trails: 2}", "mine.yaml: there is no setting `search.trails`; known here: "),
    ],
)
def test_a_wrong_place_is_refused_by_file_and_setting(own, text, message):
    own(text)
    with pytest.raises(ConfigError, match=message):
        places.config("mine")


def test_a_place_that_is_missing_is_refused_with_those_that_there_are():
    with pytest.raises(ConfigError, match=r"PLACE=stagin is not a place: use one of embedded, compose, .*stagin\.yaml"):
        places.launcher("stagin")


def test_composer_is_not_started_from_here():
    with pytest.raises(ConfigError, match="run by Cloud Composer"):
        places.launcher("composer")


def test_bigquery_without_a_project_is_refused_before_anything_starts(tmp_path):
    with pytest.raises(ConfigError, match=r"warehouse\.project is not set: give the id"):
        load(tmp_path / "var", place="bigquery")
    assert not (tmp_path / "var").exists()


def test_two_people_of_one_project_have_datasets_of_their_own(tmp_path, monkeypatch):
    config = tmp_path / "mine.yaml"
    config.write_text("warehouse: {project: shop}")
    prefixes = []
    for user in ("ada.lovelace", "grace"):
        monkeypatch.setenv("LOGNAME", user)
        prefixes.append(load(tmp_path / user, place="bigquery", config=config).config["warehouse"]["prefix"])
    assert prefixes == ["ada_lovelace_", "grace_"]


def test_the_processes_of_the_emulated_place_find_the_emulators_and_no_account(tmp_path):
    settings = load(tmp_path / "var", place="bigquery-emulator")
    given = own_environment(settings)
    assert given["BIGQUERY_EMULATOR_HOST"] == f"http://127.0.0.1:{settings.ports.bigquery}"
    assert given["STORAGE_EMULATOR_HOST"] == f"http://127.0.0.1:{settings.ports.storage}"
    assert given["GOOGLE_APPLICATION_CREDENTIALS"] == str(tmp_path / "var" / "emulators" / "key.json")
    assert given["MLOPS_ARTIFACTS"] == "gs://emulated/artifacts"
    warehouse = warehouse_environment(settings)
    assert warehouse["MLOPS_WAREHOUSE__TYPE"] == "bigquery"
    assert warehouse["MLOPS_WAREHOUSE__PREFIX"] == ""
    assert warehouse["MLOPS_WAREHOUSE__STORAGE_API"] == f"127.0.0.1:{settings.ports.bigquery_storage}"


def test_a_postgresql_elsewhere_is_the_warehouse_and_its_password_comes_from_the_environment(tmp_path, monkeypatch):
    config = tmp_path / "mine.yaml"
    config.write_text("warehouse: {host: db.example, database: shop, user: mlops}")
    monkeypatch.setenv("MLOPS_WAREHOUSE__PASSWORD", "from outside")
    given = warehouse_environment(load(tmp_path / "var", config=config))
    address = ("db.example", "5432", "shop", "mlops", "from outside")
    assert (
        tuple(given[f"MLOPS_WAREHOUSE__{name}"] for name in ("HOST", "PORT", "DATABASE", "USER", "PASSWORD")) == address
    )
