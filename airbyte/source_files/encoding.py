"""Text of any encoding as UTF-8, in which what is no text of that encoding stays recognizable."""

import codecs
import re
from collections.abc import Iterator
from itertools import chain

from source_files.content import Content, public
from source_files.errors import SourceError


def _mark(error: UnicodeError) -> tuple[str | bytes, int]:
    """As Python's surrogateescape, for every codec: a byte that is no text becomes a lone surrogate, and back."""
    found = error.object[error.start : error.end]
    if isinstance(error, UnicodeDecodeError):
        return "".join(chr(0xDC00 + byte) for byte in found), error.end
    return bytes(ord(mark) & 0xFF for mark in found), error.end


# Name of this way to treat errors, for Python's `errors` arguments.
MARK = "source_files.mark"
codecs.register_error(MARK, _mark)


def is_text(text: str) -> bool:
    """Whether text that was decoded with MARK has no marks."""
    return not re.search("[\udc00-\udcff]", text)


def utf8(content: Content, encoding: str, kind: str) -> Iterator[bytes]:
    """A text file's bytes as UTF-8, without a byte-order mark; what is no text of its encoding is no UTF-8 either.

    Args:
        content: the file.
        encoding: of the file, in Python's own name for it.
        kind: of the file, for messages: CSV, JSON Lines.

    Raises:
        SourceError: the file is UTF-16 though another encoding is declared, or it is an HTML page.
    """
    url, first = public(content.url), next(content.pieces, b"")
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and not encoding.startswith(("utf-16", "utf-32")):
        raise SourceError(f"{url}: the text is UTF-16, not {encoding.upper()}; save the file as UTF-8")
    pieces = chain([first], content.pieces)
    if encoding != "utf-8":
        pieces = _transcoded(pieces, encoding)
    first = next(pieces, b"").removeprefix(codecs.BOM_UTF8)
    if re.match(rb"\s*<(!doctype|!--|html|\?xml)", first, re.IGNORECASE):
        raise SourceError(f"{url}: an HTML or XML page, not a {kind} file; give the address of the raw file")
    yield first
    yield from pieces


def _transcoded(pieces: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)(MARK)
    for piece in pieces:
        yield decoder.decode(piece).encode("utf-8", "surrogatepass")
    yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")
