"""Failures that a user can mend."""


class TagifaiError(Exception):
    """An expected failure; the message names what was wrong, where, and the remedy."""


class ServiceError(TagifaiError):
    """A database or server refuses or does not answer; it may be back later."""
