"""Files under the artifact root, a folder or a bucket, whole or not there at all."""

import os
from typing import IO

import fsspec


def exists(uri: str) -> bool:
    """Whether a file is there."""
    filesystem, path = fsspec.url_to_fs(uri)
    return filesystem.exists(path)


def open_input(uri: str) -> IO[bytes]:
    """Open a file for reading.

    Raises:
        FileNotFoundError: it is not there.
    """
    return fsspec.open(uri, "rb").open()


def write(uri: str, content: bytes) -> None:
    """Write a file in one step: beside, then moved; folders are made as needed."""
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
