"""The service's own PostgreSQL database: each call opens a connection, so a restart of the server does no harm."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import kwargs_row, scalar_row
from psycopg.sql import Composed

CONNECT_TIMEOUT = 10  # seconds

T = TypeVar("T")
Values = Sequence[Any] | Mapping[str, Any]


class Database:
    """Runs statements, each in a transaction of its own."""

    def __init__(self, conninfo: Mapping[str, str | int], application: str):
        """Does not connect yet."""
        own = {"application_name": application, "connect_timeout": CONNECT_TIMEOUT}
        self._conninfo = make_conninfo("", **{**conninfo, **own})
        self.name = "{host}:{port}/{dbname}".format(**conninfo)

    def connect(self) -> psycopg.Connection:
        """Open a connection in autocommit mode; like every method, raises psycopg.Error if the database refuses."""
        return psycopg.connect(self._conninfo, autocommit=True)

    def execute(self, statement: LiteralString | Composed | bytes, values: Values | None = None) -> None:
        """Run a statement."""
        with self.connect() as connection:
            connection.execute(statement, values)

    def value(self, query: LiteralString, values: Values) -> Any:
        """The one value of a query's first row."""
        with self.connect() as connection, connection.cursor(row_factory=scalar_row) as cursor:
            return cursor.execute(query, values).fetchone()

    def rows(self, kind: Callable[..., T], query: LiteralString, values: Values = ()) -> list[T]:
        """The rows of a query; `kind` is called with the columns of each row as keyword arguments."""
        with self.connect() as connection, connection.cursor(row_factory=kwargs_row(kind)) as cursor:
            return cursor.execute(query, values).fetchall()

    def row(self, kind: Callable[..., T], query: LiteralString, values: Values) -> T | None:
        """The first row of a query, or None."""
        return next(iter(self.rows(kind, query, values)), None)
