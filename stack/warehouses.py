"""What the launcher reads of the warehouse: the rows of tables, and their content."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row, scalar_row

from stack.errors import StackError
from stack.settings import Settings


class Warehouse(ABC):
    """The warehouse of an instance; tables are named `schema.table`. Methods raise StackError if it does not answer."""

    @abstractmethod
    def count(self, table: str) -> int | None:
        """Rows of a table; None: there is no such table."""

    @abstractmethod
    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        """All rows of a table, in any order."""

    def digest(self, table: str) -> str | None:
        """Number of rows and a hash of the content, whatever the order of the rows; None: there is no such table."""
        if self.count(table) is None:
            return None
        hashes = sorted(hashlib.sha256(repr(sorted(row.items())).encode()).digest() for row in self.rows(table))
        return f"{len(hashes)} rows, {hashlib.sha256(b''.join(hashes)).hexdigest()[:32]}"


class Postgres(Warehouse):
    """A PostgreSQL database."""

    def __init__(self, settings: Settings):
        """Does not connect yet."""
        address = settings.warehouse()
        self._address = {"dbname": address.pop("database"), **address}

    def count(self, table: str) -> int | None:
        """Rows of a table."""
        name = sql.Identifier(*table.split("."))
        with self._connection(scalar_row) as connection:
            if not connection.execute("select to_regclass(%s)", [name.as_string(connection)]).fetchone():
                return None
            return connection.execute(sql.SQL("select count(*) from {}").format(name)).fetchone()

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        """All rows of a table."""
        name = sql.Identifier(*table.split("."))
        with self._connection(dict_row) as connection, connection.cursor("rows") as cursor:
            yield from cursor.execute(sql.SQL("select * from {}").format(name))

    @contextmanager
    def _connection(self, factory: Any) -> Generator[psycopg.Connection[Any]]:
        try:
            with psycopg.connect(**self._address, row_factory=factory) as connection:
                yield connection
        except psycopg.Error as error:
            raise StackError(f"the warehouse does not answer: {' '.join(str(error).split())}") from error


class BigQuery(Warehouse):
    """The datasets of a project with the prefix of the settings; reads are free of charge, since no query runs."""

    def __init__(self, settings: Settings):
        """Does not connect yet."""
        from stack.google import RETRY, bigquery_client

        self._client, self._retry = bigquery_client(settings), RETRY
        self._prefix = f"{self._client.project}.{settings.config['warehouse']['prefix']}"

    def count(self, table: str) -> int | None:
        """Rows of a table."""
        found = self._table(table)
        return found and found.num_rows

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        """All rows of a table."""
        if found := self._table(table):
            with answered():
                yield from (dict(row.items()) for row in self._client.list_rows(found, retry=self._retry))

    def _table(self, name: str) -> Any:
        """A table's facts; None: there is no such table."""
        from google.api_core.exceptions import NotFound

        with answered(), suppress(NotFound):
            return self._client.get_table(self._prefix + name, retry=self._retry)
        return None


@contextmanager
def answered() -> Generator[None]:
    """Raise a StackError for errors of Google's libraries."""
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except (GoogleAPIError, GoogleAuthError, OSError) as error:
        raise StackError(f"BigQuery does not answer: {' '.join(str(error).split())}") from error


def warehouse(settings: Settings) -> Warehouse:
    """The warehouse of an instance."""
    return {"postgres": Postgres, "bigquery": BigQuery}[settings.config["warehouse"]["type"]](settings)
