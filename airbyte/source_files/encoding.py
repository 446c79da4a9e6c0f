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


_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
    codecs.BOM_UTF8: "utf-8",
}
# Text without a byte-order mark that begins with characters of ASCII.
_ZEROS = {
    "utf-32-le": re.compile(rb"(?:[^\0]\0\0\0){2}"),
    "utf-32-be": re.compile(rb"(?:\0\0\0[^\0]){2}"),
    "utf-16-le": re.compile(rb"(?:[^\0]\0){4}"),
    "utf-16-be": re.compile(rb"(?:\0[^\0]){4}"),
}
# The beginning of a page, or one element as the whole text.
_PAGE = re.compile(
    rb"\s*<(?:!doctype|!--|html|head|body|\?xml|(?P<tag>[a-z][\w:-]*)\b[^<>]*>.*</(?P=tag)\s*>\s*\Z)",
    re.IGNORECASE | re.DOTALL,
)


def is_text(text: str) -> bool:
    """Whether text that was decoded with MARK was valid."""
    return not re.search("[\udc00-\udcff]", text)


def utf8(content: Content, encoding: str, kind: str) -> Iterator[bytes]:
    """A text file's bytes as UTF-8, without a byte-order mark; invalid bytes stay invalid.

    Raises:
        SourceError: the text is certainly in another encoding, or it is an HTML or XML page and not a `kind` file.
    """
    url, first = public(content.url), next(content.pieces, b"")
    if other := _other_encoding(first, encoding):
        declare = f", or declare csv.encoding: {other}" if kind == "CSV" else ""
        wrong = f"the text is {other.upper()}, not {encoding.upper()}; save the file as {encoding.upper()}{declare}"
        raise SourceError(f"{url}: {wrong}")
    pieces = chain([first], content.pieces)
    if encoding != "utf-8":
        pieces = _transcoded(pieces, with_order(encoding, first))
    first = next(pieces, b"").removeprefix(codecs.BOM_UTF8)
    if _PAGE.match(first):
        raise SourceError(f"{url}: an HTML or XML page, not a {kind} file; use the address of the raw file")
    yield first
    yield from pieces


def _other_encoding(text: bytes, encoding: str) -> str | None:
    """The encoding of a text, if the text shows that it is not this one."""
    for mark, name in _MARKS.items():
        if text.startswith(mark):
            family = name.removesuffix("-le").removesuffix("-be")
            return None if encoding in (name, family) else family
    for name, looks in _ZEROS.items():
        if looks.match(text):
            # UTF-16 and UTF-32 without a mark are little-endian, see with_order.
            return None if encoding in (name, name.removesuffix("-le")) else name
    # In UTF-16 and UTF-32, each line break and each delimiter has a zero byte.
    return "utf-8" if text and b"\0" not in text and encoding.startswith(("utf-16", "utf-32")) else None


def with_order(encoding: str, text: bytes) -> str:
    """The encoding of a text for Python's decoders of pieces, which refuse UTF-16 and UTF-32 without a mark."""
    return f"{encoding}-le" if encoding in ("utf-16", "utf-32") and not text.startswith(tuple(_MARKS)) else encoding


def _transcoded(pieces: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)(MARK)
    for piece in pieces:
        yield decoder.decode(piece).encode("utf-8", "surrogatepass")
    yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")
