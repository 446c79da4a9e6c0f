"""What a person can mend."""


class StackError(Exception):
    """The stack cannot do what was asked; the message says why and what to do."""


class BusyError(StackError):
    """Another command is at work in this instance."""
