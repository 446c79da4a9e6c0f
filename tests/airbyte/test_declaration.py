"""connections.yaml is read, laid over, filled and checked."""

import pytest
import yaml
from airbyte_testing import ROOT, applications, connection_of
from jinja2 import Template
from stored_connection import stored

from airbyte_declaration import column_types, declaration
from airbyte_declaration.applications import SCHEMAS, described

SHIPPED = ROOT / "airbyte" / "connections.yaml"
VARIABLES = {
    "MLOPS_WAREHOUSE__HOST": "localhost",
    "MLOPS_WAREHOUSE__PORT": "5433",
    "MLOPS_WAREHOUSE__DATABASE": "warehouse",
    "MLOPS_WAREHOUSE__USER": "warehouse",
    "MLOPS_WAREHOUSE__PASSWORD": "the-password",
}


FILES = applications("/files")


@pytest.fixture
def load(tmp_path):
    """Loads the shipped declaration of the example application after a change to its content."""

    def changed(change=lambda content: None):
        content = yaml.safe_load(Template(SHIPPED.read_text()).render(applications=FILES))
        change(content)
        path = tmp_path / "connections.yaml"
        path.write_text(yaml.safe_dump(content))
        return declaration.load(path, VARIABLES)

    return changed


def test_the_shipped_declaration_loads_both_files_into_the_schema_raw():
    declared = declaration.load(SHIPPED, VARIABLES, applications=FILES)
    urls = [stream["url"] for stream in declared.sources[0].configuration["streams"]]
    assert urls == ["/files/projects.csv", "/files/tags.csv"]
    assert [c.name for c in declared.connections] == ["projects", "tags"]
    destination = declared.destinations[0].configuration
    assert (destination["schema"], destination["port"]) == ("raw", 5433)
    assert destination["password"] == "the-password"


@pytest.fixture
def laid_over(tmp_path):
    """The shipped declaration with this overlay."""

    def load(overlay):
        path = tmp_path / "connections.cloud.yaml"
        path.write_text(yaml.safe_dump(overlay))
        return declaration.load(SHIPPED, VARIABLES, overlays=[path], applications=FILES)

    return load


def test_an_overlay_changes_only_what_it_names(laid_over):
    more = {"name": "more", "configuration": {"sourceType": "faker"}}
    declared = laid_over(
        {
            "airbyte": {
                "url": "https://api.example/v1",
                "clientId": "me",
                "clientSecret": "${MLOPS_WAREHOUSE__PASSWORD}",
            },
            "workspace": {"name": "other"},
            "sources": [more],
            "destinations": [{"name": "warehouse", "configuration": {"schema": "landing"}}],
            "connections": [{"name": "tags", "status": "inactive"}],
        }
    )
    base = declaration.load(SHIPPED, VARIABLES, applications=FILES)
    assert declared.airbyte.client_secret.get_secret_value() == "the-password"
    assert declared.workspace.name == "other"
    assert [source.name for source in declared.sources] == ["files", "more"]
    assert declared.destinations[0].configuration == base.destinations[0].configuration | {"schema": "landing"}
    assert declared.connections[0] == base.connections[0]
    assert declared.connections[1] == base.connections[1].model_copy(update={"status": "inactive"})


def test_an_overlay_with_another_connector_replaces_the_configuration_as_a_whole(laid_over):
    configuration = {"destinationType": "bigquery", "project_id": "p"}
    declared = laid_over({"destinations": [{"name": "warehouse", "configuration": configuration}]})
    assert declared.destinations[0].configuration == configuration


def test_a_variable_that_is_not_set_is_reported_with_file_and_key():
    given = {name: value for name, value in VARIABLES.items() if name != "MLOPS_WAREHOUSE__HOST"}
    with pytest.raises(declaration.DeclarationError) as error:
        declaration.load(SHIPPED, given, applications=FILES)
    message = str(error.value)
    assert str(SHIPPED) in message
    assert "destinations.0.configuration.host" in message
    assert "MLOPS_WAREHOUSE__HOST" in message


