"""The bytes behind a path or an http(s) URL, piece by piece."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

from source_files.errors import SourceError, TransientError

PIECE = 1 << 20  # bytes
# Seconds that a server may be silent.
TIMEOUT = 30


def public(url: str) -> str:
    """A path or URL as messages may show it: without login and query, which can hold a password or a token."""
    return re.sub(r"^(https?://)(?:[^/?#]*@)?([^?#]*).*", r"\1\2", url, flags=re.DOTALL)


@contextmanager
def pieces(url: str) -> Iterator[Iterator[bytes]]:
    """Open a file or URL and give its bytes in order; only one piece is in memory at a time.

    Args:
        url: path of a file of this machine, or an http or https URL; redirects are followed.

    Raises:
        SourceError: the file is missing or unreadable, or the server refuses the request.
        TransientError: the server does not answer, breaks off, or answers with a failure of its own.
    """
    if url.startswith(("http://", "https://")):
        with _http(url) as found:
            yield found
        return
    try:
        with open(url, "rb") as file:
            yield iter(lambda: file.read(PIECE), b"")
    except OSError as error:
        raise SourceError(f"{url}: {error.strerror}; check the path that SOURCE or connections.yaml gives") from error


@contextmanager
def _http(url: str) -> Iterator[Iterator[bytes]]:
    import httpx  # a quarter of a second that local files need not wait

    client, shown = httpx.Client(follow_redirects=True, timeout=TIMEOUT), public(url)
    try:
        with client, client.stream("GET", url) as response:
            if response.status_code >= 500:
                raise TransientError(
                    f"{shown} answered {response.status_code} {response.reason_phrase}; try again later"
                )
            if response.status_code != 200:
                remedy = "check the address and whether it can be read without login"
                raise SourceError(f"{shown} answered {response.status_code} {response.reason_phrase}; {remedy}")
            yield response.iter_bytes(PIECE)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        remedy = "write https://host/path, with special characters of a login as %-escapes"
        raise SourceError(f"{shown} is no valid URL or leads to none; {remedy}") from error
    except httpx.HTTPError as error:
        reason = str(error).rstrip(".") or type(error).__name__
        raise TransientError(
            f"{shown} could not be read: {reason}; check the address and the network, then try again"
        ) from error


class Pieces(io.RawIOBase):
    """A readable file made of pieces of bytes."""

    def __init__(self, content: Iterator[bytes]):
        self._content = content
        self._rest = memoryview(b"")

    def readable(self) -> bool:  # noqa: D102 - as io says
        return True

    def readinto(self, buffer: memoryview) -> int:  # noqa: D102 - as io says
        while not self._rest:
            piece = next(self._content, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size
