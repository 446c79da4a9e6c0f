"""Which errors of Google's libraries may pass by themselves."""

from google.auth.exceptions import GoogleAuthError, TransportError


def may_pass(error: Exception) -> bool:
    """Whether another try may get a token or a connection; if not, the credentials are missing or wrong."""
    if isinstance(error, GoogleAuthError):
        return isinstance(error, TransportError) or error.retryable
    return isinstance(error, ConnectionError | TimeoutError)
