"""The connector's configuration, as described by the command `spec`."""

import codecs
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from airbyte_declaration import column_types
from source_files.errors import SourceError, explained


def _has_properties(schema: dict[str, Any]) -> dict[str, Any]:
    if not schema.get("properties"):
        raise ValueError("has no properties: list every column to load, with its type")
    return schema


def _is_character(text: str) -> str:
    text = "\t" if text == r"\t" else text  # a tab, as a text of YAML in single quotes has it
    if len(text) != 1 or not text.isascii() or text in "\0\r\n":
        raise ValueError("must be one ASCII character, and not a line break")
    return text


def _codec(name: str) -> str:
    try:
        "id,text\n".encode(name)
    except (LookupError, UnicodeError, ValueError):
        raise ValueError(f"{name!r} is not an encoding of Python; examples are utf-8, utf-16 and cp1252") from None
    return codecs.lookup(name).name.removesuffix("-sig")


def _differ(names: list[str]) -> list[str]:
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{', '.join(repeated)} occurs twice")
    return names


_Character = Annotated[str, AfterValidator(_is_character)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Csv(_Section):
    """Format of a CSV file."""

    delimiter: _Character = Field(",", description="Separates values; a tab may be written as \\t.")
    quote: _Character | None = Field(
        '"',
        description="Encloses values that contain delimiters, quotes or line breaks; doubled inside of them. With null,"
        " no character does.",
    )
    escape: _Character | None = Field(None, description="The character behind it is taken as it is.")
    comment: str | None = Field(
        None, min_length=1, pattern=r"^[^\r\n]+$", description="A line that begins with this text is ignored."
    )
    skip_rows: int = Field(0, ge=0, description="Number of lines at the beginning of a file that are ignored.")
    column_names: Annotated[list[str], AfterValidator(_differ)] | None = Field(
        None, min_length=1, description="Names of all columns, for files without a row of column names."
    )
    encoding: Annotated[str, AfterValidator(_codec)] = Field("utf-8", description="Any text encoding of Python.")
    null: str | list[str] = Field("", description="An unquoted value that equals this text, or one of these, is null.")

    @model_validator(mode="after")
    def _is_unambiguous(self) -> Self:
        special = {"delimiter": self.delimiter, "quote": self.quote, "escape": self.escape}
        special = {name: character for name, character in special.items() if character}
        for one, other in combinations(special, 2):
            if special[one] == special[other]:
                raise ValueError(f"{one} and {other} must differ")
        if self.comment and self.comment[0] in special.values():
            raise ValueError("comment must not begin with the delimiter, quote or escape")
        if self.escape and any(self.escape in null for null in self.nulls):
            raise ValueError("null must not contain the escape, which is removed before values are compared")
        return self

    @property
    def nulls(self) -> list[str]:
        """The texts that are null."""
        return [self.null] if isinstance(self.null, str) else self.null


class Stream(_Section):
    """Files that are loaded into one table."""

    name: str = Field(min_length=1, description="Name of the stream.")
    url: str = Field(
        min_length=1,
        description="Path of a file on this machine, a pattern of paths such as data/2024-*.csv or data/**/*.csv, or"
        " an http(s) URL.",
    )
    format: Literal["csv", "jsonl", "parquet"] = Field(
        "csv", description="CSV with column names in its first row, JSON Lines, or Parquet."
    )
    csv: Csv = Field(Csv(), description="Format of the CSV files.")
    json_schema: Annotated[dict[str, Any], AfterValidator(_has_properties)] | None = Field(
        None,
        description="JSON schema whose properties are the columns to load; CSV and Parquet files must have them all."
        " Without it, discover finds the columns and their types in the files.",
    )
    primary_key: list[str] | None = Field(None, min_length=1, description="Columns that together identify a row.")

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.format != "csv" and "csv" in self.model_fields_set:
            raise ValueError(f"csv is only for CSV files, but the format is {self.format}")
        if self.json_schema and (wrong := column_types.faults(self.json_schema)):
            raise ValueError(f"stream {self.name}: json_schema: {'; '.join(wrong)}")
        if self.json_schema and (unknown := set(self.primary_key or []) - self.json_schema["properties"].keys()):
            raise ValueError(f"primary_key has columns that json_schema lacks: {', '.join(sorted(unknown))}")
        return self

    @property
    def columns(self) -> list[str] | None:
        """Names of the declared columns, or None if none are declared."""
        return list(self.json_schema["properties"]) if self.json_schema else None


def _have_names_of_their_own(streams: list[Stream]) -> list[Stream]:
    names = [stream.name for stream in streams]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"two streams have the name {', '.join(sorted(repeated))}")
    return streams


class Config(_Section):
    """Files to offer as streams."""

    model_config = ConfigDict(title="Files")

    streams: Annotated[list[Stream], AfterValidator(_have_names_of_their_own)] = Field(
        min_length=1, description="The streams of this source."
    )


def load(path: Path) -> Config:
    """Read a configuration from a JSON file; raises SourceError that names every invalid setting."""
    try:
        return Config.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise SourceError(f"the configuration of source_files is invalid: {explained(error)}") from None
