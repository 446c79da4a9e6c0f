"""Finds the files of a stream, and reads their bytes piece by piece."""

import os
import stat
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from glob import glob, has_magic

from source_files.compression import plain
from source_files.errors import NoFileError, SourceError
from source_files.open_file import PIECE, Content, Version, public

__all__ = ["PIECE", "Content", "Version", "find", "is_bucket", "is_http", "is_pattern", "opened", "public"]


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
