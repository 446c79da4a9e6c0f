"""Bodies of requests about workspaces, sources, destinations and connections."""

import json
import uuid
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from airbyte_declaration.streams import StreamConfigurations

Text = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00]*$")]


def _storable(value: dict[str, Any]) -> dict[str, Any]:
    """A JSON object that PostgreSQL can store."""
    if "\\u0000" in json.dumps(value, allow_nan=False):
        raise ValueError("must not contain a NUL character")
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("must not contain half of a surrogate pair") from None
    return value


Configuration = Annotated[
    dict[str, Any], Field(description="With sourceType or destinationType."), AfterValidator(_storable)
]


class CamelModel(BaseModel):
    """A model with Airbyte's field names. Unknown fields are ignored, since Airbyte's clients send more."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class WorkspaceBody(CamelModel):
    """A workspace."""

    name: Text


class ActorBody(CamelModel):
    """All fields of a source or destination."""

    name: Text
    configuration: Configuration


class ActorCreateBody(ActorBody):
    """A new source or destination."""

    workspace_id: uuid.UUID


class ActorPatchBody(CamelModel):
    """A change to a source or destination; the configuration is a JSON merge patch."""

    name: Text | None = None
    configuration: Configuration | None = None


class ConnectionPatchBody(CamelModel):
    """A change to a connection."""

    name: Text | None = None
    configurations: StreamConfigurations | None = None
    status: Literal["active", "inactive"] | None = None
    schedule: dict[str, Any] | None = None
    namespace_definition: Literal["destination", "source", "custom_format"] | None = None
    namespace_format: str | None = None
    prefix: str | None = None


class ConnectionCreateBody(ConnectionPatchBody):
    """A new connection; without configurations, each sync overwrites the tables of all streams."""

    source_id: uuid.UUID
    destination_id: uuid.UUID
