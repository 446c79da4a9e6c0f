"""The places of config/places."""

import io
import json
from contextlib import suppress

import pytest
import yaml
from rich.console import Console

from stack import airbyte, places
from stack.embedded import doctor
from stack.embedded.services import emulators
from stack.embedded.settings import load
from stack.embedded.supervision import Stack
from stack.environments import airflow_environment, common_environment, own_environment, warehouse_environment
from stack.errors import StackError
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
    assert config["search"] == yaml.safe_load((ROOT / "config" / "base.yaml").read_text())["search"]
    assert config["application"] == "tagifai"


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
        ("warehouse: {project: shop}", "mine.yaml: `preset` must name one of embedded, bigquery-emulator, "),
        ("preset: [embedded]", r"must name one of embedded, .*not \['embedded'\]"),
        ("preset: compose", "must name one of embedded, .*not 'compose'"),
        ("preset: bigqery", "must name one of embedded, .*not 'bigqery'"),
        ("preset: bigquery\nartefacts: gs://shop", "mine.yaml: there is no setting `artefacts`; known here: "),
        ("preset: bigquery\nsearch: {trails: 2}", "mine.yaml: there is no setting `search.trails`; known here: "),
    ],
)
def test_a_wrong_place_is_refused_by_file_and_setting(own, text, message):
    own(text)
    with pytest.raises(ConfigError, match=message):
        places.config("mine")


@pytest.mark.parametrize("name", ["../base", "./embedded", "a/b", ""])
def test_the_name_of_a_place_is_no_path(name):
    with pytest.raises(ConfigError, match=f"PLACE={name} is not a place: use one of"):
        places.config(name)


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
    for user in ("Ada.Lovelace", "grace", "Žofie Č"):
        monkeypatch.setenv("LOGNAME", user)
        prefixes.append(load(tmp_path / user, place="bigquery", config=config).config["warehouse"]["prefix"])
    # Great Expectations asks for names in small letters only.
    assert prefixes == ["ada_lovelace_", "grace_", "_ofie___"]


def test_a_user_without_a_name_has_to_set_the_prefix(make, monkeypatch):
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 4_000_000)
    with pytest.raises(ConfigError, match=r"set warehouse\.prefix"):
        make("bigquery", warehouse={"project": "shop"})
    assert make("bigquery", warehouse={"project": "shop", "prefix": ""}).config["warehouse"]["prefix"] == ""


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


@pytest.fixture
def make(tmp_path):
    """Function that loads the settings of a place, with some laid over them."""

    def make(place, *, as_started=False, **settings):
        config = tmp_path / "mine.yaml"
        config.write_text(yaml.safe_dump(settings))
        return load(tmp_path / "var", place=place, config=None if as_started else config, as_started=as_started)

    return make


@pytest.mark.parametrize("place", ["embedded", "kubernetes"])
def test_bigquery_can_be_the_warehouse_of_every_place(make, place):
    runner = {"image": f"tasks@sha256:{'0' * 64}"}
    settings = make(place, warehouse={"type": "bigquery", "project": "shop", "prefix": "a_"}, runner=runner)
    preset = places.config("bigquery")["warehouse"]
    assert settings.config["warehouse"].keys() == preset.keys()
    assert settings.config["warehouse"]["location"] == preset["location"]
    (destination,) = airbyte.declared(settings).destinations
    assert destination.configuration["destinationType"] == "bigquery"
    assert destination.configuration["dataset_id"] == "a_raw"


def test_postgresql_can_be_the_warehouse_of_a_place_for_bigquery(make):
    settings = make("bigquery", warehouse={"type": "postgres"})
    (destination,) = airbyte.declared(settings).destinations
    assert destination.configuration["destinationType"] == "postgres"


def test_the_emulated_bucket_can_be_used_with_postgresql_and_the_emulators_without_a_bucket(make):
    settings = make("bigquery-emulator", warehouse={"type": "postgres"})
    assert own_environment(settings)["GOOGLE_CLOUD_PROJECT"] == "emulated"
    (_, storage) = emulators(make("bigquery-emulator", artifacts=""))
    assert "--bucket" not in storage.command


