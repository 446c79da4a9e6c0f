"""Finds the files of a stream, and reads their bytes piece by piece."""

import os
import re
import stat
import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from glob import glob, has_magic
from typing import BinaryIO

from source_files.errors import SourceError, TransientError

PIECE = 1 << 20  # bytes
# Seconds without data after which a server is given up.
TIMEOUT = 30

# Version of a file: `size` in bytes and `mtime_ns`, `etag`, or `last_modified`; empty if the server sends neither.
Version = dict[str, int | str]


@dataclass
class Content:
    """An open file: its path or URL, its current version and its bytes."""

    url: str
    version: Version
    # In order; only one piece is in memory at a time.
    pieces: Iterator[bytes]
    # The open file if it is on this machine.
    file: BinaryIO | None = None

    def seekable(self) -> BinaryIO:
        """The whole file for random access; for a URL, a temporary copy."""
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


def find(url: str) -> list[str]:
    """The file at a stream's URL, or all files that match its pattern, sorted by modification time and name."""
    if _is_http(url) or not has_magic(url) or os.path.exists(url):
        return [url]
    found = set()
    for path in glob(url, recursive=True):
        with suppress(FileNotFoundError):  # it has just been removed
            status = os.stat(path)
            if stat.S_ISREG(status.st_mode):
                found.add((status.st_mtime_ns, path))
    if not found:
        raise SourceError(f"{url}: no file matches the pattern; check the path in SOURCE or connections.yaml")
    return [path for _, path in sorted(found)]


def opened(url: str, *, known: Version | None = None, piece: int = PIECE) -> AbstractContextManager[Content]:
    """Open a file or a URL, whose redirects are followed, and read `piece` bytes at once.

    A server is asked to send nothing if it still has the version `known`.

    Raises:
        SourceError: the file is missing or unreadable, or the server refuses the request.
        TransientError: the server does not answer, breaks off, or reports a failure of its own.
    """
    return _http(url, known or {}, piece) if _is_http(url) else _local(url, piece)


def _is_http(url: str) -> bool:
    return url.startswith(("http://", "https://"))


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


@contextmanager
def _http(url: str, known: Version, piece: int) -> Generator[Content, None, None]:
    import httpx  # takes 0.25 s, and local files do not need it

    client, shown = httpx.Client(follow_redirects=True, timeout=TIMEOUT), public(url)
    conditions = {"etag": "If-None-Match", "last_modified": "If-Modified-Since"}
    headers = {header: str(known[key]) for key, header in conditions.items() if key in known}
    try:
        with client, client.stream("GET", url, headers=headers) as response:
            if response.status_code == 304 and headers:
                yield Content(url, known, iter(()))
                return
            answered = f"{shown} answered {response.status_code} {response.reason_phrase}"
            if response.status_code >= 500:
                raise TransientError(f"{answered}; try again later")
            if response.status_code != 200:
                raise SourceError(f"{answered}; check the address, and whether it requires a login")
            yield Content(url, _version(response.headers), response.iter_bytes(piece))
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        remedy = "write https://host/path, with special characters of credentials as %-escapes"
        raise SourceError(f"{shown} is not a valid URL or redirects to an invalid one; {remedy}") from error
    except httpx.HTTPError as error:
        reason = str(error).rstrip(".") or type(error).__name__
        raise TransientError(
            f"{shown} could not be read: {reason}; check the address and the network, then try again"
        ) from error


def _version(headers: Mapping[str, str]) -> Version:
    for name in ("etag", "last-modified"):
        if value := headers.get(name):
            return {name.replace("-", "_"): value}
    return {}