def test_each_application_has_a_source_a_destination_and_connections_with_its_namespace_in_their_names():
    both = [*FILES, *applications("/other", namespace="tickets")]
    declared = declaration.load(SHIPPED, VARIABLES, applications=both)
    assert [each.name for each in declared.sources] == ["files", "tickets_files"]
    assert [each.name for each in declared.destinations] == ["warehouse", "tickets_warehouse"]
    assert [each.configuration["schema"] for each in declared.destinations] == ["raw", "tickets_raw"]
    connections = [(each.name, each.source, each.destination) for each in declared.connections]
    assert connections == [
        ("projects", "files", "warehouse"),
        ("tags", "files", "warehouse"),
        ("tickets_projects", "tickets_files", "tickets_warehouse"),
        ("tickets_tags", "tickets_files", "tickets_warehouse"),
    ]


@pytest.mark.parametrize(
    "text",
    ["yes", "a: b", "- x", "#x", "it's", 'say "hi"', "\\", "a\nb", "<b>&", "née 😀", " blanks ", "{{ x }}", "{% x %}"],
)
def test_files_columns_and_options_arrive_as_an_application_names_them(text):
    source = {"file": f"{text}.csv", "options": {"csv": {"null": text}}, "columns": {text: "text"}}
    known = described([{"source": "/files", "sources": {"one": source}}])
    ((stream,),) = (
        each.configuration["streams"] for each in declaration.load(SHIPPED, VARIABLES, applications=known).sources
    )
    assert stream["url"] == f"/files/{text}.csv"
    assert stream["csv"] == {"null": text}
    assert stream["json_schema"]["properties"] == {text: {"type": "string"}}


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_type_of_an_application_s_column_is_one_that_the_service_knows(kind):
    source = {"file": "a.csv", "columns": {"a": {"type": kind, "required": True}}}
    ((one,),) = (each["sources"] for each in described([{"source": "/files/", "sources": {"one": source}}]))
    assert one["url"] == "/files/a.csv"
    assert column_types.faults(one["json_schema"]) == []


def test_two_connections_of_one_name_are_refused():
    one = {"source": "/files", "sources": {"tickets_texts": {"file": "a.csv", "columns": {"a": "text"}}}}
    other = {
        "source": "/files",
        "namespace": "tickets",
        "sources": {"texts": {"file": "a.csv", "columns": {"a": "text"}}},
    }
    with pytest.raises(declaration.DeclarationError, match="tickets_texts is used twice"):
        declaration.load(SHIPPED, VARIABLES, applications=described([one, other]))


def test_a_name_that_the_template_does_not_know_is_reported(tmp_path):
    path = tmp_path / "connections.yaml"
    path.write_text("workspace: {name: {{ aplications }}}")
    with pytest.raises(declaration.DeclarationError, match="'aplications' is undefined"):
        declaration.load(path, {})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["connections"][0].update(source="nobody"), ["connection projects", "nobody", "files"]),
        (lambda c: c["connections"][0].update(destination="nowhere"), ["connection projects", "nowhere", "warehouse"]),
        (lambda c: c["connections"].append(c["connections"][0]), ["connections", "projects is used twice"]),
        (lambda c: c["connections"][0].update(colour="red"), ["connections.0.colour"]),
        (lambda c: c["connections"][0].pop("configurations"), ["connections.0.configurations", "required"]),
        (
            lambda c: c["connections"][0]["configurations"]["streams"][0].update(syncMode="incremental_magic"),
            ["connections.0.configurations.streams.0.syncMode", "full_refresh_overwrite"],
        ),
        (
            lambda c: c["connections"][0]["configurations"]["streams"].append({"name": "projects"}),
            ["connections.0.configurations.streams", "each stream may be listed only once, but projects is repeated"],
        ),
        (lambda c: c["connections"][0]["schedule"].update(scheduleType="cron"), ["scheduleType", "manual"]),
        (lambda c: c["sources"][0]["configuration"].pop("sourceType"), ["source files", "sourceType"]),
        (lambda c: c["destinations"][0]["configuration"].update(destinationType=5), ["warehouse", "destinationType"]),
    ],
)
def test_an_error_is_reported_with_its_key_and_the_allowed_values(load, change, words):
    with pytest.raises(declaration.DeclarationError) as error:
        load(change)
    assert [word for word in words if word not in str(error.value)] == []
    assert "the-password" not in str(error.value)


