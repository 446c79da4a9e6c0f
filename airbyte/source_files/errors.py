"""What the connector tells the person who has to act."""

from airbyte_protocol.models import FailureType


class SourceError(Exception):
    """A file, a URL or a setting that cannot be read as declared; the message says what to do."""

    failure_type = FailureType.config_error


class TransientError(SourceError):
    """A failure that may pass by itself, such as a server that does not answer."""

    failure_type = FailureType.transient_error
