"""Options of a connection and its streams, with the field names of Airbyte's public API."""

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator
from pydantic.alias_generators import to_camel

Name = Annotated[str, StringConstraints(min_length=1)]


class Section(BaseModel):
    """A part of the declaration; unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    def body(self, exclude: set[str] | None = None) -> dict[str, Any]:
        """The fields that were set, as Airbyte's API names them."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude=exclude)


class StreamConfiguration(Section):
    """One stream of a connection."""

    name: Name
    sync_mode: Literal[
        "full_refresh_overwrite", "full_refresh_append", "incremental_append", "incremental_deduped_history"
    ] = "full_refresh_overwrite"
    # Path of the column that tells which of two rows is newer; empty: defined by the source.
    cursor_field: list[str] = []
    # Paths of the columns that identify a row; empty: defined by the source.
    primary_key: list[list[str]] = []

    @field_validator("cursor_field", mode="before")
    @classmethod
    def _is_path(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, list) and all(isinstance(each, str) for each in value):
            return value
        column = (as_columns(value) or ["COLUMN"])[0]
        raise ValueError(f"stream {info.data.get('name')}: must be a list with a column; write cursorField: [{column}]")

    @field_validator("primary_key", mode="before")
    @classmethod
    def _has_paths(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, list) and all(
            isinstance(path, list) and path and all(isinstance(each, str) for each in path) for path in value
        ):
            return value
        columns = ", ".join(f"[{each}]" for each in as_columns(value) or ["COLUMN"])
        wrong = f"stream {info.data.get('name')}: must be a list of columns, each in brackets of its own"
        raise ValueError(f"{wrong}; write primaryKey: [{columns}]")


def plain(message: str) -> str:
    """A message of Pydantic without the words that it puts before ours."""
    return message.removeprefix("Value error, ")


def as_columns(value: Any) -> list[str]:
    """The names of columns in a value of any form, to show how to write it."""
    if isinstance(value, list):
        return [name for each in value for name in as_columns(each)]
    return [name for each in value.split(",") if (name := each.strip())] if isinstance(value, str) else []


def repeated(names: Iterable[str]) -> list[str]:
    """The names that occur more than once, sorted."""
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _once(streams: list[StreamConfiguration]) -> list[StreamConfiguration]:
    if twice := repeated(stream.name for stream in streams):
        raise ValueError(f"each stream may be listed only once, but {', '.join(twice)} is repeated")
    return streams


class StreamConfigurations(Section):
    """The streams of a connection."""

    streams: Annotated[list[StreamConfiguration], AfterValidator(_once)] = Field(min_length=1)


class Schedule(Section):
    """The schedule of a connection: always manual, since Airflow starts every sync."""

    schedule_type: Literal["manual"] = "manual"


class ConnectionOptions(Section):
    """All fields of a connection except its source and destination; also the body of Airbyte's request to change it."""

    name: Name
    configurations: StreamConfigurations
    status: Literal["active", "inactive"] = "active"
    schedule: Schedule = Schedule()
    namespace_definition: Literal["destination", "source", "custom_format"] = "destination"
    namespace_format: str = ""
    prefix: str = ""