def keyed(**key):
    """A change that gives the stream projects this key."""
    return lambda c: c["connections"][0]["configurations"]["streams"][0].update(key)


def with_id(column):
    """A change that declares the column id like this."""
    return lambda c: c["sources"][0]["configuration"]["streams"][0]["json_schema"]["properties"].update(id=column)


def together(*changes):
    """All of these changes."""
    return lambda c: [change(c) for change in changes]


IN_CONNECTION = "connection projects, stream projects: "
AT_STREAM = "connections.0.configurations.streams.0."


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (keyed(primaryKey="id"), f"{AT_STREAM}primaryKey: stream projects: must be a list of columns, each in"),
        (keyed(primaryKey="id"), "write primaryKey: [[id]]"),
        (keyed(primaryKey=["id"]), "write primaryKey: [[id]]"),
        (keyed(primaryKey="id, title"), "write primaryKey: [[id], [title]]"),
        (keyed(primaryKey=[[]]), "write primaryKey: [[COLUMN]]"),
        (keyed(primaryKey=None), "write primaryKey: [[COLUMN]]"),
        (keyed(cursorField="id"), f"{AT_STREAM}cursorField: stream projects: must be a list with a column; write curs"),
        (keyed(cursorField=[["id"]]), "write cursorField: [id]"),
        (
            keyed(primaryKey=[["id", "title"]]),
            f"{IN_CONNECTION}primaryKey: [id, title] is one column inside of another",
        ),
        (keyed(primaryKey=[["id", "title"]]), "write primaryKey: [[id], [title]]"),
        (
            keyed(cursorField=["id", "title"]),
            f"{IN_CONNECTION}cursorField: must be one column; write cursorField: [id]",
        ),
        (keyed(primaryKey=[["idd"]]), f"{IN_CONNECTION}primaryKey: the stream has no column idd, only "),
        (keyed(primaryKey=[["idd"]]), "did you mean id?"),
        (keyed(cursorField=["created"]), "cursorField: the stream has no column created, only "),
        (
            together(keyed(primaryKey=[["id"]]), with_id({"type": "object"})),
            f"{IN_CONNECTION}primaryKey: the column id cannot be a key, since its type is object; set another",
        ),
        (
            together(keyed(cursorField=["id"]), with_id({"type": ["null", "array"]})),
            f"{IN_CONNECTION}cursorField: the column id cannot be a cursor, since its type is array; set another",
        ),
        (
            together(
                keyed(primaryKey=[["id"]]),
                with_id({"type": "number", "format": "double"}),
                lambda c: c["destinations"][0].update(configuration={"destinationType": "bigquery"}),
            ),
            f"{IN_CONNECTION}primaryKey: the column id cannot be a key, since its type is number with format double",
        ),
        (
            lambda c: c["sources"][0]["configuration"]["streams"][0].update(primary_key="id"),
            "source files, stream projects: primary_key must be a list of columns; write primary_key: [id]",
        ),
        (
            lambda c: c["sources"][0]["configuration"]["streams"][0].update(primary_key=[["id"]]),
            "source files, stream projects: primary_key must be a list of columns; write primary_key: [id]",
        ),
        (
            lambda c: c["sources"][0]["configuration"]["streams"][0].update(primary_key=["idd"]),
            "source files, stream projects: primary_key: the stream has no column idd, only ",
        ),
        (with_id({"type": "int"}), "source files, stream projects: json_schema: column id: the type 'int' is unknown"),
    ],
)
def test_a_key_or_a_type_that_does_not_fit_is_reported_with_stream_column_and_what_to_set(load, change, words):
    with pytest.raises(declaration.DeclarationError) as error:
        load(change)
    assert words in str(error.value)
    assert "Value error" not in str(error.value)


def test_keys_that_fit_are_accepted(load):
    both = together(keyed(primaryKey=[["id"], ["created_on"]], cursorField=["created_on"]), with_id({"type": "number"}))
    assert load(both).connections[0].configurations.streams[0].primary_key == [["id"], ["created_on"]]


