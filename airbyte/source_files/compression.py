"""Decompresses gzip and zstd, which their first bytes show, whatever the name of the file."""

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from source_files.errors import SourceError
from source_files.open_file import Content, public

# A zstd file may begin with a frame to skip.
_KINDS = {"gzip": re.compile(rb"\x1f\x8b\x08"), "zstd": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")}
_HEAD = 64


def plain(content: Content, piece: int) -> Content:
    """The content without compression, with its first bytes."""
    if content.file:
        head = content.file.read(_HEAD)
        content.file.seek(0)
    else:
        first = next(content.pieces, b"")
        head, content = first[:_HEAD], replace(content, pieces=chain([first], content.pieces))
    for kind, start in _KINDS.items():
        if start.match(head):
            return plain(replace(content, pieces=_decompressed(content, kind, piece), file=None), piece)
    return replace(content, head=head)


class _Reader(io.RawIOBase):
    """A file of pieces of any size."""

    def __init__(self, pieces: Iterator[bytes]):
        self._pieces, self._rest = pieces, b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        self._rest = self._rest or next(self._pieces, b"")
        found, self._rest = self._rest[:size], self._rest[size:]
        return found


def _decompressed(content: Content, kind: str, piece: int) -> Iterator[bytes]:
    import pyarrow as pa  # slow to import; unlike others, it detects each kind of damage

    source = pa.PythonFile(content.file or _Reader(content.pieces), "r")
    try:
        with pa.CompressedInputStream(source, kind) as file:
            yield from iter(lambda: file.read(piece), b"")
    except OSError as error:
        wrong = f"the {kind} file is cut off or damaged: {error}"
        raise SourceError(f"{public(content.url)}: {wrong}; compress it or copy it again") from error
