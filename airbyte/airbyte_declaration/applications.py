"""What the templates of a declaration know of the applications, from their config."""

from collections.abc import Sequence
from typing import Any

# The JSON schema of each type of a column.
SCHEMAS: dict[str, dict[str, str]] = {
    "text": {"type": "string"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "timestamp": {"type": "string", "format": "date-time", "airbyte_type": "timestamp_without_timezone"},
    "timestamp_with_time_zone": {"type": "string", "format": "date-time", "airbyte_type": "timestamp_with_timezone"},
    "epoch_seconds": {"type": "integer"},
    "epoch_milliseconds": {"type": "integer"},
}


def described(configs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The applications of a declaration.

    Returns:
        For each its `prefix`, which stands in front of the names of its schemas and connections, and its `sources`,
        each with `name`, `url`, `options` and `json_schema`.
    """
    return [
        {
            "prefix": f"{config['namespace']}_" if config.get("namespace") else "",
            "sources": [
                {
                    "name": name,
                    "url": f"{config['source'].rstrip('/')}/{source['file']}",
                    "options": source.get("options", {}),
                    "json_schema": {
                        "type": "object",
                        "properties": {column: _schema(each) for column, each in source["columns"].items()},
                    },
                }
                for name, source in config["sources"].items()
            ],
        }
        for config in configs
    ]


def _schema(column: str | dict[str, Any]) -> dict[str, str]:
    return SCHEMAS[column if isinstance(column, str) else column["type"]]