@pytest.mark.parametrize(("more", "key"), [({"hive_partitions": True}, "year"), ({"file_name_column": "file"}, "file")])
def test_columns_of_the_files_names_may_be_in_a_key(load, more, key):
    change = together(
        keyed(primaryKey=[["id"], [key]]), lambda c: c["sources"][0]["configuration"]["streams"][0].update(more)
    )
    assert load(change).connections[0].configurations.streams[0].primary_key == [["id"], [key]]


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ({"type": "int"}, "the type 'int' is unknown; write {type: integer}"),
        ({"type": ["null", "int"]}, "the type 'int' is unknown; write {type: integer}"),
        ({"type": "date"}, "the type 'date' is unknown; write {type: string, format: date}"),
        ({"type": "datetime"}, "write {type: string, format: date-time, airbyte_type: timestamp_without_timezone}"),
        ({"type": "timestamptz"}, "the type 'timestamptz' is unknown; write {type: string, format: date-time}"),
        ({"type": "float"}, "the type 'float' is unknown; write {type: number, format: double}"),
        ({"type": "strnig"}, "the type 'strnig' is unknown; write {type: string}"),
        ({"type": "xyz"}, "the type 'xyz' is unknown; the types are integer, number, boolean, string, object, array"),
        ("int", "must be a schema; write {type: integer}"),
        ({"type": "string", "format": "datetime"}, "the format 'datetime' is unknown; write format: date-time"),
        ({"type": "string", "format": "timestamp"}, "the format 'timestamp' is unknown; write format: date-time"),
        ({"type": "string", "format": "quux"}, "the format 'quux' is unknown; format is one of date, time, date-time"),
        ({"type": "string", "format": ["date"]}, "is unknown; write format: date"),
        ({"type": "integer", "format": "date"}, "the format date needs type: string, but the type is integer"),
        ({"format": "date"}, "the format date needs type: string, but the type is missing"),
        ({"type": ["string", "integer"], "format": "date"}, "needs type: string, but the type is string, integer"),
        ({"type": "string", "format": "double"}, "the format double needs type: number, but the type is string"),
        (
            {"type": "string", "format": "date-time", "airbyte_type": "timestamp_without_timezon"},
            "the airbyte_type 'timestamp_without_timezon' is unknown; write airbyte_type: timestamp_without_timezone",
        ),
        ({"type": "string", "airbyte_type": "money"}, "the airbyte_type 'money' is unknown; airbyte_type is one of"),
        (
            {"type": "string", "airbyte_type": "timestamp_with_timezone"},
            "timestamp_with_timezone needs format: date-time",
        ),
        ({"type": "integer", "airbyte_type": "time_with_timezone"}, "needs type: string, but the type is integer"),
    ],
)
def test_an_unknown_type_or_format_is_named_with_the_word_that_may_be_meant(column, words):
    (fault,) = column_types.faults({"properties": {"id": column, "text": {"type": "string"}}})
    assert fault.startswith("column id: ")
    assert words in fault


@pytest.mark.parametrize(
    "column",
    [
        True,
        {},
        {"type": "string"},
        {"type": ["null", "string"], "format": "date"},
        {"type": ["integer", "string"]},
        {"type": "string", "format": "uuid"},
        {"type": "number", "format": "double"},
        {"type": "number", "airbyte_type": "integer"},
        {"type": "integer", "airbyte_type": "integer"},
        {"type": "string", "format": "time", "airbyte_type": "time_without_timezone"},
        {"type": "string", "format": "date-time", "airbyte_type": "timestamp_with_timezone"},
        {"type": "object", "properties": {"a": {"type": "int"}}},
    ],
    ids=str,
)
def test_types_that_have_a_meaning_are_accepted(column):
    assert column_types.faults({"properties": {"id": column}}) == []


@pytest.mark.parametrize("text", ["a: [", "- a", None], ids=["no YAML", "a list", "no file"])
def test_a_file_that_cannot_be_read_is_reported(tmp_path, text):
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
    connection = stored(connection_of("numbers", **definition))
    assert connection.namespace(stream_namespace, "raw") == schema


def test_airbytes_source_namespace_placeholder_is_not_a_variable(load):
    form = "${SOURCE_NAMESPACE}"
    declared = load(lambda c: c["connections"][0].update(namespaceDefinition="custom_format", namespaceFormat=form))
    assert declared.connections[0].namespace_format == form