def test_commands_after_the_start_use_the_warehouse_that_it_was_given(make):
    address = {"host": "db.example", "database": "shop", "user": "mlops"}
    started = make("embedded", warehouse=address)
    started.write_config()
    assert make("embedded", as_started=True).config["warehouse"] == {"type": "postgres", **address}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"warehouse": {"prefix": "é_"}}, "warehouse.prefix"),
        ({"warehouse": {"prefix": "Ada_"}}, "warehouse.prefix"),
        ({"warehouse": {"prefix": "a" * 64}}, "warehouse.prefix"),
        ({"warehouse": {"project": "Our Shop"}}, "warehouse.project"),
        ({"warehouse": {"labels": {"Team": "data"}}}, r"warehouse.labels.Team"),
        ({"warehouse": {"labels": {"team": "Data"}}}, r"warehouse.labels.team: .*'Data'"),
        ({"warehouse": {"labels": ["team"]}}, "warehouse.labels"),
        ({"artifacts": None}, "artifacts: Input should be a valid string"),
        ({"artifacts": "s3://shop/mlops"}, "artifacts: give gs://BUCKET/FOLDER or a folder of this machine, not 's3:"),
        ({"artifacts": "gs:/shop"}, "artifacts: give gs://BUCKET/FOLDER"),
        ({"artifacts": "gs://"}, "artifacts: give gs://BUCKET/FOLDER"),
        ({"artifacts": "gs://Our_Shop/mlops"}, "artifacts: give gs://BUCKET/FOLDER"),
        ({"mlflow": "mlflow.example:5000"}, "mlflow: String should match pattern .*https"),
        ({"runner": {"tasks": {"train": 5}}}, "runner.tasks.train"),
        ({"runner": {"type": ["venv"]}}, "runner.type"),
        ({"runner": {"type": "kubernetes", "image": 5}}, "runner.image"),
        ({"runner": {"accelerators": {"nvidia.com/gpu": 0}}}, "greater than or equal to 1"),
    ],
)
def test_an_impossible_setting_is_named_before_anything_starts(make, tmp_path, settings, message):
    warehouse = {"project": "shop"} | settings.pop("warehouse", {})
    with pytest.raises(ConfigError, match=message):
        make("bigquery", warehouse=warehouse, **settings)
    assert not (tmp_path / "var").exists()


def test_the_message_about_a_name_that_is_not_known_does_not_tell_its_value(make):
    with pytest.raises(ConfigError, match=r"warehouse\.pasword: Extra inputs") as caught:
        make("embedded", warehouse={"pasword": "hush"})
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "used"),
    [("gs://shop/mlops//", "gs://shop/mlops"), ("gs://shop", "gs://shop"), ("some/folder", str(ROOT / "some/folder"))],
)
def test_the_root_of_the_artifacts_has_no_slash_at_its_end_and_a_folder_is_absolute(make, given, used):
    assert make("embedded", artifacts=given).artifacts == used


def test_a_key_file_is_found_wherever_a_process_works_and_refused_if_it_is_missing(make, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = make("bigquery", warehouse={"project": "shop", "keyfile": "~/key.json"})
    assert own_environment(settings)["GOOGLE_APPLICATION_CREDENTIALS"] == str(tmp_path / "key.json")
    console = Console(file=io.StringIO())
    with pytest.raises(StackError, match=rf"key file {tmp_path}/key.json cannot be read: correct warehouse.keyfile"):
        doctor.require(Stack(settings), console)
    (tmp_path / "key.json").write_text("{}")
    with suppress(StackError):
        doctor.require(Stack(settings), console)
    assert make("bigquery", warehouse={"project": "p", "keyfile": "k"}).config["warehouse"]["keyfile"] == f"{ROOT}/k"


def test_nothing_starts_without_the_password_of_a_warehouse_elsewhere(make, monkeypatch):
    stack = Stack(make("embedded", warehouse={"host": "db.example", "database": "shop", "user": "mlops"}))
    screen = Console(file=io.StringIO(), width=300)
    monkeypatch.delenv("MLOPS_WAREHOUSE__PASSWORD", raising=False)
    with pytest.raises(StackError, match=r"MLOPS_WAREHOUSE__PASSWORD is not set, .* at db\.example: export it"):
        doctor.require(stack, screen)
    monkeypatch.setenv("MLOPS_WAREHOUSE__PASSWORD", "")
    assert [*doctor.secrets(stack.settings)] == []


def test_the_operator_for_gke_finds_the_connection_of_googles_default_credentials(tmp_path):
    given = airflow_environment(load(tmp_path / "var"))["AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT"]
    assert json.loads(given) == {"conn_type": "google_cloud_platform"}


def test_the_pods_of_two_instances_have_different_labels(tmp_path):
    names = [common_environment(load(tmp_path / name))["MLOPS_RUNNER__INSTANCE"] for name in ("a", "b", "a")]
    assert names[0] != names[1]
    assert names[0] == names[2]


def test_an_emulator_of_the_callers_is_not_used(make, monkeypatch):
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", "http://127.0.0.1:9")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    given = common_environment(make("bigquery", warehouse={"project": "shop"}))
    assert not given.keys() & {"BIGQUERY_EMULATOR_HOST", "STORAGE_EMULATOR_HOST"}
