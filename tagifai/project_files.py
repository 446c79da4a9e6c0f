"""Files of projects and files of their tags, read and written in pieces; the suffix of a name tells the format."""

import csv
import gzip
import json
import sys
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import nullcontext
from io import TextIOWrapper
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from tagifai.errors import TagifaiError

COLUMNS = ("id", "title", "description")
# Rows that are in memory at once.
PIECE = 5_000
SUFFIXES = ".csv, .tsv, .jsonl or .ndjson, each also with .gz, or .parquet"
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_SEPARATORS = {",": "comma", "\t": "tab"}
_JSON_LINES = (".jsonl", ".ndjson")


def kind_of(path: str) -> tuple[str, bool]:
    """The suffix that tells the format of a file, in lower case, and whether the file is compressed by gzip.

    Raises:
        TagifaiError: the format is another.
    """
    name = Path(path.lower())
    is_compressed = name.suffix == ".gz"
    kind = Path(name.stem).suffix if is_compressed else name.suffix
    if kind in (*_DELIMITERS, *_JSON_LINES) or (kind == ".parquet" and not is_compressed):
        return kind, is_compressed
    raise TagifaiError(f"{path}: the name of the file must end in {SUFFIXES}")


def read(source: str) -> Generator[pa.Table]:
    """Read a file of projects.

    Names of columns and keys count without white space around them.

    Yields:
        At most `PIECE` rows, in the file's order; at least one table, without rows if the file has none. `id` is text
        where the file has no types, otherwise of the file's own type; `title` and `description` are texts or null.

    Raises:
        TagifaiError: the file is missing, damaged or of another format, lacks a column or has one twice, or has a row
            that does not fit; the message names it.
    """
    if not Path(source).is_file():
        raise TagifaiError(f"{source} does not exist: give a file whose name ends in {SUFFIXES}")
    kind, is_compressed = kind_of(source)
    try:
        if kind == ".parquet":
            yield from _parquet_tables(source)
            return
        # An empty line end: the CSV reader itself tells a line break within quotes from the end of a row.
        with (gzip.open if is_compressed else open)(source, "rt", newline="", encoding="utf-8-sig") as file:
            rows = _json_rows(file, source) if kind in _JSON_LINES else _csv_rows(file, source, _DELIMITERS[kind])
            yield from _tables(rows)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise TagifaiError(f"{source} is damaged or cut off ({error}): compress the original again") from None
    except UnicodeDecodeError as error:
        raise TagifaiError(f"{source} is not UTF-8 text ({error.reason}): save it as UTF-8") from None
    except (pa.ArrowException, ValueError, OSError) as error:
        remedy = ". It must be a Parquet file with texts as title and description" if kind == ".parquet" else ""
        raise TagifaiError(f"{source} cannot be read: {error}{remedy}") from None


def write(tables: Iterator[pa.Table], file: BinaryIO, target: str) -> None:
    """Write tables of one schema, at least one, to an open file in the format that the name `target` tells.

    Raises:
        TagifaiError: the format is another.
        OSError: the file cannot be written.
    """
    kind, is_compressed = kind_of(target)
    if kind == ".parquet":
        first = next(tables)
        with pq.ParquetWriter(file, first.schema) as writer:
            for table in chain([first], tables):
                writer.write_table(table)
        return
    # Without a time, so that the same tags make the same file.
    packed = gzip.GzipFile("", "wb", fileobj=file, mtime=0) if is_compressed else nullcontext(file)
    with packed as binary, TextIOWrapper(binary, encoding="utf-8", newline="") as text:
        if kind in _JSON_LINES:
            for table in tables:
                text.writelines(f"{json.dumps(row, ensure_ascii=False, default=str)}\n" for row in table.to_pylist())
            return
        # With both characters in its line ends, the writer quotes a value that has one of them.
        lines = SimpleNamespace(write=lambda line: text.write(line.removesuffix("\r\n") + "\n"))
        writer, header = csv.writer(lines, delimiter=_DELIMITERS[kind], lineterminator="\r\n"), None
        for table in tables:
            if not header:
                writer.writerow(header := table.column_names)
            writer.writerows(zip(*table.to_pydict().values(), strict=True))


