"""Several applications of one stack: which there are, what each has of its own, and what they must not share."""

import json
from pathlib import Path

import pytest
import yaml

from stack import airbyte, places
from stack.embedded.settings import load
from stack.environments import common_environment
from stack.settings import ConfigError

OTHERS = ("config.yaml", "applications/tickets.yaml", "applications/tagifai.yaml")


@pytest.fixture
def make(tmp_path):
    """Function that loads the settings of an instance, with some laid over them."""

    def make(*, application=None, as_started=False, source=None, **settings):
        config = tmp_path / "mine.yaml"
        config.write_text(yaml.safe_dump(settings))
        given = {"application": application, "as_started": as_started, "source": source}
        return load(tmp_path / "var", config=config if settings else None, **given)

    return make


@pytest.fixture
def both(write_application, make):
    """Function that loads the settings of the example and of another application, tickets."""
    write_application("tickets")
    return lambda **options: make(applications=["tagifai", "tickets"], **options)


def test_each_application_has_its_own_file_over_the_settings_of_all(both):
    settings = both(search={"trials": 3})
    assert list(settings.configs) == ["tagifai", "tickets"]
    assert [each["search"]["trials"] for each in settings.configs.values()] == [3, 3]
    assert [each["model"]["name"] for each in settings.configs.values()] == ["tagifai", "tickets"]
    assert settings.configs["tagifai"]["labels"]["known"]
    assert settings.configs["tickets"]["labels"]["known"] is None


def test_a_command_is_about_the_first_application_or_the_one_that_is_named(both):
    assert (both().application, both().dataops, both().mlops) == ("tagifai", "dataops", "mlops")
    named = both(application="tickets")
    assert (named.application, named.dataops, named.mlops) == ("tickets", "dataops_tickets", "mlops_tickets")
    with pytest.raises(ConfigError, match="APPLICATION=nothing is none of the applications here: tagifai, tickets"):
        both(application="nothing")


def test_a_file_that_names_its_application_is_the_one_application(write_application, tmp_path):
    file = write_application("tickets", checks={"min_labeled": 5}, search={"trials": 3})
    settings = load(tmp_path / "var", config=file)
    assert list(settings.configs) == ["tickets"]
    assert settings.config["applications"] == ["tickets"]
    assert settings.config["checks"]["min_labeled"] == 5
    assert settings.config["search"] == load(tmp_path / "var").config["search"] | {"trials": 3}


def test_tables_have_the_namespace_in_their_schemas(both):
    assert both(application="tickets").tables == {
        "loaded": {"tickets": "tickets_raw.tickets"},
        "published": {
            "labeled_tickets": "tickets_marts.labeled_tickets",
            "tickets_to_predict": "tickets_marts.tickets_to_predict",
            "predictions": "tickets_marts.predictions",
        },
    }


def test_every_process_is_told_the_applications_and_where_their_settings_are(both):
    settings = both(application="tickets")
    settings.write_config()
    given = common_environment(settings)
    assert json.loads(given["MLOPS_APPLICATIONS"]) == ["tagifai", "tickets"]
    assert given["MLOPS_APPLICATION"] == "tickets"
    own = given["MLOPS_CONFIG"]
    read = {name: yaml.safe_load(Path(own.format(application=name)).read_text()) for name in settings.configs}
    assert read == settings.configs
    # Each has a source of its own.
    assert "MLOPS_SOURCE" not in given


def test_the_graphs_of_an_application_have_none_of_the_files_of_another(both, monkeypatch):
    from pipeline.settings import Settings, current

    settings = both()
    settings.write_config()
    monkeypatch.setenv("MLOPS_CONFIG", common_environment(settings)["MLOPS_CONFIG"])
    for name, sources in (("tagifai", ["projects", "tags"]), ("tickets", ["tickets"])):
        with current(name):
            assert list(Settings(warehouse=None).sources) == sources


def test_commands_after_a_start_know_its_applications_and_settings(both, make):
    both(search={"trials": 3}).write_config()
    for name in ("tagifai", "tickets"):
        settings = make(application=name, as_started=True)
        assert (settings.application, list(settings.configs)) == (name, ["tagifai", "tickets"])
        assert settings.config["search"]["trials"] == 3


def test_a_command_with_the_applications_of_the_start_keeps_its_settings_and_others_are_read_anew(both, make, tmp_path):
    both(source=str(tmp_path)).write_config()
    same = make(as_started=True, applications=["tagifai", "tickets"], search={"trials": 3})
    assert (same.config["source"], same.config["search"]["trials"]) == (str(tmp_path), 3)
    others = make(as_started=True, applications=["tickets", "tagifai"])
    assert list(others.config_texts()) == [tmp_path / "var" / name for name in OTHERS]
    assert others.configs["tagifai"]["source"] != str(tmp_path)


