"""Converts text of any encoding to UTF-8; bytes that are invalid in that encoding stay recognizable."""

import codecs
import re
from collections.abc import Iterator
from itertools import chain

from source_files.content import Content, public
from source_files.errors import SourceError


def _mark(error: UnicodeError) -> tuple[str | bytes, int]:
    """Like Python's surrogateescape, but for every codec: an invalid byte becomes a lone surrogate, and back."""
    if isinstance(error, UnicodeDecodeError):
        return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end
    if isinstance(error, UnicodeEncodeError):
        return bytes(ord(mark) & 0xFF for mark in error.object[error.start : error.end]), error.end
    raise error


# Name of this error handler, for the `errors` argument of Python's functions.
MARK = "source_files.mark"
codecs.register_error(MARK, _mark)


def is_text(text: str) -> bool:
    """Whether text that was decoded with MARK was valid."""
    return not re.search("[\udc00-\udcff]", text)


def utf8(content: Content, encoding: str, kind: str) -> Iterator[bytes]:
    """A text file's bytes as UTF-8, without a byte-order mark; invalid bytes stay invalid.

    Raises:
        SourceError: the file is UTF-16 but another encoding is declared, or it is an HTML page and not a `kind` file.
    """
    url, first = public(content.url), next(content.pieces, b"")
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and not encoding.startswith(("utf-16", "utf-32")):
        raise SourceError(f"{url}: the text is UTF-16, not {encoding.upper()}; save the file as UTF-8")
    pieces = chain([first], content.pieces)
    if encoding != "utf-8":
        pieces = _transcoded(pieces, encoding)
    first = next(pieces, b"").removeprefix(codecs.BOM_UTF8)
    if re.match(rb"\s*<(!doctype|!--|html|\?xml)", first, re.IGNORECASE):
        raise SourceError(f"{url}: an HTML or XML page, not a {kind} file; use the address of the raw file")
    yield first
    yield from pieces


def _transcoded(pieces: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)(MARK)
    for piece in pieces:
        yield decoder.decode(piece).encode("utf-8", "surrogatepass")
    yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")
