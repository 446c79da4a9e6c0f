"""Reads airbyte/connections.yaml and the overlay of a place, fills in variables, and validates the result."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined, TemplateError
from pydantic import Field, SecretStr, ValidationError

from airbyte_declaration import file_streams
from airbyte_declaration.streams import ConnectionOptions, Name, Section, plain, repeated

# Airbyte's own placeholder in namespaceFormat, not an environment variable.
SOURCE_NAMESPACE = "${SOURCE_NAMESPACE}"
# Parts that are lists of named items.
_NAMED = ("sources", "destinations", "connections")


class DeclarationError(Exception):
    """The declaration is invalid; the message names the file and the key, and says what to do."""


class Address(Section):
    """URL and credentials of an Airbyte."""

    url: Name
    client_id: Name
    client_secret: SecretStr = Field(min_length=1)


class Workspace(Section):
    """The workspace that contains everything else."""

    name: Name


class Actor(Section):
    """A source or a destination."""

    name: Name
    # Includes sourceType or destinationType, the name of the connector.
    configuration: dict[str, Any]


class Connection(ConnectionOptions):
    """A connection from a source to a destination, both given by their names."""

    source: Name
    destination: Name

    def options(self) -> dict[str, Any]:
        """The fields that were set, except source and destination, as Airbyte's API names them."""
        return self.body(exclude={"source", "destination"})


class Declaration(Section):
    """The whole declaration."""

    # None: the local service.
    airbyte: Address | None = None
    workspace: Workspace
    sources: list[Actor]
    destinations: list[Actor]
    connections: list[Connection]


def load(
    path: Path,
    variables: Mapping[str, str],
    *,
    overlays: Sequence[Path] = (),
    applications: Sequence[dict[str, Any]] = (),
) -> Declaration:
    """Read a declaration from a YAML file, a template of Jinja, and fill in `${NAME}` from `variables`.

    The template knows `applications`, what `applications.described` returns.

    Each overlay is merged into it: keys replace keys; sources, destinations and connections are matched by name; a
    configuration for another connector is replaced as a whole.

    Raises:
        DeclarationError: a file is missing, is not valid YAML or has invalid values; the message lists all errors.
    """
    content, where = _read(path, applications), " with ".join(map(str, [path, *overlays]))
    for overlay in overlays:
        content = _overlaid(content, _read(overlay, applications))
    try:
        declaration = Declaration.model_validate(_fill(content, variables, where, key=""))
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, e['loc']))}: {plain(e['msg'])}" for e in error.errors(include_input=False)]
        raise DeclarationError(f"{where}: {'; '.join(faults)}") from None
    if faults := _faults(declaration):
        raise DeclarationError(f"{where}: {'; '.join(faults)}")
    return declaration


def _read(path: Path, applications: Sequence[dict[str, Any]]) -> dict[str, Any]:
    # A template of names that are not known is refused; `tojson` gives a form of texts that YAML reads too.
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)  # noqa: S701
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    try:
        text = environment.from_string(path.read_text(encoding="utf-8")).render(applications=applications)
        content = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TemplateError) as error:
        raise DeclarationError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise DeclarationError(f"{path}: needs workspace, sources, destinations and connections as `name: value`")
    return content


def _overlaid(base: Any, over: Any, key: str = "") -> Any:
    if key in _NAMED and isinstance(base, list) and isinstance(over, list):
        named = {each.get("name"): each for each in base if isinstance(each, dict)}
        for each in over:
            name = each.get("name") if isinstance(each, dict) else None
            named[name] = _overlaid(named[name], each) if name in named else each
        return list(named.values())
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    if key == "configuration" and _type(over) not in (None, _type(base)):
        return over
    return base | {name: _overlaid(base.get(name), value, name) for name, value in over.items()}


def _type(configuration: dict[str, Any]) -> Any:
    return configuration.get("sourceType") or configuration.get("destinationType")


def _fill(value: Any, variables: Mapping[str, str], where: str, key: str) -> Any:
    if isinstance(value, dict):
        return {k: _fill(v, variables, where, f"{key}.{k}".lstrip(".")) for k, v in value.items()}
    if isinstance(value, list):
        return [_fill(v, variables, where, f"{key}.{i}") for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value

    def variable(found: re.Match[str]) -> str:
        if found[0] == SOURCE_NAMESPACE:
            return found[0]
        if found[1] not in variables:
            raise DeclarationError(f"{where}, key {key}: the variable {found[1]} is not set; set it in the environment")
        return variables[found[1]]

    whole = re.fullmatch(r"\$\{(\w+)\}", value)
    filled = re.sub(r"\$\{(\w+)\}", variable, value)
    # A port is a number even if it comes from a variable.
    return int(filled) if whole and key.endswith(".port") and filled.isdecimal() else filled


def _faults(declaration: Declaration) -> list[str]:
    """Errors that the types do not cover."""
    faults = []
    for kind in _NAMED:
        twice = repeated(item.name for item in getattr(declaration, kind))
        faults += [f"{kind}: the name {name} is used twice" for name in twice]
    for kind in ("source", "destination"):
        known = [item.name for item in getattr(declaration, f"{kind}s")]
        for actor in getattr(declaration, f"{kind}s"):
            if not isinstance(actor.configuration.get(f"{kind}Type"), str):
                faults.append(f"{kind} {actor.name}: configuration needs {kind}Type, the name of its connector")
        for connection in declaration.connections:
            if (name := getattr(connection, kind)) not in known:
                faults.append(f"connection {connection.name}: no {kind} is named {name}, only {', '.join(known)}")
    return faults + _stream_faults(declaration)


def _stream_faults(declaration: Declaration) -> list[str]:
    """Types and keys that the declared columns show to be wrong."""
    faults = [
        f"source {source.name}, {fault}"
        for source in declaration.sources
        for fault in file_streams.schema_faults(source.configuration)
    ]
    sources, destinations = (
        {each.name: each.configuration for each in actors} for actors in (declaration.sources, declaration.destinations)
    )
    for connection in declaration.connections:
        # BigQuery has no keys of floating-point numbers.
        allows_double = destinations.get(connection.destination, {}).get("destinationType") != "bigquery"
        for stream in connection.configurations.streams:
            source = sources.get(connection.source, {})
            for field, fault in file_streams.key_faults(source, stream, allows_double=allows_double):
                faults.append(f"connection {connection.name}, stream {stream.name}: {field}: {fault}")
    return faults
