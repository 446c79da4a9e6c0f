"""The command line of the launcher: `python -m stack`."""
