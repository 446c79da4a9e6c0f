"""Checks, discovers and reads the files of a stream, one after the other."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

from source_files import content, schema
from source_files.config import Stream
from source_files.errors import EmptyFileError, NoFileError, SourceError
from source_files.file_columns import FileColumns, name_of, partitions_of
from source_files.open_file import Content, Version
from source_files.signatures import refuse_others
from source_files.state import State, key_of

# Without a declared schema, discover reads this number of bytes, from at most this number of files: the last ones.
LOOK, FILES = 64 << 20, 1_000


def check(stream: Stream) -> None:
    """Read the beginning of each file; raises SourceError if one is not as declared."""
    files, empty = content.find(stream.url), _EmptyFiles(stream)
    for url in files:
        with content.opened(url) as file, empty.noted():
            _prepare(file, stream)
            _format(stream).check(file, stream)
    empty.settle(len(empty.errors) < len(files), lambda _: None)


def discover(stream: Stream) -> dict[str, Any]:
    """The JSON schema of the stream's columns: those that are declared, or found in its files, and in their names."""
    further = _of_names(stream)
    found = stream.json_schema or _learn(stream, [name for name in stream.primary_key or [] if name not in further])
    return {**found, "properties": {**found["properties"], **further}} if further else found


def _of_names(stream: Stream) -> dict[str, Any]:
    """JSON schemas of the columns from the names of files that are not declared."""
    columns, values = schema.Columns(), defaultdict(set)
    for url in content.find(stream.url) if stream.hive_partitions else []:
        for name, value in partitions_of(content.public(url)).items():
            values[name].add(value)
    if values:
        import pyarrow as pa  # slow to import

        from source_files.text_types import fitting

        for name, found in values.items():
            columns.narrow(name, fitting(pa.array(found, pa.string()), columns.fitting(name)))
    if stream.file_name_column:
        columns.narrow(stream.file_name_column, set())
    found = columns.json_schema([])["properties"] if values or stream.file_name_column else {}
    return {name: kind for name, kind in found.items() if name not in (stream.columns or [])}


def _learn(stream: Stream, primary_key: list[str]) -> dict[str, Any]:
    columns, empty = schema.Columns(), _EmptyFiles(stream)
    files = content.find(stream.url)[-FILES:]
    share = LOOK // len(files)
    for url in files:
        with content.opened(url, piece=min(share, content.PIECE)) as file, empty.noted():
            _prepare(file, stream)
            _format(stream).learn(file, stream, share, columns)
    empty.settle(len(empty.errors) < len(files), lambda _: None)
    try:
        return columns.json_schema(primary_key)
    except SourceError as error:
        raise SourceError(f"stream {stream.name}: {error}") from None


def read(
    stream: Stream,
    columns: list[str],
    done: State | None,
    *,
    warn: Callable[[str], None],
    save: Callable[[State], None],
) -> Iterator[Any]:
    """Lines of RECORD messages of a stream's files, as bytes or Arrow buffers.

    Given `done`, only files that it does not contain are read. Each is added to it, and it is saved behind the rows.
    """
    has_rows, empty = False, _EmptyFiles(stream)
    passed_over: dict[str, Version] = {}
    try:
        files = content.find(stream.url)
    except NoFileError as error:
        if not (done and done.files):
            raise
        warn(f"{error}; it was read before, so this counts as no new rows")
        return
    for url in files:
        key = key_of(url)
        is_adopted = bool(done and done.adopt(key))
        with content.opened(url, known=done.files.get(key) if done else None) as file:
            if done and done.has(key, file.version):
                if is_adopted:
                    save(done)
                continue
            with empty.noted():
                _prepare(file, stream)
                for lines in _format(stream).read(file, stream, columns, warn):
                    has_rows = True
                    yield lines
        if done and len(empty.errors) > len(passed_over):
            passed_over[key] = file.version
        elif done:
            done.add(key, file.version)
            save(done)
    # Other files that were read before had rows.
    empty.settle(has_rows or bool(done and done.files.keys() - passed_over.keys()), warn)
    if done and passed_over:
        for key, version in passed_over.items():
            done.add(key, version)
        save(done)


class _EmptyFiles:
    """Files without any content, which a pattern may have beside files with rows."""

    def __init__(self, stream: Stream):
        # An empty JSON Lines file is a good file without rows.
        self._may_be_alone = stream.format == "jsonl"
        self.errors: list[EmptyFileError] = []

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note the error for an empty file instead of raising it."""
        try:
            yield
        except EmptyFileError as error:
            self.errors.append(error)

    def settle(self, has_rows: bool, warn: Callable[[str], None]) -> None:
        """Warn of the files if others have rows; else raise the first error."""
        if self.errors and not has_rows and not self._may_be_alone:
            raise self.errors[0]
        for error in self.errors:
            warn(f"{error}; it counts as a file without rows")


def _prepare(file: Content, stream: Stream) -> None:
    """Set what is known of an open file's columns; raises SourceError if the file is of another kind."""
    refuse_others(file, stream.format)
    constants, name, is_pattern = {}, content.public(file.url), content.is_pattern(stream.url)
    if stream.hive_partitions:
        constants |= partitions_of(name)
    if stream.file_name_column:
        constants[stream.file_name_column] = name_of(name, stream.url if is_pattern else None)
    # Each object of JSON Lines may lack columns.
    is_strict = not is_pattern and stream.format != "jsonl"
    file.columns = FileColumns(constants, None if is_strict else stream.required)


def _format(stream: Stream) -> ModuleType:
    """Module for the stream's format; imported when needed, since most import pyarrow, which is slow.

    Each has the functions check, read and learn, as csv_format describes them.
    """
    return import_module(f"source_files.{stream.format}_format")
