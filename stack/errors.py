"""Errors that the user can fix."""


class StackError(Exception):
    """A command failed; the message says why and how to fix it."""


class BusyError(StackError):
    """Another command is using this instance."""
