"""The connector's configuration, as described by the command `spec`."""

import codecs
import os
import re
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import unquote

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from airbyte_declaration import column_types
from source_files.errors import SourceError, explained

# Schemes of buckets, and how they are written from here on.
_BUCKETS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}


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
        codecs.getincrementaldecoder(name)("surrogateescape").decode("id,text\n".encode(name), final=True)
    except (LookupError, UnicodeError, ValueError):
        raise ValueError(f"{name!r} is not an encoding of Python; examples are utf-8, utf-16 and cp1252") from None
    return codecs.lookup(name).name.removesuffix("-sig")


def _differ(names: list[str]) -> list[str]:
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{', '.join(repeated)} occurs twice")
    return names


def _address(url: str) -> str:
    """A path, or a URL whose scheme is one of those that are read."""
    found = re.match("([A-Za-z][A-Za-z0-9+.-]*)://(.*)", url, re.DOTALL)
    if not found or os.path.exists(url):
        return url
    scheme, rest = found[1].lower(), found[2]
    if scheme in ("http", "https"):
        return f"{scheme}://{rest}"
    if scheme == "file":
        if not (path := rest.removeprefix("localhost")).startswith("/"):
            raise ValueError("write file:///path with an absolute path, or the path alone")
        return unquote(path)
    if scheme not in _BUCKETS:
        raise ValueError(f"{scheme}:// is not supported; use a path, or an http, https, s3 or gs URL")
    bucket, _, name = rest.partition("/")
    if "@" in bucket:
        raise ValueError("credentials are not part of the URL of a bucket; set them under s3 or gcs")
    if not bucket or not name or name.endswith("/"):
        raise ValueError(f"names no file; write {scheme}://bucket/path, or a pattern such as {scheme}://bucket/*.csv")
    return f"{_BUCKETS[scheme]}://{rest}"


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
    url: Annotated[str, AfterValidator(_address)] = Field(
        min_length=1,
        description="Path of a file on this machine, an object of a bucket such as s3://bucket/path or gs://bucket/path,"
        " a pattern of these such as data/2024-*.csv or s3://bucket/**/*.csv, or an http(s) URL.",
    )
    format: Literal["csv", "jsonl", "parquet"] = Field(
        "csv", description="CSV with column names in its first row, JSON Lines or JSON, or Parquet."
    )
    csv: Csv = Field(Csv(), description="Format of the CSV files.")
    json_schema: Annotated[dict[str, Any], AfterValidator(_has_properties)] | None = Field(
        None,
        description="JSON schema whose properties are the columns to load; a CSV or Parquet file must have them all,"
        " a file of a pattern only those in `required`. Without it, discover finds the columns and their types in the"
        " files.",
    )
    primary_key: list[str] | None = Field(None, min_length=1, description="Columns that together identify a row.")
    file_name_column: str | None = Field(
        None,
        min_length=1,
        description="Name of a further column with the name of the row's file; for a pattern, with the folders that the"
        " pattern does not name.",
    )
    hive_partitions: bool = Field(
        False, description="Whether folders such as year=2024 of a path are further columns, here `year`."
    )

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

    @property
    def required(self) -> set[str]:
        """Columns that each file of a pattern must have."""
        return {*(self.json_schema or {}).get("required", []), *(self.primary_key or [])}


def _secret(description: str) -> Any:
    return Field(None, min_length=1, description=description, json_schema_extra={"airbyte_secret": True})


class S3(_Section):
    """Access to buckets of S3, or of a service that is compatible with it."""

    access_key_id: str | None = _secret("Id of the access key; without it, the credentials of this machine are used.")
    secret_access_key: str | None = _secret("Secret of the access key.")
    session_token: str | None = _secret("Token of temporary credentials.")
    region: str | None = Field(None, description="Region of the buckets.")
    endpoint_url: str | None = Field(None, description="Address of a service other than that of AWS.")
    anonymous: bool = Field(False, description="Read public buckets without credentials.")

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if bool(self.access_key_id) != bool(self.secret_access_key):
            raise ValueError("access_key_id and secret_access_key need each other")
        return self


class Gcs(_Section):
    """Access to buckets of Google Cloud Storage."""

    service_account_json: str | None = _secret(
        "Key of a service account, as JSON; without it, the credentials of this machine are used."
    )
    endpoint_url: str | None = Field(None, description="Address of a service other than that of Google.")
    anonymous: bool = Field(False, description="Read public buckets without credentials.")


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
    s3: S3 = Field(S3(), description="Access to the buckets of s3:// URLs.")
    gcs: Gcs = Field(Gcs(), description="Access to the buckets of gs:// URLs.")


def load(path: Path) -> Config:
    """Read a configuration from a JSON file; raises SourceError that names every invalid setting."""
    try:
        return Config.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise SourceError(f"the configuration of source_files is invalid: {explained(error)}") from None
