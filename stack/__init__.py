"""The launcher: the commands behind the Makefile, for the stack on this machine and in containers."""
