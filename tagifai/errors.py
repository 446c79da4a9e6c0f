"""Errors that the user can fix."""


class TagifaiError(Exception):
    """An expected error; the message says what is wrong, where, and how to fix it."""


class ServiceError(TagifaiError):
    """A database or server refuses or does not answer; another try may succeed."""
