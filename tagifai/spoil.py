"""spoil: append bad rows to a copy of a source file, to demonstrate the gate that stops them."""

import csv
import gzip
import io
import json
import logging
import re
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

from tagifai import artifacts, project_files
from tagifai.errors import TagifaiError
from tagifai.settings import Settings

logger = logging.getLogger(__name__)

Row = dict[str, Any]


def spoil(settings: Settings, *, folder: str) -> dict[str, Any]:
    """Append a bad row for each rule of the gates to the file with the texts in a folder, in one step.

    Returns:
        `rows`: of each bad row the id, if rows have one, the first text, and what is `wrong` with it.

    Raises:
        TagifaiError: the file is missing, is no UTF-8 text or Parquet, has no row, or lacks a column.
    """
    columns, name = settings.columns, next(iter(settings.sources.values()))["file"]
    file = f"{folder}/{name}"
    content = artifacts.read(file, missing=f"there is no {file}: copy the files of the source to {folder} first")
    kind, is_compressed = project_files.kind_of(file)
    shown = [*([columns.id] if columns.id else []), columns.texts[0]]
    try:
        spoiled, bad = _spoiled(gzip.decompress(content) if is_compressed else content, kind, settings)
    except (KeyError, ValueError, TypeError, IndexError, OSError, EOFError, csv.Error) as error:
        raise TagifaiError(
            f"{file} cannot be spoiled ({error}): it must be UTF-8 text or Parquet, with rows and the columns "
            f"{', '.join([*shown, *columns.texts[1:]])}"
        ) from None
    artifacts.write(file, gzip.compress(spoiled) if is_compressed else spoiled)
    logger.info("%s: %d bad rows appended", file, len(bad))
    return {"rows": [{name: _as_json(row[name]) for name in shown} | {"wrong": wrong} for row, wrong in bad]}


def _as_json(value: Any) -> str | int:
    return value if isinstance(value, str | int) else str(value)


def _bad(rows: Sequence[Row], settings: Settings) -> list[tuple[Row, str]]:
    """Bad rows, each with what is wrong with it."""
    columns, label = settings.columns, settings.columns.label
    key, (title, *others) = columns.id, columns.texts
    first, middle, last = rows[0], rows[len(rows) // 2], rows[-1]
    ids = _unused([row[key] for row in rows]) if key else iter(())

    def fresh(row: Row) -> Row:
        return {**row, key: next(ids)} if key else row

    bad = []
    if key:
        bad.append((first | {name: f"Another {name}" for name in columns.texts}, f"the {key} of another row"))
    if settings.equal_texts == "stop":
        bad.append((fresh(middle), f"the same texts as {f'{key} {middle[key]}' if key else 'another row'}"))
    bad.append((fresh(last) | {title: ""} | dict.fromkeys(others, f"No {title}."), f"no {title}"))
    # Labels may be in the other file.
    if settings.labels.known and isinstance(last.get(label), str):
        texts = {name: f"One more {name}" for name in columns.texts}
        bad.append((fresh(last) | texts | {label: "no such label"}, f"an unknown {label}"))
    return bad


def _unused(ids: Sequence[Any]) -> Iterator[Any]:
    """Further ids of the same kind: the next integers, or texts that begin like the last one."""
    ids = [each for each in ids if each is not None]
    if all(re.fullmatch("0|-?[1-9][0-9]*", str(each)) for each in ids):
        return map(type(ids[0]), count(max(map(int, ids)) + 1))
    taken = set(ids)
    return (each for number in count(1) if (each := f"{ids[-1]}-{number}") not in taken)


def _spoiled(content: bytes, kind: str, settings: Settings) -> tuple[bytes, list[tuple[Row, str]]]:
    """The content of a file with bad rows at its end, and these rows."""
    if kind == ".parquet":
        return _spoiled_parquet(content, settings)
    text = content.decode("utf-8")
    if kind in project_files.JSON_LINES:
        bad = _bad([json.loads(line) for line in text.removeprefix("\ufeff").split("\n") if line.strip()], settings)
        lines = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row, _ in bad)
    else:
        bad, lines = _csv_lines(text, settings)
    return (text + ("" if text.endswith("\n") else "\n") + lines).encode(), bad


def _csv_lines(text: str, settings: Settings) -> tuple[list[tuple[Row, str]], str]:
    columns = settings.columns
    needed = {columns.id or columns.texts[0], *columns.texts}
    for delimiter in project_files.DELIMITERS[".csv"]:
        reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=delimiter)
        if needed <= {*(names := reader.fieldnames or ())}:
            break
    else:
        raise ValueError(f"its first line is {text.partition(chr(10))[0][:100]!r}")
    bad, lines = _bad(list(reader), settings), io.StringIO(newline="")
    end = "\r\n" if text.partition("\n")[0].endswith("\r") else "\n"
    csv.DictWriter(lines, names, delimiter=delimiter, lineterminator=end).writerows(row for row, _ in bad)
    return bad, lines.getvalue()


def _spoiled_parquet(content: bytes, settings: Settings) -> tuple[bytes, list[tuple[Row, str]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table, spoiled = pq.read_table(io.BytesIO(content)), io.BytesIO()
    bad = _bad(table.to_pylist(), settings)
    added = pa.Table.from_pylist([row for row, _ in bad], table.schema)
    pq.write_table(pa.concat_tables([table, added]), spoiled)
    return spoiled.getvalue(), bad
