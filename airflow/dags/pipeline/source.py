"""What the files of the source are at this moment, as far as it shows without reading them."""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from pipeline.settings import PROJECT

# Seconds that a server may be silent.
TIMEOUT = 30
# Headers that tell one content from another.
TELLING = ("etag", "last-modified", "content-length")

# Of each file what tells it from the one that it was before.
Files = dict[str, dict[str, int | str]]


def look(source: str, names: Iterable[str]) -> Files:
    """What each file is now: `size` and `mtime_ns`, the headers of a HEAD request, or `key` in an object storage.

    Args:
        source: folder, http(s) URL or URL of an object storage that Airflow knows, as gs://bucket/folder.
        names: of the files in it.

    Raises:
        FileNotFoundError: one is not there; the message is its name.
        Exception: the source does not answer, or not what is needed; of many types, by the kind of source.
    """
    if source.startswith(("http://", "https://")):
        return _served(source, names)
    if "://" in source:
        return {name: _stored(source, name) for name in names}
    return {name: _local(source, name) for name in names}


def version(files: Files) -> str:
    """A name for this state of all files."""
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _local(source: str, name: str) -> dict[str, int | str]:
    try:
        status = os.stat(Path(PROJECT, source, name))
    except FileNotFoundError:
        raise FileNotFoundError(name) from None
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _served(source: str, names: Iterable[str]) -> Files:
    import httpx  # only needed here

    found = {}
    # Compressed, a file would have another ETag and no length.
    headers = {"Accept-Encoding": "identity"}
    with httpx.Client(follow_redirects=True, timeout=TIMEOUT, headers=headers) as client:
        for name in names:
            try:
                response = client.head(f"{source}/{name}")
            except httpx.InvalidURL:
                # Its own message can hold a part of the login.
                raise ConnectionError("`source` is no valid URL") from None
            if response.status_code in (httpx.codes.NOT_FOUND, httpx.codes.GONE):
                raise FileNotFoundError(name)
            if not response.is_success:
                raise ConnectionError(f"HEAD {name} is answered {response.status_code} {response.reason_phrase}")
            found[name] = {header: response.headers[header] for header in TELLING if header in response.headers}
            if not found[name]:
                raise ConnectionError(f"HEAD {name} is answered without any of {', '.join(TELLING)}")
    return found


def _stored(source: str, name: str) -> dict[str, int | str]:
    from airflow.sdk import ObjectStoragePath  # only needed here

    path = ObjectStoragePath(source) / name
    # File systems of object storages remember what they have listed.
    path.fs.invalidate_cache()
    try:
        return {"key": path.ukey()}
    except FileNotFoundError:
        raise FileNotFoundError(name) from None
