"""Errors that the user can fix."""

from pathlib import Path


class StackError(Exception):
    """A command failed; the message says why and how to fix it."""


class BusyError(StackError):
    """Another command is using this instance."""


def end_of(log: Path) -> str:
    """The last lines of a log, for an error message."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-10:])
