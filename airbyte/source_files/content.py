"""Finds the files of a stream, and reads their bytes piece by piece."""

import os
import re
import stat
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from glob import glob, has_magic
from typing import BinaryIO

from source_files.errors import NoFileError, SourceError
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


def is_http(url: str) -> bool:
    """Whether it is an http(s) URL."""
    return url.startswith(("http://", "https://"))


def is_bucket(url: str) -> bool:
    """Whether it is the URL of an object of a bucket, or of a pattern of them."""
    return url.startswith(("s3://", "gs://"))


def is_pattern(url: str) -> bool:
    """Whether a stream's URL may stand for several files."""
    return has_magic(url) and not is_http(url) and not os.path.exists(url)


def find(url: str) -> list[str]:
    """The file at a stream's URL, or all files that match its pattern, sorted by modification time and name.

    Raises:
        NoFileError: no file matches the pattern.
    """
    if not is_pattern(url):
        return [url]
    if is_bucket(url):
        from source_files import buckets  # slow to import

        found = set(buckets.find(url))
    else:
        found = set(_local_files(url))
    if not found:
        raise NoFileError(f"{url}: no file matches the pattern; check the path in SOURCE or connections.yaml")
    return [path for _, path in sorted(found)]


def _local_files(pattern: str) -> Iterator[tuple[int, str]]:
    for path in glob(pattern, recursive=True):
        with suppress(FileNotFoundError):  # it has just been removed
            status = os.stat(path)
            if stat.S_ISREG(status.st_mode):
                yield status.st_mtime_ns, path


@contextmanager
def opened(url: str, *, known: Version | None = None, piece: int = PIECE) -> Generator[Content, None, None]:
    """Open a file, a URL, whose redirects are followed, or an object of a bucket, and read `piece` bytes at once.

    A server is asked to send nothing if it still has the version `known`.

    Raises:
        SourceError: the file is missing or unreadable, or the server refuses the request.
        TransientError: the server does not answer, breaks off, or reports a failure of its own.
    """
    from source_files.compression import plain

    if is_http(url):
        from source_files import web

        source = web.opened(url, known or {}, piece)
    elif is_bucket(url):
        from source_files import buckets

        source = buckets.opened(url, known or {}, piece)
    else:
        source = _local(url, piece)
    with source as content:
        yield plain(content, piece)


@contextmanager
def _local(url: str, piece: int) -> Generator[Content, None, None]:
    def pieces() -> Iterator[bytes]:
        try:
            yield from iter(lambda: file.read(piece), b"")
        except OSError as error:
            raise _unreadable(url, error) from error

    try:
        file = open(url, "rb")  # noqa: SIM115 - closed below; errors of the caller must not be reported as errors of the file
    except OSError as error:
        raise _unreadable(url, error) from error
    with file:
        status = os.fstat(file.fileno())
        version: Version = {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
        yield Content(url, version, pieces(), file)


def _unreadable(url: str, error: OSError) -> SourceError:
    return SourceError(f"{url}: {error.strerror}; check the path in SOURCE or connections.yaml")
