"""All corrections of bqemulator, in the order in which they build on each other."""

from emulators.bigquery import engine, pages, types


def install() -> None:
    """Correct bqemulator in this process; call it once, before a server starts."""
    engine.install()
    types.install()
    pages.install()
