"""Reads files from http(s) URLs."""

import re
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from source_files.errors import SourceError, TransientError
from source_files.open_file import Content, Version, public

# Seconds without data after which a server is given up.
TIMEOUT = 30
# Statuses of a server that is busy, and how often it is asked.
_BUSY, _TRIES = {408, 425, 429}, 4
# Seconds to wait at most between two tries.
_LONGEST_WAIT = 30


@contextmanager
def opened(url: str, known: Version, piece: int) -> Generator[Content, None, None]:
    """Open a URL, as content.opened describes it."""
    client, shown = httpx.Client(follow_redirects=True, timeout=TIMEOUT), public(url)
    conditions = {"etag": "If-None-Match", "last_modified": "If-Modified-Since"}
    headers = {header: str(known[key]) for key, header in conditions.items() if key in known}
    try:
        # httpx would not notice a compressed body that is cut off; content.opened decompresses it.
        request = client.build_request("GET", url, headers={"Accept-Encoding": "gzip", **headers})
        with client, _answer(client, request) as response:
            if response.status_code == 304 and headers:
                yield Content(url, known, iter(()))
                return
            answered = f"{shown} answered {response.status_code} {response.reason_phrase}"
            if response.status_code in _BUSY or response.status_code >= 500:
                asked = f", and asks to wait {after:.0f} s" if (after := retry_after(response.headers)) else ""
                raise TransientError(f"{answered}{asked}; try again later")
            if response.status_code != 200:
                raise SourceError(f"{answered}; check the address, and whether it requires a login")
            if (encoding := response.headers.get("content-encoding", "gzip")) not in ("gzip", "x-gzip", "identity"):
                raise SourceError(f"{shown} has the Content-Encoding {encoding}; let the server send gzip or none")
            yield Content(url, _version(response.headers), response.iter_raw(piece))
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        if "@" in url and "@" not in re.split("[/?#]", url)[2]:
            shown = "the URL, which may have a password with special characters,"
        remedy = "write https://host/path, with special characters of credentials as %-escapes"
        # Without the cause, which quotes parts of the URL.
        raise SourceError(f"{shown} is not a valid URL or redirects to an invalid one; {remedy}") from None
    except httpx.HTTPError as error:
        reason = str(error).rstrip(".") or type(error).__name__
        raise TransientError(
            f"{shown} could not be read: {reason}; check the address and the network, then try again"
        ) from error


@contextmanager
def _answer(client: httpx.Client, request: httpx.Request) -> Generator[httpx.Response, None, None]:
    """The server's answer; a busy server is asked again, after the time that it names."""
    for tries in range(1, _TRIES + 1):
        response = client.send(request, stream=True)
        try:
            after = retry_after(response.headers)
            wait = 2.0 ** (tries - 1) if after is None else after
            if response.status_code not in _BUSY or tries == _TRIES or wait > _LONGEST_WAIT:
                yield response
                return
        finally:
            response.close()
        time.sleep(wait)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait that a server asks for, as a number or as a date; None if it does not."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _version(headers: Mapping[str, str]) -> Version:
    for name in ("etag", "last-modified"):
        if value := headers.get(name):
            return {name.replace("-", "_"): value}
    return {}
