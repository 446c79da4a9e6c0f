"""The current state of the source files, without reading them."""

import hashlib
import json
from collections.abc import Iterable
from glob import glob, has_magic
from pathlib import Path

from pipeline.settings import PROJECT

# Seconds to wait for a server's answer.
TIMEOUT = 30
# Headers that change with a file's content.
HEADERS = ("etag", "last-modified", "content-length")

# For each file the values that change with its content.
Files = dict[str, dict[str, int | str]]


def look(source: str, names: Iterable[str]) -> Files:
    """The state of each file: `size` and `mtime_ns`, headers of a HEAD request, or `key` in an object storage.

    `source` is a folder, an http(s) URL or the URL of an object storage that Airflow supports, as gs://bucket/folder.
    In a folder and an object storage a name may be a pattern, which stands for all files that match.

    Raises:
        FileNotFoundError: a file is missing; the message is its name.
        Exception: the source cannot be read; the type depends on the kind of source.
    """
    if source.startswith(("http://", "https://")):
        return _served(source, names)
    state, matching = (_stored, _stored_names) if "://" in source else (_local, _local_names)
    found: Files = {}
    for name in names:
        try:
            files = sorted(matching(source, name)) if has_magic(name) else [name]
            found |= {file: state(source, file) for file in files}
        except FileNotFoundError:
            files = []
        if not files:
            raise FileNotFoundError(name)
    return found


def version(files: Files) -> str:
    """A hash of the state of all files."""
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _local(source: str, name: str) -> dict[str, int | str]:
    status = Path(PROJECT, source, name).stat()
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _local_names(source: str, pattern: str) -> list[str]:
    return glob(pattern, root_dir=Path(PROJECT, source), recursive=True)


def _served(source: str, names: Iterable[str]) -> Files:
    import httpx  # not at the top, to keep parsing fast

    found: Files = {}
    # A compressed answer would have another ETag and no length.
    headers = {"Accept-Encoding": "identity"}
    with httpx.Client(follow_redirects=True, timeout=TIMEOUT, headers=headers) as client:
        for name in names:
            try:
                response = client.head(f"{source}/{name}")
            except httpx.InvalidURL:
                # Its own message may contain a part of the password.
                raise ConnectionError("`source` is not a valid URL") from None
            if response.status_code in (httpx.codes.NOT_FOUND, httpx.codes.GONE):
                raise FileNotFoundError(name)
            if not response.is_success:
                raise ConnectionError(f"HEAD {name} was answered {response.status_code} {response.reason_phrase}")
            found[name] = {header: response.headers[header] for header in HEADERS if header in response.headers}
            if not found[name]:
                raise ConnectionError(f"HEAD {name} was answered without any of {', '.join(HEADERS)}")
    return found


def _stored(source: str, name: str) -> dict[str, int | str]:
    from airflow.sdk import ObjectStoragePath  # not at the top, to keep parsing fast

    path = ObjectStoragePath(source) / name
    # File systems of object storages cache their listings.
    path.fs.invalidate_cache()
    return {"key": path.ukey()}


def _stored_names(source: str, pattern: str) -> list[str]:
    from airflow.sdk import ObjectStoragePath  # not at the top, to keep parsing fast

    folder = ObjectStoragePath(source)
    folder.fs.invalidate_cache()
    return [path.relative_to(folder).as_posix() for path in folder.glob(pattern)]
