import pytest
import yaml
from pydantic import ValidationError

from tagifai import settings
from tagifai.errors import TagifaiError

ENVIRONMENT = {
    "MLOPS_WAREHOUSE__TYPE": "postgres",
    "MLOPS_WAREHOUSE__HOST": "warehouse.example",
    "MLOPS_WAREHOUSE__PORT": "5432",
    "MLOPS_WAREHOUSE__DATABASE": "warehouse",
    "MLOPS_WAREHOUSE__USER": "tagger",
    "MLOPS_WAREHOUSE__PASSWORD": "secret-password",
    "MLOPS_ARTIFACTS": "artifacts",
    "MLOPS_MLFLOW": "http://127.0.0.1:5000",
    "MLOPS_STUDIES": "postgresql+psycopg2://o:secret-password@127.0.0.1/optuna",
}


@pytest.fixture
def configure(monkeypatch, tmp_path):
    """Function that writes the settings of the example with some values changed, and sets the environment."""

    def configure(environment=ENVIRONMENT, **values):
        config = yaml.safe_load(settings.BASE_CONFIG.read_text())
        for name, value in yaml.safe_load((settings.APPLICATIONS / "tagifai.yaml").read_text()).items():
            config[name] = {**config.get(name, {}), **value} if isinstance(value, dict) else value
        for name, value in values.items():
            *path, last = name.split("__")
            section = config
            for part in path:
                section = section[part]
            section[last] = value
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        monkeypatch.setenv("MLOPS_CONFIG", str(tmp_path / "config.yaml"))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

    return configure


def test_the_config_file_and_the_environment_are_merged(configure, monkeypatch):
    configure(threshold=0.3)
    monkeypatch.setenv("MLOPS_SEARCH__TRIALS", "7")
    loaded = settings.load()
    assert (loaded.threshold, loaded.search.trials, loaded.search.workers) == (0.3, 7, 2)
    assert loaded.warehouse.port == 5432


def test_without_mlops_config_the_file_of_the_repository_is_read(configure, monkeypatch):
    configure()
    monkeypatch.delenv("MLOPS_CONFIG")
    assert settings.load().model.name == "tagifai"


def test_top_level_settings_of_other_readers_are_ignored(configure):
    configure(application="another", of_somebody_else={"a": 1})
    assert not hasattr(settings.load(), "application")


def test_settings_cannot_be_changed(configure):
    configure()
    with pytest.raises(ValidationError):
        settings.load().search.trials = 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"labels__min_freq": 0}, "labels.min_freq: Input should be greater than or equal to 1"),
        ({"labels__minfreq": 5}, "labels.minfreq: Extra inputs are not permitted"),
        ({"split__test_size": 1}, "split.test_size: Input should be less than 1"),
        ({"search__space__c": [1.0, 0.1]}, "search.space: .*c must be .lowest, highest."),
        ({"search__space__max_df": []}, "search.space.max_df: .*at least 1 item"),
        ({"search__trials": 1}, r"search: .*trials \(1\) must not be fewer than workers \(2\)"),
        ({"search__minutes": 0}, "search.minutes: Input should be greater than 0"),
        (
            {"slices__patterns": {"a": "("}},
            r"slices.patterns.a: .*'\(' is not a regular expression of Python: missing",
        ),
        ({"slices__patterns": {"short_text": "a"}}, "slices: .*patterns must not have the name short_text"),
        ({"threshold": 1.5}, "threshold: Input should be less than 1"),
        (
            {"model__name": "C# tickets"},
            "model.name: .* a model named 'C# tickets': use 1 to 256 visible .* none of / :",
        ),
    ],
)
def test_an_error_message_names_the_wrong_setting_and_how_to_fix_it(configure, values, message):
    configure(**values)
    with pytest.raises(TagifaiError, match=rf"{message}.*; correct .*config\.yaml or the environment"):
        settings.load()


@pytest.mark.parametrize("name", ["tagifai", "C tickets, v1.2 (new)", "12", "यह-é_翻訳 🤗", "x" * 256])
def test_a_model_may_have_any_name_that_mlflow_can_load(name):
    assert settings.Model(name=name).name == name


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", ".", "..", " a", "a ", "a.", "\u00a0a", "x" * 257),
        *("a/b", "a:b", "a#b", "a?b", "a@b", "a%20b", "a'b", 'a"b', "a\tb", "a\n", "a\u200bb", "a\x00b"),
    ],
)
def test_a_model_may_not_have_a_name_that_mlflow_cannot_load(name):
    with pytest.raises(ValidationError, match=r"use 1 to 256 visible characters"):
        settings.Model(name=name)


def test_an_error_message_names_missing_variables_and_shows_no_secret(configure):
    configure({name: each for name, each in ENVIRONMENT.items() if "PORT" not in name and "STUDIES" not in name})
    with pytest.raises(TagifaiError, match=r"warehouse\.port: Field required; studies: Field required") as caught:
        settings.load()
    assert "secret-password" not in str(caught.value)


def test_an_mlflow_that_is_not_set_is_no_default_one(configure):
    configure({name: each for name, each in ENVIRONMENT.items() if "MLFLOW" not in name})
    with pytest.raises(TagifaiError, match="mlflow: not set"):
        settings.load()


def test_an_error_message_names_a_missing_or_broken_config_file(monkeypatch, tmp_path):
    file = tmp_path / "mine.yaml"
    monkeypatch.setenv("MLOPS_CONFIG", str(file))
    with pytest.raises(TagifaiError, match=r"mine\.yaml does not exist"):
        settings.load()
    file.write_text("labels: [")
    with pytest.raises(TagifaiError, match=r"mine\.yaml is not YAML"):
        settings.load()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"texts": ["title", "Tag"]}, "tag is named twice: a column is for one thing"),
        ({"id": None, "texts": ["ID"]}, "id is named twice"),
        ({"label": "Probability"}, "probability is a column of the predictions: rename that of the source"),
    ],
)
def test_columns_with_names_that_cannot_be_told_apart_are_refused(columns, message):
    with pytest.raises(ValidationError, match=message):
        settings.Columns(**{"id": "id", "texts": ["title"], "label": "tag"} | columns)
