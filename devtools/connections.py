"""Connections of benchmarks and torture tests: from sources of one stream each to the warehouse."""

import json
from pathlib import Path
from typing import Any

from stack.settings import Settings


def declare(
    settings: Settings,
    path: Path,
    schema: str,
    connections: dict[str, tuple[dict[str, Any], dict[str, Any]]],
    **airbyte: str,
) -> Settings:
    """Write a declaration of connections; returns settings that use it.

    Args:
        settings: of the instance.
        path: of the file.
        schema: of the tables in the warehouse.
        connections: by name, also that of source, stream and table: the source's configuration, and the stream's.
        airbyte: further settings of Airbyte.
    """
    address = {name: f"${{MLOPS_WAREHOUSE__{name.upper()}}}" for name in ("host", "port", "database", "password")}
    warehouse = {"destinationType": "postgres", "username": "${MLOPS_WAREHOUSE__USER}", "schema": schema, **address}
    declaration = {
        "workspace": {"name": schema},
        "sources": [{"name": name, "configuration": source} for name, (source, _) in connections.items()],
        "destinations": [{"name": "warehouse", "configuration": warehouse}],
        "connections": [
            {
                "name": name,
                "source": name,
                "destination": "warehouse",
                "schedule": {"scheduleType": "manual"},
                "configurations": {"streams": [{"name": name, **stream}]},
            }
            for name, (_, stream) in connections.items()
        ],
    }
    path.write_text(json.dumps(declaration, indent=1), encoding="utf-8")  # JSON is YAML
    own = settings.config["airbyte"] | {"connections": str(path), **airbyte}
    return settings.changed_for_all(airbyte=own)


def files(name: str, pattern: Path, schema: dict[str, Any]) -> dict[str, Any]:
    """Configuration of a source that reads files as a stream."""
    return {"sourceType": "files", "streams": [{"name": name, "url": str(pattern), "json_schema": schema}]}