def test_what_a_start_has_not_finished_writing_does_not_count(both, make):
    settings = both()
    settings.write_config()
    (settings.var / "applications" / "tickets.yaml").unlink()
    assert list(make(as_started=True).configs) == ["tagifai"]


def test_a_source_of_the_command_line_is_that_of_the_application_it_is_about(both, tmp_path):
    settings = both(application="tickets", source="https://files.test/data")
    assert settings.configs["tickets"]["source"] == "https://files.test/data"
    assert settings.configs["tagifai"]["source"] == load(tmp_path / "var").config["source"]


def test_a_change_is_of_one_application_or_of_all(both):
    settings = both(application="tickets")
    one = settings.changed(source="/bad").configs
    assert (one["tickets"]["source"], one["tagifai"]["source"] == "/bad") == ("/bad", False)
    every = settings.changed_for_all(dataops_schedule=None)
    assert [each["dataops_schedule"] for each in every.configs.values()] == [None, None]
    assert every.config == every.configs["tickets"]


def test_airbyte_has_connections_of_all_applications(both):
    declared = airbyte.declared(both())
    assert [each.name for each in declared.connections] == ["projects", "tags", "tickets_tickets"]
    assert [each.configuration["schema"] for each in declared.destinations] == ["raw", "tickets_raw"]


@pytest.mark.parametrize(
    ("changes", "setting"),
    [({"namespace": ""}, "namespace, ''"), ({"model": {"name": "tagifai"}}, "model.name, 'tagifai'")],
)
def test_two_applications_with_one_namespace_or_model_are_refused(write_application, make, changes, setting):
    write_application("tickets", **changes)
    with pytest.raises(
        ConfigError, match=rf"tagifai and tickets have the same {setting}: give each its own, in .*tick"
    ):
        make(applications=["tagifai", "tickets"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["nothing"], r"there is no .*nothing\.yaml; there are .*tagifai.*`make init` writes one"),
        ([], r"applications must list files of config/applications, such as \[tagifai\]"),
        ("tagifai", "applications must list files"),
        (None, "applications must list files"),
    ],
)
def test_a_wrong_list_of_applications_is_refused(make, given, message):
    with pytest.raises(ConfigError, match=message):
        make(applications=given)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"serach": {"trials": 3}}, r"tickets\.yaml: there is no setting `serach`; known here: "),
        ({"ports": {"airflow": 8090}}, r"tickets\.yaml: `ports` is one for all applications"),
    ],
)
def test_a_setting_that_an_application_does_not_have_is_refused(write_application, make, changes, message):
    write_application("tickets", **changes)
    with pytest.raises(ConfigError, match=message):
        make(applications=["tagifai", "tickets"])


def test_two_applications_with_one_name_of_a_connection_are_refused(write_application, make):
    columns = {"id": "text", "subject": "text", "queue": "text"}
    for name, namespace, source in (("one", "a", "b_c"), ("two", "a_b", "c")):
        sources = {source: {"file": "t.csv", "columns": columns}}
        write_application(name, namespace=namespace, sources=sources, model={"name": name})
    with pytest.raises(ConfigError, match="one and two both have a connection a_b_c: rename a source"):
        make(applications=["one", "two"])


def test_a_file_of_another_application_is_refused(write_application, make):
    write_application("tickets", application="others")
    with pytest.raises(ConfigError, match=r"tickets\.yaml: application must be tickets, .*, not 'others'"):
        make(applications=["tickets"])


@pytest.mark.parametrize("lacking", ["sources", "columns", "source", "model"])
def test_a_file_without_a_section_is_refused_by_its_name(write_application, tmp_path, lacking):
    file = write_application("tickets")
    settings = yaml.safe_load(file.read_text())
    del settings[lacking]
    file.write_text(yaml.safe_dump(settings))
    with pytest.raises(ConfigError, match=rf"tickets\.yaml: {lacking}: Field required$"):
        load(tmp_path / "var", config=file)


def test_a_folder_lacks_the_files_and_patterns_that_it_has_not(tmp_path):
    config = {
        "sources": {name: {"file": name} for name in ("a.csv", "b-*.csv", "[c].csv", "sub/d.csv", "e.csv", "f-*")}
    }
    (tmp_path / "sub").mkdir()
    for name in ("a.csv", "b-1.csv", "[c].csv", "sub/d.csv"):
        (tmp_path / name).touch()
    assert places.lacking(config, tmp_path) == ["e.csv", "f-*"]
