"""Files of rows and files of their labels, read and written in pieces; the suffix of a name tells the format."""

import csv
import gzip
import json
import sys
import zlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from io import TextIOWrapper
from itertools import chain, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from tagifai.errors import TagifaiError
from tagifai.settings import Columns

# The column of the number of each row, from 1, in place of an id.
ROW = "row"
# Rows that are in memory at once.
PIECE = 5_000
SUFFIXES = ".csv, .tsv, .jsonl, .ndjson or .json (JSON Lines), each also with .gz, or .parquet"
# The first one is that of each format; a file is also read with the others.
DELIMITERS = {".csv": (",", ";", "\t", "|"), ".tsv": ("\t",)}
_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
JSON_LINES = (".jsonl", ".ndjson", ".json")


def kind_of(path: str) -> tuple[str, bool]:
    """The suffix that tells the format of a file, in lower case, and whether the file is compressed by gzip.

    Raises:
        TagifaiError: the format is another.
    """
    name = Path(path.lower())
    is_compressed = name.suffix == ".gz"
    kind = Path(name.stem).suffix if is_compressed else name.suffix
    if kind in (*DELIMITERS, *JSON_LINES) or (kind == ".parquet" and not is_compressed):
        return kind, is_compressed
    raise TagifaiError(f"{path}: the name of the file must end in {SUFFIXES}")


def read(source: str, columns: Columns) -> Generator[pa.Table]:
    """Read the ids and the texts of a file.

    Names of columns and keys count without white space around them. Every row has all texts, which may be null. If
    the source has no id, as the settings say, a file may have a column `id`; without it the number of each row, from 1,
    takes its place as `row`.

    Yields:
        At most `PIECE` rows, in the file's order; at least one table, without rows if the file has none. The first
        column is the id: text where the file has no types, otherwise of the file's own type. The texts follow.

    Raises:
        TagifaiError: the file is missing, damaged or of another format, lacks a column or has one twice, or has a row
            that does not fit; the message names it.
    """
    if not Path(source).is_file():
        raise TagifaiError(f"{source} does not exist: give a file whose name ends in {SUFFIXES}")
    kind, is_compressed = kind_of(source)
    try:
        if kind == ".parquet":
            yield from _with_ids(_parquet_tables(source, columns), columns.key)
            return
        # An empty line end: the CSV reader itself tells a line break within quotes from the end of a row.
        with (gzip.open if is_compressed else open)(source, "rt", newline="", encoding="utf-8-sig") as file:
            is_json = kind in JSON_LINES
            names, rows = (
                _json_rows(file, source, columns) if is_json else _csv_rows(file, source, columns, DELIMITERS[kind])
            )
            yield from _with_ids(_tables(names, rows, columns.key), columns.key)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise TagifaiError(f"{source} is damaged or cut off ({error}): compress the original again") from None
    except UnicodeDecodeError as error:
        raise TagifaiError(f"{source} is not UTF-8 text ({error.reason}): save it as UTF-8") from None
    except (pa.ArrowException, ValueError, OSError) as error:
        remedy = ". It must be a Parquet file" if kind == ".parquet" else ""
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
    # Without a time, so that the same labels make the same file.
    packed = gzip.GzipFile("", "wb", fileobj=file, mtime=0) if is_compressed else nullcontext(file)
    with packed as binary, TextIOWrapper(binary, encoding="utf-8", newline="") as text:
        if kind in JSON_LINES:
            for table in tables:
                text.writelines(f"{json.dumps(row, ensure_ascii=False, default=str)}\n" for row in table.to_pylist())
            return
        # With both characters in its line ends, the writer quotes a value that has one of them.
        lines = SimpleNamespace(write=lambda line: text.write(line.removesuffix("\r\n") + "\n"))
        writer, header = csv.writer(lines, delimiter=DELIMITERS[kind][0], lineterminator="\r\n"), None
        for table in tables:
            if not header:
                writer.writerow(header := table.column_names)
            writer.writerows(zip(*table.to_pydict().values(), strict=True))


def _csv_rows(
    file: Iterable[str], source: str, columns: Columns, delimiters: Sequence[str]
) -> tuple[list[str], Iterator[tuple[str, ...]]]:
    """Names and rows, all values as text: nothing becomes a number, and `NA` stays a word.

    The delimiter is the first one with which the header has all texts.

    Raises:
        ValueError: a row does not fit the header; the message names its line.
    """
    csv.field_size_limit(sys.maxsize)
    lines = iter(file)
    beginning = list(islice(lines, 1))
    wanted = {name.strip() for name in columns.texts}
    found = [each for each in delimiters if wanted <= {name.strip() for name in _header(beginning, each)}]
    delimiter = (found or delimiters)[0]
    reader = csv.reader(chain(beginning, lines), delimiter=delimiter, strict=True)
    filled = filter(None, reader)
    with _quotes_explained(reader):
        header = next(filled, [])
    places = _places(header, source, columns)

    def rows() -> Iterator[tuple[str, ...]]:
        with _quotes_explained(reader):
            for row in filled:
                if len(row) != len(header):
                    raise ValueError(
                        f"line {reader.line_num} has {len(row)} fields, the header {len(header)}: put double quotes "
                        f"around a value that holds a {_SEPARATORS[delimiter]} or a line break"
                    )
                yield tuple(row[place] for place in places.values())

    return list(places), rows()


