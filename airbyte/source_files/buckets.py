"""Finds and reads objects in buckets of S3 and Google Cloud Storage."""

import errno
import json
import logging
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import Any

from fsspec.spec import AbstractFileSystem

from source_files.config import S3, Config, Gcs
from source_files.errors import SourceError, TransientError
from source_files.open_file import Content, Version

# Bytes of an object that are fetched at once.
_BLOCK = 4 << 20
# Seconds without an answer after which a server is given up.
_TIMEOUT = 30
# Errors that waiting can help against: statuses, numbers of OSErrors, and names of exceptions of several libraries.
_STATUSES, _NUMBERS = {408, 429, 500, 502, 503, 504}, {errno.EIO, errno.EREMOTEIO, errno.EBUSY}
_UNREACHABLE = {
    "ConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "EndpointConnectionError", "TimeoutError",
    "ClientConnectionError", "ClientPayloadError", "FileExpired",
}  # fmt: skip
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError"}
_access: dict[str, S3 | Gcs] = {}


def connect(settings: Config) -> None:
    """Use the credentials of a configuration from now on."""
    _access.update(s3=settings.s3, gs=settings.gcs)
    _files.cache_clear()


@cache
def _files(scheme: str) -> AbstractFileSystem:
    access = _access[scheme]
    common = {"endpoint_url": access.endpoint_url, "use_listings_cache": False, "skip_instance_cache": True}
    if isinstance(access, S3):
        from s3fs import S3FileSystem

        return S3FileSystem(
            anon=access.anonymous,
            key=access.access_key_id,
            secret=access.secret_access_key,
            token=access.session_token,
            client_kwargs={"region_name": access.region} if access.region else {},
            config_kwargs={"connect_timeout": _TIMEOUT, "read_timeout": _TIMEOUT},
            **common,
        )
    from gcsfs.core import GCSFileSystem

    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # its errors are raised, too
    key = json.loads(access.service_account_json) if access.service_account_json else "google_default"
    return GCSFileSystem(
        token="anon" if access.anonymous else key,
        access="read_only",
        requests_timeout=_TIMEOUT,
        version_aware=True,
        **common,
    )


def find(pattern: str) -> Iterator[tuple[int, str]]:
    """The modification times in ns and the URLs of the objects that match a pattern."""
    scheme, _, path = pattern.partition("://")
    with _explained(pattern):
        files = _files(scheme)
        found = files.glob(path, detail=True)
        if not found:  # it may be the bucket that does not exist, which a pattern does not tell
            files.ls(path.partition("/")[0])
    for info in found.values():
        if info["type"] == "file" and not info["name"].endswith("/"):
            yield _version(info)["mtime_ns"], f"{scheme}://{info['name'].partition('#')[0]}"


@contextmanager
def opened(url: str, known: Version, piece: int) -> Generator[Content, None, None]:
    """Open an object, as content.opened describes it."""
    scheme, _, path = url.partition("://")

    with _explained(url):
        files = _files(scheme)
        info = files.info(path)
        version = _version(info)
        if info["type"] != "file":
            raise FileNotFoundError
        if info.get("contentEncoding") == "gzip":
            raise SourceError(f"{url}: has the Content-Encoding gzip, which cannot be read; upload it without")
    if version == known:
        yield Content(url, version, iter(()))
        return
    with _explained(url):
        # An object that changes while it is read is an error, since each part is of this version.
        exact = f"{path}#{version['generation']}" if "generation" in version else path
        file: Any = files.open(exact, "rb", block_size=_BLOCK, cache_type="readahead")

    def pieces() -> Iterator[bytes]:
        with _explained(url):
            yield from iter(lambda: file.read(piece), b"")

    with file:
        yield Content(url, version, pieces(), file)


def _version(info: dict[str, Any]) -> dict[str, Any]:
    moment = info.get("LastModified") or info["timeCreated"]
    moment = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    named = {"generation": info["generation"]} if "generation" in info else {"etag": info["ETag"].strip('"')}
    return {**named, "size": info["size"], "mtime_ns": round(moment.timestamp() * 1_000) * 1_000_000}


@contextmanager
def _explained(url: str) -> Generator[None, None, None]:
    """Turn errors of the libraries into errors that say what to do; messages have no secrets."""
    section = "s3" if url.startswith("s3") else "gcs"
    try:
        yield
    except SourceError:
        raise
    except FileNotFoundError as error:
        raise SourceError(f"{url}: no such object or bucket; check the address") from error
    except Exception as error:
        code, kinds = getattr(error, "code", None), {kind.__name__ for kind in type(error).__mro__}
        if kinds & _NO_CREDENTIALS:
            remedy = f"set them under {section}, or {section}.anonymous for a public bucket"
            raise SourceError(f"{url}: there are no credentials; {remedy}") from error
        if isinstance(error, PermissionError) or code in (401, 403) or str(error).startswith("Forbidden"):
            remedy = f"check the credentials under {section}, and their right to list and read the bucket"
            raise SourceError(f"{url}: access is denied; {remedy}") from error
        reason = f"{type(error).__name__}: {_without_secrets(str(error))}"
        if kinds & _UNREACHABLE or code in _STATUSES or getattr(error, "errno", None) in _NUMBERS:
            remedy = f"check {section}.endpoint_url and the network, then try again"
            raise TransientError(
                f"{url}: the service does not answer, or the object has changed: {reason}; {remedy}"
            ) from error
        raise SourceError(f"{url}: could not be read: {reason}; check the address and {section}") from error


def _without_secrets(text: str) -> str:
    for section in _access.values():
        for name, value in section:
            if isinstance(value, str) and name != "region":
                text = text.replace(value, "…")
    return text
