"""Files under the artifact root, a folder or a bucket; a file is either whole or missing."""

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import fsspec
from fsspec.implementations.local import LocalFileSystem

from tagifai.errors import ServiceError, TagifaiError


def exists(uri: str) -> bool:
    """Whether a file exists."""
    with _opened(uri) as (filesystem, path):
        return filesystem.exists(path)


def read(uri: str, *, missing: str) -> bytes:
    """Content of a file; if it does not exist, a TagifaiError with the message `missing`."""
    with _opened(uri) as (filesystem, path):
        try:
            return filesystem.cat_file(path)
        except FileNotFoundError:
            raise TagifaiError(missing) from None


def write(uri: str, content: bytes) -> None:
    """Write a file in one step; folders are created as needed.

    A bucket has an object as soon as all of it has arrived. In a folder, the file is written beside and renamed.
    """
    with _opened(uri) as (filesystem, path):
        if not isinstance(filesystem, LocalFileSystem):
            filesystem.pipe_file(path, content)
            return
        with _replacing(path) as file:
            file.write(content)


@contextmanager
def writing(uri: str) -> Generator[BinaryIO]:
    """A file to write to, whose content becomes that of `uri` as by `write`, unless the block raises an error."""
    if "://" not in uri:
        with _replacing(uri) as file:
            yield file
        return
    with TemporaryDirectory() as folder:
        local = os.path.join(folder, "content")
        with _replacing(local) as file:
            yield file
        with _opened(uri) as (filesystem, path):
            filesystem.put_file(local, path)


@contextmanager
def _replacing(path: str) -> Generator[BinaryIO]:
    """A new file beside `path`, which it replaces unless the block raises an error."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    beside = f"{path}.{os.getpid()}.new"
    try:
        with open(beside, "wb") as file:
            yield file
        os.replace(beside, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.remove(beside)
        raise


@contextmanager
def _opened(uri: str) -> Generator[tuple[Any, str]]:
    """The file system of a URI and the path there; errors of a bucket become ours.

    Raises:
        ServiceError: the bucket does not answer.
        TagifaiError: the bucket does not exist or refuses.
    """
    if not uri.startswith("gs://"):
        yield fsspec.url_to_fs(uri)
        return
    # Imported only here: Google's libraries take a second.
    import gcsfs.retry
    from aiohttp import ClientError
    from google.auth.exceptions import GoogleAuthError

    from tagifai.google_errors import may_pass

    try:
        # Without credentials gcsfs would ask as nobody, and a refusal would look like an outage.
        yield fsspec.url_to_fs(uri, token="google_default")  # noqa: S106 - no token but a method
    except GoogleAuthError as error:
        if may_pass(error):
            raise ServiceError(f"{uri}: {error}. Check the network, then try again.") from error
        raise TagifaiError(
            f"{uri}: {error}. Log in with `gcloud auth application-default login`, or set "
            "GOOGLE_APPLICATION_CREDENTIALS to the key of an account."
        ) from error
    except (OSError, ClientError, gcsfs.retry.HttpError, gcsfs.retry.ChecksumError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, FileNotFoundError) or "Forbidden" in reason:
            raise TagifaiError(
                f"{uri}: {reason}. Check `artifacts`, and give the account the role Storage Object User on the bucket."
            ) from error
        raise ServiceError(f"{uri}: {reason}. Try again.") from error
