"""airbyte/connections.yaml: workspace, sources, destinations and connections, checked and with their ids."""

import importlib.util
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel

# Airbyte's own placeholder in namespaceFormat: no variable of the environment.
SOURCE_NAMESPACE = "${SOURCE_NAMESPACE}"

Name = Annotated[str, StringConstraints(min_length=1)]


class DeclarationError(Exception):
    """connections.yaml is wrong; the message names the file, the key and the remedy."""


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)


class Workspace(_Declared):
    """The one workspace."""

    name: Name

    @property
    def id(self) -> uuid.UUID:
        """Id derived from the name."""
        return _id("workspace", self.name)


class Package(_Declared):
    """A connector that is installed from the package index, into an environment of its own."""

    package: Name
    version: Name


class Source(_Declared):
    """A connector with its configuration."""

    name: Name
    # None: one of ours, by the configuration's sourceType.
    connector: Package | None = None
    configuration: dict[str, Any]

    @property
    def id(self) -> uuid.UUID:
        """Id derived from the name."""
        return _id("source", self.name)

    @property
    def module(self) -> str:
        """Python module that is the connector where it is ours: source_files for the sourceType `files`."""
        return f"source_{self.configuration.get('sourceType')}"

    @property
    def connector_configuration(self) -> dict[str, Any]:
        """What the connector itself is given."""
        return {key: value for key, value in self.configuration.items() if key != "sourceType"}


class PostgresConfiguration(BaseModel):
    """The fields of Airbyte's PostgreSQL destination that this service knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    destination_type: Literal["postgres"] = Field(alias="destinationType")
    host: str
    port: int = Field(ge=1, le=65535)
    database: str
    username: str
    password: SecretStr
    schema_: str = Field(alias="schema")


class Destination(_Declared):
    """Where rows go."""

    name: Name
    configuration: PostgresConfiguration

    @property
    def id(self) -> uuid.UUID:
        """Id derived from the name."""
        return _id("destination", self.name)


class StreamConfiguration(_Declared):
    """One stream of a connection."""

    name: Name
    sync_mode: Literal[
        "full_refresh_overwrite", "full_refresh_append", "incremental_append", "incremental_deduped_history"
    ]
    # Path of the column that says which of two rows is later; empty: the source's own.
    cursor_field: list[str] = []
    # Paths of the columns that tell rows apart; empty: the source's own.
    primary_key: list[list[str]] = []


class StreamConfigurations(_Declared):
    """The streams of a connection."""

    streams: list[StreamConfiguration] = Field(min_length=1)


class Schedule(_Declared):
    """When a connection runs by itself: never, since Airflow starts every sync."""

    schedule_type: Literal["manual"]


class Connection(_Declared):
    """From a source to a destination."""

    name: Name
    source: Name
    destination: Name
    configurations: StreamConfigurations
    namespace_definition: Literal["destination", "source", "custom_format"] = "destination"
    namespace_format: str = ""
    prefix: str = ""
    schedule: Schedule

    @property
    def id(self) -> uuid.UUID:
        """Id derived from the name."""
        return _id("connection", self.name)

    def namespace(self, stream_namespace: str | None, default: str) -> str:
        """Schema that a stream goes to.

        Args:
            stream_namespace: the source's own namespace of the stream, if it has one.
            default: the destination's schema.
        """
        own = stream_namespace or default
        if self.namespace_definition == "custom_format":
            return self.namespace_format.replace(SOURCE_NAMESPACE, own) or default
        return own if self.namespace_definition == "source" else default


class Declaration(_Declared):
    """The whole file."""

    workspace: Workspace
    sources: list[Source]
    destinations: list[Destination]
    connections: list[Connection]

    def connection(self, connection_id: uuid.UUID) -> Connection | None:
        """The connection of this id, if there is one."""
        return next((c for c in self.connections if c.id == connection_id), None)

    def source(self, connection: Connection) -> Source:
        """The connection's source."""
        return next(s for s in self.sources if s.name == connection.source)

    def destination(self, connection: Connection) -> Destination:
        """The connection's destination."""
        return next(d for d in self.destinations if d.name == connection.destination)


def load(path: Path, variables: Mapping[str, str]) -> Declaration:
    """Read a declaration.

    Args:
        path: the YAML file.
        variables: values of the `${NAME}` that the file mentions.

    Raises:
        DeclarationError: the file is missing, is no YAML, or says something that cannot be; every fault is named.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DeclarationError(f"{path} cannot be read: {error}") from error
    try:
        declaration = Declaration.model_validate(_fill(content, variables, path, key=""))
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False)]
        raise DeclarationError(f"{path}: {'; '.join(faults)}") from None
    if faults := _faults(declaration):
        raise DeclarationError(f"{path}: {'; '.join(faults)}")
    return declaration


def _id(kind: str, name: str) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_URL, f"airbyte_local/{kind}/{name}")


def _fill(value: Any, variables: Mapping[str, str], path: Path, key: str) -> Any:
    if isinstance(value, dict):
        return {k: _fill(v, variables, path, f"{key}.{k}".lstrip(".")) for k, v in value.items()}
    if isinstance(value, list):
        return [_fill(v, variables, path, f"{key}.{i}") for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value

    def variable(found: re.Match[str]) -> str:
        if found[0] == SOURCE_NAMESPACE:
            return found[0]
        if found[1] not in variables:
            raise DeclarationError(f"{path}, key {key}: the variable {found[1]} is not set; set it in the environment")
        return variables[found[1]]

    return re.sub(r"\$\{(\w+)\}", variable, value)


def _faults(declaration: Declaration) -> list[str]:
    """What types alone cannot tell."""
    faults = []
    for kind in ("sources", "destinations", "connections"):
        names = [item.name for item in getattr(declaration, kind)]
        faults += [f"{kind}: the name {name} occurs twice" for name in sorted({n for n in names if names.count(n) > 1})]
    for source in (each for each in declaration.sources if not each.connector):
        kind = str(source.configuration.get("sourceType", ""))
        if not kind.isidentifier() or importlib.util.find_spec(source.module) is None:
            faults.append(f"source {source.name}: sourceType {kind!r} needs its connector, the module source_{kind}")
    for connection in declaration.connections:
        for kind in ("source", "destination"):
            name = getattr(connection, kind)
            known = [item.name for item in getattr(declaration, f"{kind}s")]
            if name not in known:
                faults.append(f"connection {connection.name}: no {kind} is named {name}, only {', '.join(known)}")
    return faults
