"""Splits JSON text into objects without changing them: one per line, over several lines, or in one array."""

import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

import orjson

from source_files.encoding import utf8
from source_files.errors import SourceError
from source_files.open_file import Content, public

# Objects up to this size in bytes are read.
_LONGEST = 8 << 20
_GAP = re.compile(rb"[ \t\r\n]*+")
_INSIDE = rb'[^"{}\[\]]*+(?:"(?:[^"\\]++|\\.)*+"[^"{}\[\]]*+)*+'
# An object without others in it, and a text up to its next bracket.
_FLAT, _TO_BRACKET = re.compile(rb"\{" + _INSIDE + rb"\}", re.DOTALL), re.compile(_INSIDE + rb"([{}\[\]])", re.DOTALL)
# Line breaks in JSON are only between values.
_BREAKS = bytes.maketrans(b"\r\n", b"  ")
_REMEDY = "write one object per line, in UTF-8"


# An object: the line where it starts, its text in one line, and the object itself.
Found = tuple[int, bytes, dict[str, Any]]


def blocks(content: Content) -> Iterator[Iterator[Found]]:
    """The objects of a file in blocks of about one piece.

    Raises:
        SourceError: the text is not JSON, or has something else than objects.
    """
    url, pieces = public(content.url), utf8(content, "utf-8", "JSON Lines")
    start = b""
    for piece in pieces:
        start += piece
        if b"\n" in start.lstrip() or len(start) > _LONGEST:
            break
    pieces = chain([start], pieces)
    first = start.lstrip().split(b"\n", 1)[0]
    if first[:1] == b"[":
        return _structured(url, pieces, is_array=True)
    if first[:1] == b"{" and not _is_json(first):
        return _structured(url, pieces, is_array=False)
    return _lines(url, pieces)


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _lines(url: str, pieces: Iterator[bytes]) -> Iterator[Iterator[Found]]:
    number, rest = 1, b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield _objects(url, number, lines)
        number += len(lines)
        if len(rest) > _LONGEST:
            raise _too_long(f"{url}, line {number}")
    yield _objects(url, number, [rest])


def _objects(url: str, first: int, lines: list[bytes]) -> Iterator[Found]:
    """The object of every line that is not blank."""
    for number, line in enumerate(lines, first):
        if line := line.strip():
            yield number, line, _object(url, number, 0, line)


def _object(url: str, line: int, column: int, text: bytes) -> dict[str, Any]:
    """The object of a text that starts behind `column` bytes of a line."""
    try:
        row = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        at = error.colno + (column if error.lineno == 1 else 0)
        wrong = f"invalid JSON at character {at}: {error.msg}"
        raise SourceError(f"{url}, line {line + error.lineno - 1}: {wrong}; {_REMEDY}") from error
    if type(row) is not dict:
        shown = text[:80].decode(errors="replace")
        raise SourceError(f"{url}, line {line}: not an object: {shown}; write one object per line")
    return row


def _too_long(where: str) -> SourceError:
    return SourceError(f"{where}: longer than {_LONGEST >> 20} MB; write one object per line, or shorten it")


def _structured(url: str, pieces: Iterator[bytes], *, is_array: bool) -> Iterator[Iterator[Found]]:
    """Objects of an array, or objects that follow one another with nothing but white space between them."""
    # Text that may come next, besides an object; an array begins, goes on and ends.
    text, line, column, expected = b"", 1, 0, b"[" if is_array else b"{"
    for piece in chain(pieces, [None]):
        at, found = 0, []
        text = text + (piece or b"")
        while True:
            start = gap.end() if (gap := _GAP.match(text, at)) else at
            line, column = _moved(text, at, start, line, column)
            at, token = start, text[start : start + 1]
            where = f"{url}, line {line}"
            if not token:
                break
            if token == b"{" and b"{" in expected:
                end = _end_of_object(text, at)
                if not end and piece is not None and len(text) - at <= _LONGEST:
                    break  # the next piece has more of it
                if not end and len(text) - at > _LONGEST:
                    raise _too_long(where)
                raw = text[at : end or len(text)]
                found.append((line, raw.translate(_BREAKS), _object(url, line, column, raw)))
                line, column = _moved(text, at, end, line, column)
                at, expected = end, b",]" if is_array else b"{"
            elif token in expected and token != b"{":
                # Behind a comma, an object has to follow.
                at, column, expected = at + 1, column + 1, {b"[": b"{]", b",": b"{", b"]": b""}[token]
            else:
                shown = text[at : at + 80].partition(b"\n")[0].decode(errors="replace")
                wanted = " or ".join(map(chr, expected)) or "nothing more"
                wrong = f"invalid JSON at character {column + 1}: expected {wanted}, found {shown}"
                raise SourceError(f"{where}: {wrong}; write an array of objects, or one object per line")
        if found:
            yield iter(found)
        text = text[at:]
    if is_array and expected:
        raise SourceError(f"{url}, line {line}: the array has no end; the file may be cut off, copy it again")


def _moved(text: bytes, start: int, end: int, line: int, column: int) -> tuple[int, int]:
    """The line and the number of bytes in it before `end`, given those before `start`."""
    if breaks := text.count(b"\n", start, end):
        return line + breaks, end - text.rindex(b"\n", start, end) - 1
    return line, column + end - start


def _end_of_object(text: bytes, start: int) -> int:
    """The end of the object that starts here; 0 if the text ends before."""
    if flat := _FLAT.match(text, start):
        return flat.end()
    depth, at = 0, start
    while found := _TO_BRACKET.match(text, at):
        depth, at = depth + (1 if found[1] in b"{[" else -1), found.end()
        if not depth:
            return at
    return 0
