"""The connector's configuration, as `spec` describes it."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from source_files.errors import SourceError


def _has_properties(schema: dict[str, Any]) -> dict[str, Any]:
    if not schema.get("properties"):
        raise ValueError("declares no properties: name every column to load, with its type")
    return schema


class Stream(BaseModel):
    """One CSV file: UTF-8, comma-separated, column names in its first row."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, description="Name of the stream.")
    url: str = Field(min_length=1, description="Path of the file on this machine, or its http(s) URL.")
    json_schema: Annotated[dict[str, Any], AfterValidator(_has_properties)] = Field(
        description="JSON schema whose properties are the columns to load; the file must have them all."
    )

    @property
    def columns(self) -> list[str]:
        """Names of the declared columns."""
        return list(self.json_schema["properties"])


class Config(BaseModel):
    """Files to offer as streams."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="Files")

    streams: list[Stream] = Field(min_length=1, description="The streams this source offers.")


def load(path: Path) -> Config:
    """Read a configuration from the JSON file at `path`.

    Raises:
        SourceError: the configuration does not fit the specification; the message names every wrong setting.
    """
    try:
        return Config.model_validate_json(path.read_bytes())
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise SourceError(f"the configuration of source_files is wrong: {wrong}") from None
