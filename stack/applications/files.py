"""Reads source files with the connector that loads them later, so that names and types are what a run sees."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline.checkpoints import FILE_CHECKPOINTS
from stack.environments import command_of
from stack.errors import StackError
from stack.settings import ROOT

# Options of the connector by the suffix of a file.
_OPTIONS = {
    ".csv": {},
    ".tsv": {"csv": {"delimiter": "\\t"}},
    ".jsonl": {"format": "jsonl"},
    ".ndjson": {"format": "jsonl"},
    ".json": {"format": "jsonl"},
    ".parquet": {"format": "parquet"},
}
# Names of other tables and checks of an application.
_TAKEN = (*FILE_CHECKPOINTS, "transforms")
# By the JSON schema of a column; anything else is no column of an application.
_TYPES = {
    ("string", None, None): "text",
    ("string", "date", None): "date",
    ("string", "date-time", "timestamp_without_timezone"): "timestamp",
    ("string", "date-time", "timestamp_with_timezone"): "timestamp_with_time_zone",
    ("integer", None, None): "integer",
    ("number", None, None): "number",
    ("number", "double", None): "number",
    ("boolean", None, None): "boolean",
}


@dataclass(frozen=True)
class File:
    """A source file.

    Attributes:
        root: the folder or base URL, as the setting `source` has it.
        name: of the file below it.
        options: of the connector for this file.
        types: of its columns, as an application's file names them; None: a type that it does not know.
    """

    root: str
    name: str
    options: dict[str, Any]
    types: dict[str, str | None]

    @property
    def table(self) -> str:
        """A name for its table."""
        file = _path(self.root, self.name).rsplit("/", 1)[-1]
        stem = re.sub(r"\.(csv|tsv|jsonl|ndjson|json|parquet)(\.gz)?$", "", file, flags=re.IGNORECASE)
        named = re.sub(r"\W+", "_", stem.lower(), flags=re.ASCII).strip("_")[:40]
        is_free = re.match("[a-z]", named) and named not in _TAKEN
        return named if is_free else f"data_{named}".rstrip("_")[:40]

    def rows(self) -> Iterator[dict[str, Any]]:
        """All rows; texts as the file has them.

        Raises:
            StackError: a row cannot be read; the message names it.
        """
        properties = {name: _SCHEMAS.get(kind or "", {"type": "string"}) for name, kind in self.types.items()}
        schema = {"type": "object", "properties": properties}
        with TemporaryDirectory() as folder:
            config, catalog = Path(folder, "config.json"), Path(folder, "catalog.json")
            config.write_text(json.dumps({"streams": [self._stream() | {"json_schema": schema}]}))
            stream = {"name": "file", "json_schema": schema, "supported_sync_modes": ["full_refresh"]}
            configured = {"stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "overwrite"}
            catalog.write_text(json.dumps({"streams": [configured]}))
            for message in _messages("read", "--config", str(config), "--catalog", str(catalog)):
                if message["type"] == "RECORD":
                    yield message["record"]["data"]

    def _stream(self) -> dict[str, Any]:
        return {"name": "file", "url": f"{self.root}/{self.name}", **self.options}


# How values are read here: times and numbers as they are written, whatever they become later.
_SCHEMAS = {"integer": {"type": "integer"}, "number": {"type": "number"}, "boolean": {"type": "boolean"}}


def find(data: str) -> list[File]:
    """The source files of DATA: one or two files, a folder with these, or URLs; several have blanks between them.

    Raises:
        StackError: there are none or more, or one cannot be read; the message names it.
    """
    named = [data] if Path(data).expanduser().exists() else data.split()
    places = [each for name in named for each in _places(name)]
    if not 1 <= len(places) <= 2:
        raise StackError(
            f"DATA={data} names {len(places)} files, and an application has one or two: name them, "
            "DATA=texts.csv or DATA='texts.csv labels.csv'"
        )
    root = _root(places)
    return [_look(root, each.removeprefix(root).lstrip("/")) for each in places]


def _places(name: str) -> list[str]:
    if name.startswith(("http://", "https://")):
        return [name]
    path = Path(name).expanduser().resolve()
    if not path.exists():
        raise StackError(f"DATA: {name} does not exist: give a file, a folder or a URL")
    if path.is_file():
        return [str(path)]
    return [str(each) for each in sorted(path.iterdir()) if _is_source(each.name)]


def _is_source(name: str) -> bool:
    return Path(name.lower().removesuffix(".gz")).suffix in _OPTIONS


def _root(places: list[str]) -> str:
    """The folder or base URL that all files are below."""
    parts = [place.split("/")[:-1] for place in places]
    # Of a URL, the scheme and the server at least.
    root = "/".join(each[0] for each in takewhile(lambda each: len(set(each)) == 1, zip(*parts, strict=False)))
    if any("://" in place for place in places) and not re.match(".+://.", root):
        raise StackError(f"{' and '.join(places)} are in different places: copy them into one folder")
    return root


def _path(root: str, name: str) -> str:
    """The name of a file, without the query of a URL."""
    return name.partition("?")[0].partition("#")[0] if "://" in root else name


def _look(root: str, name: str) -> File:
    suffix = Path(_path(root, name).lower().removesuffix(".gz")).suffix
    options: dict[str, Any] = _OPTIONS.get(suffix, {})
    found = File(root, name, options, {})
    try:
        schema = _discovered(found)
    except StackError as error:
        delimiter = re.search(r"instead of '(.|\\t)': separate values|instead of '(.|\\t)'", str(error))
        if not delimiter:
            raise
        found = File(root, name, {"csv": {"delimiter": delimiter[1] or delimiter[2]}}, {})
        schema = _discovered(found)
    types = {column: _type(each) for column, each in schema["properties"].items()}
    return File(root, name, found.options, types)


def _discovered(file: File) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        config = Path(folder, "config.json")
        config.write_text(json.dumps({"streams": [file._stream()]}))
        (message,) = (each for each in _messages("discover", "--config", str(config)) if each["type"] == "CATALOG")
    return message["catalog"]["streams"][0]["json_schema"]


def _type(column: dict[str, Any]) -> str | None:
    types = column.get("type", [])
    (one, *others) = [each for each in ([types] if isinstance(types, str) else types) if each != "null"] or [None]
    return None if others else _TYPES.get((one, column.get("format"), column.get("airbyte_type")))


def _messages(*arguments: str) -> Iterator[dict[str, Any]]:
    command = command_of("airbyte", "python", "-m", "source_files", *arguments)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "airbyte")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout
        for line in process.stdout:
            message = json.loads(line)
            if message["type"] == "TRACE" and "error" in message["trace"]:
                # Where the file is not named, the stream is.
                raise StackError(re.sub("^stream file: ", "DATA: ", message["trace"]["error"]["message"]))
            yield message
    if process.returncode:
        raise StackError(f"`{' '.join(command)}` failed with exit status {process.returncode}")
