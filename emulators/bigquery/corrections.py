"""All corrections of bqemulator."""

from emulators.bigquery import (
    ddl,
    engine,
    functions,
    limits,
    pages,
    statements,
    transactions,
    turns,
    types,
    uploads,
)


def install() -> None:
    """Correct bqemulator in this process; call it once, before a server starts."""
    for subject in (engine, limits, types, functions, statements, ddl, transactions, uploads, turns, pages):
        subject.install()
