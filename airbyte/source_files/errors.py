"""What the connector tells the person who has to act."""

from airbyte_protocol.models import FailureType


class SourceError(Exception):
    """A file, a URL or a setting that cannot be read as declared; the message says what to do."""

    failure_type = FailureType.config_error


class TransientError(SourceError):
    """A failure that may pass by itself, such as a server that does not answer."""

    failure_type = FailureType.transient_error


def nul_error(where: str) -> SourceError:
    """A text has a NUL character; `where` is the file, the row and the column."""
    return SourceError(f"{where}: the text has a NUL byte, which no table can hold; remove it")
