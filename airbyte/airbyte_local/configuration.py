"""Validates configurations of sources and destinations, and hides their secrets."""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from jsonschema import Draft7Validator

# Airbyte shows this instead of a secret; if a client sends it back, the secret is not changed.
HIDDEN = "**********"
# A URL with credentials, or with a query, which may be a token.
_WITH_LOGIN = re.compile(r"https?://([^/?#]*@|[^?#]*\?)", re.IGNORECASE)
# Rules whose message contains only names; others would repeat the value, which may be a secret.
_SAFE = ("required", "additionalProperties", "dependencies")
_SHOWN = 200
_Path = tuple[str | int, ...]


class Fault(NamedTuple):
    """An invalid field."""

    field: str
    message: str


def faults(configuration: dict[str, Any], schema: dict[str, Any]) -> list[Fault]:
    """Violations of a connector's JSON schema, field by field; messages contain no values."""
    found, errors = [], Draft7Validator(schema).iter_errors(configuration)
    for error in sorted(errors, key=lambda error: list(map(str, error.path))):
        message = error.message
        if error.validator not in _SAFE:
            message = f"must satisfy {error.validator}: {json.dumps(error.validator_value)[:_SHOWN]}"
        found.append(Fault(".".join(["configuration", *map(str, error.absolute_path)]), message))
    return found


def hide(configuration: Any, schema: dict[str, Any]) -> Any:
    """Replace each secret, and each URL with credentials or a query, by `HIDDEN`."""
    secrets = set(_secret_paths(schema, schema, configuration))

    def shown(value: Any, path: _Path) -> Any:
        if path in secrets and value is not None:
            return HIDDEN
        if isinstance(value, str) and _WITH_LOGIN.match(value):
            return HIDDEN
        if isinstance(value, dict):
            return {name: shown(each, (*path, name)) for name, each in value.items()}
        if isinstance(value, list):
            return [shown(each, (*path, number)) for number, each in enumerate(value)]
        return value

    return shown(configuration, ())


def keep_hidden(new: Any, old: Any) -> Any:
    """Replace each `HIDDEN` in a new configuration by the old value."""
    if new == HIDDEN:
        return old
    if isinstance(new, dict):
        known = old if isinstance(old, dict) else {}
        return {name: keep_hidden(value, known.get(name)) for name, value in new.items()}
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        return [keep_hidden(one, other) for one, other in zip(new, old, strict=True)]
    return new


def merged(old: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    base = old if isinstance(old, dict) else {}
    found = {name: value for name, value in base.items() if name not in patch}
    return found | {name: merged(base.get(name), value) for name, value in patch.items() if value is not None}


def _secret_paths(schema: Any, root: dict[str, Any], value: Any, path: _Path = ()) -> Iterator[_Path]:
    """Paths of the values that a schema marks as secret, in any of its alternatives."""
    if not isinstance(schema, dict):
        return
    if schema.get("airbyte_secret") or schema.get("writeOnly"):
        yield path
    if isinstance(reference := schema.get("$ref"), str) and reference.startswith("#/"):
        found: Any = root
        for key in reference[2:].split("/"):
            found = found.get(key, {}) if isinstance(found, dict) else {}
        yield from _secret_paths(found, root, value, path)
    for alternatives in ("oneOf", "anyOf", "allOf"):
        for each in schema.get(alternatives, ()):
            yield from _secret_paths(each, root, value, path)
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        for name, each in value.items():
            yield from _secret_paths(properties.get(name), root, each, (*path, name))
    if isinstance(value, list):
        for number, each in enumerate(value):
            yield from _secret_paths(schema.get("items"), root, each, (*path, number))
