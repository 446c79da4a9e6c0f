"""connections.yaml is read, filled and checked."""

import uuid

import pytest
import yaml
from airbyte_testing import ROOT, connection_of

from airbyte_local import declaration

SHIPPED = ROOT / "airbyte" / "connections.yaml"
VARIABLES = {
    "MLOPS_SOURCE": "/files",
    "MLOPS_WAREHOUSE__HOST": "localhost",
    "MLOPS_WAREHOUSE__PORT": "5433",
    "MLOPS_WAREHOUSE__DATABASE": "warehouse",
    "MLOPS_WAREHOUSE__USER": "warehouse",
    "MLOPS_WAREHOUSE__PASSWORD": "the-password",
}


@pytest.fixture
def load(tmp_path):
    """Loads the shipped declaration after a change to its content."""

    def changed(change=lambda content: None):
        content = yaml.safe_load(SHIPPED.read_text())
        change(content)
        path = tmp_path / "connections.yaml"
        path.write_text(yaml.safe_dump(content))
        return declaration.load(path, VARIABLES)

    return changed


def test_the_shipped_declaration_loads_both_files_into_the_schema_raw():
    declared = declaration.load(SHIPPED, VARIABLES)
    urls = [stream["url"] for stream in declared.sources[0].connector_configuration["streams"]]
    assert urls == ["/files/projects.csv", "/files/tags.csv"]
    assert [c.name for c in declared.connections] == ["projects", "tags"]
    destination = declared.destination(declared.connections[0]).configuration
    assert (destination.schema_, destination.port) == ("raw", 5433)
    assert destination.password.get_secret_value() == "the-password"


def test_an_id_depends_on_the_name_alone(load):
    first, second = load(), load(lambda content: content["connections"].reverse())
    ids = {c.name: c.id for c in first.connections}
    assert {c.name: c.id for c in second.connections} == ids
    assert len(set(ids.values())) == 2
    assert first.connection(ids["tags"]).name == "tags"
    assert first.connection(uuid.uuid4()) is None


def test_a_variable_that_is_not_set_is_named_with_file_and_key():
    with pytest.raises(declaration.DeclarationError) as error:
        declaration.load(SHIPPED, {name: value for name, value in VARIABLES.items() if name != "MLOPS_SOURCE"})
    message = str(error.value)
    assert str(SHIPPED) in message
    assert "sources.0.configuration.streams.0.url" in message
    assert "MLOPS_SOURCE" in message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["connections"][0].update(source="nobody"), ["connection projects", "nobody", "files"]),
        (lambda c: c["connections"][0].update(destination="nowhere"), ["connection projects", "nowhere", "warehouse"]),
        (lambda c: c["connections"].append(c["connections"][0]), ["connections", "projects occurs twice"]),
        (lambda c: c["connections"][0].update(colour="red"), ["connections.0.colour"]),
        (lambda c: c["connections"][0].pop("configurations"), ["connections.0.configurations", "required"]),
        (
            lambda c: c["connections"][0]["configurations"]["streams"][0].update(syncMode="incremental_magic"),
            ["connections.0.configurations.streams.0.syncMode", "full_refresh_overwrite"],
        ),
        (lambda c: c["connections"][0]["schedule"].update(scheduleType="cron"), ["scheduleType", "manual"]),
        (lambda c: c["sources"][0]["configuration"].update(sourceType="nothing"), ["source files", "source_nothing"]),
        (lambda c: c["sources"][0]["configuration"].update(sourceType="../x"), ["source files", "'../x'"]),
        (lambda c: c["destinations"][0]["configuration"].update(port="many"), ["destinations.0", "port"]),
    ],
)
def test_a_fault_is_named_with_its_key_and_what_is_allowed(load, change, words):
    with pytest.raises(declaration.DeclarationError) as error:
        load(change)
    assert [word for word in words if word not in str(error.value)] == []
    assert "the-password" not in str(error.value)


@pytest.mark.parametrize("text", ["a: [", None], ids=["no YAML", "no file"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, text):
    path = tmp_path / "connections.yaml"
    if text:
        path.write_text(text)
    with pytest.raises(declaration.DeclarationError, match=str(path)):
        declaration.load(path, {})


@pytest.mark.parametrize(
    ("definition", "stream_namespace", "schema"),
    [
        ({"namespaceDefinition": "destination"}, "shop", "raw"),
        ({"namespaceDefinition": "source"}, "shop", "shop"),
        ({"namespaceDefinition": "source"}, None, "raw"),
        ({"namespaceDefinition": "custom_format", "namespaceFormat": "own"}, "shop", "own"),
        ({"namespaceDefinition": "custom_format", "namespaceFormat": "a_${SOURCE_NAMESPACE}"}, "shop", "a_shop"),
        ({"namespaceDefinition": "custom_format"}, "shop", "raw"),
    ],
)
def test_namespace_definition_chooses_the_schema(definition, stream_namespace, schema):
    connection = declaration.Connection.model_validate(connection_of("numbers", **definition))
    assert connection.namespace(stream_namespace, "raw") == schema


def test_the_source_namespace_placeholder_of_airbyte_is_no_variable(load):
    form = "${SOURCE_NAMESPACE}"
    declared = load(lambda c: c["connections"][0].update(namespaceDefinition="custom_format", namespaceFormat=form))
    assert declared.connections[0].namespace_format == form
