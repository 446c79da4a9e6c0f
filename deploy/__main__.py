"""The commands of deploy/: `python -m deploy COMMAND`, one for each target of the Makefile."""

import signal

import click

from deploy import commands, release_commands
from stack.cli.common import Commands

COMMANDS = [*commands.COMMANDS, *release_commands.COMMANDS]


@click.group(cls=Commands, commands=COMMANDS)
def main() -> None:
    """Take the stack to Cloud Composer."""
    # SIGTERM ends a command in good order, as Ctrl-C does; and Ctrl-C works even where the caller ignores it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


if __name__ == "__main__":
    main()
