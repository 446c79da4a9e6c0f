"""What a connection does with its streams, in the field names of Airbyte's public API."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

Name = Annotated[str, StringConstraints(min_length=1)]


class Section(BaseModel):
    """A part in which a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    def body(self) -> dict[str, Any]:
        """The fields that were given, as Airbyte's API names them."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class StreamConfiguration(Section):
    """One stream of a connection."""

    name: Name
    sync_mode: Literal[
        "full_refresh_overwrite", "full_refresh_append", "incremental_append", "incremental_deduped_history"
    ] = "full_refresh_overwrite"
    # Path of the column that says which of two rows is later; empty: the source's own.
    cursor_field: list[str] = []
    # Paths of the columns that tell rows apart; empty: the source's own.
    primary_key: list[list[str]] = []


def _once(streams: list[StreamConfiguration]) -> list[StreamConfiguration]:
    names = [stream.name for stream in streams]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"each stream may be named once, but {', '.join(sorted(repeated))} occurs more often")
    return streams


class StreamConfigurations(Section):
    """The streams of a connection."""

    streams: Annotated[list[StreamConfiguration], AfterValidator(_once)] = Field(min_length=1)


class Schedule(Section):
    """When a connection runs by itself: never, since Airflow starts every sync."""

    schedule_type: Literal["manual"] = "manual"


class ConnectionOptions(Section):
    """What a connection is beside its two ends; also the fields of Airbyte's request to change one."""

    name: Name
    configurations: StreamConfigurations
    status: Literal["active", "inactive"] = "active"
    schedule: Schedule = Schedule()
    namespace_definition: Literal["destination", "source", "custom_format"] = "destination"
    namespace_format: str = ""
    prefix: str = ""
