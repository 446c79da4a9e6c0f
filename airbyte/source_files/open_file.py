"""An open file: what it is, and its bytes."""

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from source_files.file_columns import FileColumns

PIECE = 1 << 20  # bytes

# Version of a file: `size` in bytes, `mtime_ns`, `etag`, `generation` or `last_modified`; empty if a server sends none.
Version = dict[str, int | str]


@dataclass
class Content:
    """An open file: its path or URL, its current version and its bytes."""

    url: str
    version: Version
    # In order, decompressed; only one piece is in memory at a time.
    pieces: Iterator[bytes]
    # The open file if any part of it can be read, and it is not compressed.
    file: BinaryIO | None = None
    # Its first bytes.
    head: bytes = b""
    columns: FileColumns = field(default_factory=FileColumns)

    def seekable(self) -> BinaryIO:
        """The whole file for random access; if only its pieces can be read, a temporary copy."""
        if self.file:
            return self.file
        copy = tempfile.TemporaryFile()  # noqa: SIM115 - for the caller to close
        for piece in self.pieces:
            copy.write(piece)
        copy.seek(0)
        return copy


def public(url: str) -> str:
    """A path or URL without credentials and query, which may contain a password or token."""
    return re.sub(r"^(https?://)(?:[^/?#]*@)?([^?#]*).*", r"\1\2", url, flags=re.DOTALL)
