"""Files under the artifact root, a folder or a bucket; a file is either whole or missing."""

import os

import fsspec

from tagifai.errors import TagifaiError


def exists(uri: str) -> bool:
    """Whether a file exists."""
    filesystem, path = fsspec.url_to_fs(uri)
    return filesystem.exists(path)


def read(uri: str, *, missing: str) -> bytes:
    """Content of a file; if it does not exist, a TagifaiError with the message `missing`."""
    filesystem, path = fsspec.url_to_fs(uri)
    try:
        return filesystem.cat_file(path)
    except FileNotFoundError:
        raise TagifaiError(missing) from None


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
