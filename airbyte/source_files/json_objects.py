"""Splits JSON text into objects without changing them: one per line, over several lines, or in one array."""

import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from typing import Any

import orjson

import exact_json
from source_files.encoding import utf8
from source_files.errors import SourceError
from source_files.open_file import Content, public

# Objects up to this size in bytes are read.
_LONGEST = 8 << 20
_GAP = re.compile(rb"[ \t\r\n]*+")
_INSIDE = rb'[^"{}\[\]]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"{}\[\]]*+)*+'
# An object without others in it, and a text up to its next bracket.
_FLAT, _TO_BRACKET = re.compile(rb"\{" + _INSIDE + rb"\}", re.DOTALL), re.compile(_INSIDE + rb"([{}\[\]])", re.DOTALL)
# What may come behind a part of an array.
_BEHIND = {b"[": b"{]", b",": b"{", b"]": b""}
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


def parsed(text: bytes) -> Any:
    """The value of JSON text; raises orjson.JSONDecodeError."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        # It also refuses a number that is too large for a double.
        with suppress(ValueError):
            return exact_json.parse(text.decode())
        raise


def _is_json(line: bytes) -> bool:
    try:
        parsed(line)
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
        row = parsed(text)
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
    # `column` is the number of bytes of the line before the text; `expected` is what may come next.
    text, line, column, expected = b"", 1, 0, b"[" if is_array else b"{"
    for piece in chain(pieces, [None]):
        text, at, seen, found = text + (piece or b""), 0, 0, []
        while True:
            at = gap.end() if (gap := _GAP.match(text, at)) else at
            line, seen = line + text.count(b"\n", seen, at), at
            if not (token := text[at : at + 1]):
                break
            if token not in expected:
                shown = text[at : at + 80].partition(b"\n")[0].decode(errors="replace")
                wanted = " or ".join(map(chr, expected)) or "nothing more"
                where = f"{url}, line {line}: invalid JSON at character {_column(text, at, column) + 1}"
                raise SourceError(f"{where}: expected {wanted}, found {shown}; {_REMEDY}, or an array of objects")
            if token == b"{":
                end = _end_of_object(text, at)
                if not end and len(text) - at > _LONGEST:
                    raise _too_long(f"{url}, line {line}")
                if not end and piece is not None:
                    break  # the next piece has more of it
                raw = text[at : end or len(text)]
                try:
                    row = parsed(raw)
                except orjson.JSONDecodeError:
                    row = _object(url, line, _column(text, at, column), raw)  # explains the error
                found.append((line, raw.translate(_BREAKS), row))
                at, expected = end, b",]" if is_array else b"{"
            else:
                at, expected = at + 1, _BEHIND[token]
        if found:
            yield iter(found)
        column, text = _column(text, at, column), text[at:]
    if is_array and expected:
        raise SourceError(f"{url}, line {line}: the array has no end; the file may be cut off, copy it again")


def _column(text: bytes, at: int, before: int) -> int:
    """The number of bytes of the line before this position, given those before the text."""
    start = text.rfind(b"\n", 0, at) + 1
    return at - start if start else before + at


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