@contextmanager
def _quotes_explained(reader: Any) -> Generator[None]:
    try:
        yield
    except csv.Error as error:
        raise ValueError(f'line {reader.line_num}: {error}; write a double quote within a value as ""') from None


def _header(lines: list[str], delimiter: str) -> list[str]:
    """The names in the first line; none if it cannot be read alone."""
    try:
        return next(csv.reader(lines, delimiter=delimiter, strict=True), [])
    except csv.Error:
        return []


def _json_rows(file: Iterable[str], source: str, columns: Columns) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
    """Names and rows of one object a line; empty lines are left out.

    Raises:
        ValueError: a line is no object, or a value has another type; the message names the line.
    """
    objects = _json_objects(file)
    first = next(objects, None)
    if first is None:
        return [columns.key, *columns.texts], iter(())
    # All lines have an id, or none.
    names = list(_places([name for name, _ in first[1]], f"{source}: line {first[0]}", columns))
    has_key = names[0] == columns.key

    def rows() -> Iterator[tuple[Any, ...]]:
        type_of_ids = None
        for number, pairs in chain([first], objects):
            places = _places([name for name, _ in pairs], f"{source}: line {number}", columns, has_key=has_key)
            row = tuple(pairs[place][1] for place in places.values())
            for name, value in zip(places, row, strict=True):
                _check(name, value, number, is_key=has_key and name == columns.key)
            if has_key:
                type_of_ids = type_of_ids or type(row[0])
                if type(row[0]) is not type_of_ids:
                    raise ValueError(
                        f"line {number}: {columns.key} is {_shown(row[0])}, but the ids before are "
                        f"{'texts' if type_of_ids is str else 'integers'}: write all alike"
                    )
            yield row

    return names, rows()


def _json_objects(file: Iterable[str]) -> Generator[tuple[int, tuple[tuple[str, Any], ...]]]:
    """The number of each line and the pairs of its object."""
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
            raise ValueError(f"line {number} is no object: write one object with the id and the texts a line")
        yield number, pairs


def _check(name: str, value: Any, number: int, *, is_key: bool) -> None:
    is_text = isinstance(value, str) and _is_unicode(value)
    if is_key and not (is_text or (type(value) is int and -(2**63) <= value < 2**63)):
        raise ValueError(f"line {number}: {name} is {_shown(value)}: write a text or an integer of 64 bits")
    if not is_key and not (is_text or value is None):
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


def _tables(names: list[str], rows: Iterator[tuple[Any, ...]], key: str) -> Generator[pa.Table]:
    piece = list(islice(rows, PIECE))
    if not piece:
        yield pa.schema([(name, pa.string()) for name in names]).empty_table()
    while piece:
        # Only ids may have another type, the same in all rows.
        values = zip(names, zip(*piece, strict=True), strict=True)
        yield pa.table([pa.array(each, None if name == key else pa.string()) for name, each in values], names)
        piece = list(islice(rows, PIECE))


def _parquet_tables(source: str, columns: Columns) -> Generator[pa.Table]:
    with pq.ParquetFile(source) as file:
        names = file.schema_arrow.names
        places = _places(names, source, columns)
        found = [names[place] for place in places.values()]
        pieces = (pa.Table.from_batches([each]) for each in file.iter_batches(PIECE, columns=found))
        for piece in chain(pieces, [] if file.metadata.num_rows else [file.schema_arrow.empty_table()]):
            values = (
                _plain(piece[each], f"{source}: column {name}", is_key=name == columns.key)
                for name, each in zip(places, found, strict=True)
            )
            yield pa.table(list(values), list(places))


def _plain(values: pa.ChunkedArray, what: str, *, is_key: bool) -> pa.ChunkedArray:
    """Values of a Parquet file: texts as such, also those of a dictionary, and ids of any type with one value."""
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    if is_text or pa.types.is_null(kind):
        return values.cast(kind).cast(pa.string())
    if not is_key or pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        remedy = "text or integers" if is_key else "text"
        raise TagifaiError(f"{what} has the type {values.type}: convert it to {remedy} before")
    return values.cast(kind)


def _with_ids(tables: Iterable[pa.Table], key: str) -> Generator[pa.Table]:
    """Put numbers from 1 in front of the rows if they have no ids."""
    number = 1
    for table in tables:
        if key in table.column_names:
            yield table
        else:
            numbers = pa.array(range(number, number + len(table)), pa.int64())
            yield table.add_column(0, ROW, numbers)
            number += len(table)


def _places(names: list[str], where: str, columns: Columns, *, has_key: bool | None = None) -> dict[str, int]:
    """Positions among names of the key, if there is one, and of the texts.

    Args:
        names: of all columns of a file.
        where: begins the message of an error.
        columns: what they are for.
        has_key: whether the key is among the names; None: it need not be if the source has none.

    Raises:
        TagifaiError: one is missing, or there twice.
    """
    trimmed, shown = [name.strip() for name in names], ", ".join(map(repr, names)) or "none"
    if has_key is None:
        has_key = columns.id is not None or columns.key.strip() in trimmed
    wanted = (*([columns.key] if has_key else []), *columns.texts)
    if missing := [name for name in wanted if name.strip() not in trimmed]:
        raise TagifaiError(f"{where} has no column {', '.join(missing)}: it needs {', '.join(wanted)} and has {shown}")
    if twice := [name for name in wanted if trimmed.count(name.strip()) > 1]:
        raise TagifaiError(f"{where} has column {', '.join(twice)} twice: rename or remove one of {shown}")
    return {name: trimmed.index(name.strip()) for name in wanted}
