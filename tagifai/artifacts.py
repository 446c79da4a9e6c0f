"""Files under the artifact root, a folder or a bucket; a file is either whole or missing."""

import os
from typing import IO

import fsspec


def exists(uri: str) -> bool:
    """Whether a file exists."""
    filesystem, path = fsspec.url_to_fs(uri)
    return filesystem.exists(path)


def open_input(uri: str) -> IO[bytes]:
    """Open a file for reading.

    Raises:
        FileNotFoundError: it does not exist.
    """
    filesystem, path = fsspec.url_to_fs(uri)
    return filesystem.open(path, "rb")


def write(uri: str, content: bytes) -> None:
    """Write a file in one step: under a temporary name, then renamed; folders are created as needed."""
    filesystem, path = fsspec.url_to_fs(uri)
    filesystem.makedirs(os.path.dirname(path), exist_ok=True)
    beside = f"{path}.{os.getpid()}.new"
    try:
        with filesystem.open(beside, "wb") as file:
            file.write(content)
        filesystem.mv(beside, path)
    except BaseException:
        if filesystem.exists(beside):
            filesystem.rm_file(beside)
        raise
