"""Errors that the user can fix."""

from airbyte_protocol.models import FailureType
from pydantic import ValidationError


class SourceError(Exception):
    """A file, URL or setting is not as declared; the message says what to do."""

    failure_type = FailureType.config_error


class TransientError(SourceError):
    """A temporary failure, such as a server that does not answer."""

    failure_type = FailureType.transient_error


class NoFileError(SourceError):
    """No file matches a pattern."""


class EmptyFileError(SourceError):
    """A file has no bytes, or only blank lines."""


def explained(error: ValidationError) -> str:
    """The wrong fields and what is wrong with them."""
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())


def nul_error(where: str) -> SourceError:
    """The error for a text with a NUL character; `where` is the file, the row and the column."""
    return SourceError(f"{where}: the text contains a NUL byte, which tables cannot store; remove it")