def _csv_rows(file: Iterable[str], source: str, delimiter: str) -> Generator[tuple[str, ...]]:
    """Read all values as text: nothing becomes a number, and `NA` stays a word.

    Raises:
        ValueError: a row does not fit the header; the message names its line.
    """
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    rows = filter(None, reader)
    try:
        header = next(rows, [])
        pick = itemgetter(*_places(header, source))
        for row in rows:
            if len(row) != len(header):
                raise ValueError(
                    f"line {reader.line_num} has {len(row)} fields, the header {len(header)}: put double quotes "
                    f"around a value that holds a {_SEPARATORS[delimiter]} or a line break"
                )
            yield pick(row)
    except csv.Error as error:
        raise ValueError(f'line {reader.line_num}: {error}; write a double quote within a value as ""') from None


def _json_rows(file: Iterable[str], source: str) -> Generator[tuple[Any, ...]]:
    """Read one object a line; empty lines are left out.

    Raises:
        ValueError: a line is no object, or a value has another type; the message names the line.
    """
    type_of_ids = None
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            # Pairs, because a dictionary would hide a key that is there twice.
            pairs = json.loads(line, object_pairs_hook=tuple)
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", error)
            raise ValueError(f"line {number} is not JSON ({reason}): write one object a line") from None
        if not isinstance(pairs, tuple):
            raise ValueError(f"line {number} is no object: write one object with id, title, description a line")
        places = _places([name for name, _ in pairs], f"{source}: line {number}")
        row = tuple(pairs[place][1] for place in places)
        _check(row, number)
        type_of_ids = type_of_ids or type(row[0])
        if type(row[0]) is not type_of_ids:
            others = "texts" if type_of_ids is str else "integers"
            raise ValueError(f"line {number}: id is {_shown(row[0])}, but the ids before are {others}: write all alike")
        yield row


def _check(row: tuple[Any, ...], number: int) -> None:
    for name, value in zip(COLUMNS, row, strict=True):
        is_text = isinstance(value, str) and _is_unicode(value)
        if name == "id" and not (is_text or (type(value) is int and -(2**63) <= value < 2**63)):
            raise ValueError(f"line {number}: id is {_shown(value)}: write a text or an integer of 64 bits")
        if name != "id" and not (is_text or value is None):
            raise ValueError(f"line {number}: {name} is {_shown(value)}: write a text or null")


def _shown(value: object) -> str:
    """A value as JSON, cut off where it is long."""
    return json.dumps(value)[:100]


def _is_unicode(text: str) -> bool:
    r"""Whether a text can be written: JSON may have half a character, such as \ud800."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _tables(rows: Iterator[tuple[Any, ...]]) -> Generator[pa.Table]:
    piece = list(islice(rows, PIECE))
    if not piece:
        yield pa.schema([(name, pa.string()) for name in COLUMNS]).empty_table()
    while piece:
        ids, *texts = zip(*piece, strict=True)
        yield pa.table([pa.array(ids), *(pa.array(each, pa.string()) for each in texts)], COLUMNS)
        piece = list(islice(rows, PIECE))


def _parquet_tables(source: str) -> Generator[pa.Table]:
    with pq.ParquetFile(source) as file:
        names = file.schema_arrow.names
        columns = [names[place] for place in _places(names, source)]
        pieces = (pa.Table.from_batches([each]) for each in file.iter_batches(PIECE, columns=columns))
        for piece in chain(pieces, [] if file.metadata.num_rows else [file.schema_arrow.empty_table()]):
            ids, *texts = (piece[name] for name in columns)
            yield pa.table([ids, *(each.cast(pa.string()) for each in texts)], COLUMNS)


def _places(names: list[str], where: str) -> list[int]:
    """Positions of `COLUMNS` among names; `where` begins the message of an error.

    Raises:
        TagifaiError: one is missing, or there twice.
    """
    trimmed, shown = [name.strip() for name in names], ", ".join(map(repr, names)) or "none"
    if missing := [name for name in COLUMNS if name not in trimmed]:
        needed = ", ".join(COLUMNS)
        raise TagifaiError(f"{where} has no column {', '.join(missing)}: it needs {needed} and has {shown}")
    if twice := [name for name in COLUMNS if trimmed.count(name) > 1]:
        raise TagifaiError(f"{where} has column {', '.join(twice)} twice: rename or remove one of {shown}")
    return [trimmed.index(name) for name in COLUMNS]
