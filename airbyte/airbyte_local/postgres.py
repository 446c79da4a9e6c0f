"""The PostgreSQL destination: COPY into a temporary table, then replace the table's rows in one transaction."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from airbyte_protocol.models import FailureType
from psycopg import sql
from psycopg.types.json import Jsonb

from airbyte_local.columns import Column, Kind
from airbyte_local.declaration import PostgresConfiguration
from airbyte_local.jobs import CONNECT_TIMEOUT

_TYPES = {
    Kind.INTEGER: "bigint",
    Kind.NUMBER: "numeric",
    Kind.BOOLEAN: "boolean",
    Kind.DATE: "date",
    Kind.TIMESTAMP: "timestamp without time zone",
    Kind.TIMESTAMP_TZ: "timestamp with time zone",
    Kind.JSON: "jsonb",
    Kind.TEXT: "text",
}
# What the destination adds to each row, and how it is made of a staged row.
_OWN = {
    "_airbyte_raw_id": ("text", sql.SQL("gen_random_uuid()::text")),
    "_airbyte_extracted_at": ("timestamp with time zone", sql.SQL("to_timestamp(_airbyte_emitted_at / 1000.0)")),
    "_airbyte_meta": ("jsonb", sql.SQL("%(meta)s || jsonb_build_object('changes', coalesce(_airbyte_changes, '[]'))")),
}


class DestinationError(Exception):
    """The destination cannot take the rows; the message names the table and the remedy."""

    failure_type = FailureType.config_error


@dataclass(frozen=True)
class Table:
    """Where a stream's rows go."""

    namespace: str
    name: str
    columns: tuple[Column, ...]

    def __str__(self) -> str:
        """The name with its schema."""
        return f"{self.namespace}.{self.name}"


class PostgresDestination:
    """One sync's way into the database.

    `cancel` may come from another thread.
    """

    def __init__(self, configuration: PostgresConfiguration, *, sync_id: int):
        """Connect.

        Args:
            configuration: the declared destination.
            sync_id: number of the job, which every row's metadata bears.
        """
        self.schema = configuration.schema_
        self._sync_id = sync_id
        self._staging: dict[Table, sql.Identifier] = {}
        self._connection = psycopg.connect(
            host=configuration.host,
            port=configuration.port,
            dbname=configuration.database,
            user=configuration.username,
            password=configuration.password.get_secret_value(),
            connect_timeout=CONNECT_TIMEOUT,
            options="-c timezone=UTC",
            application_name="airbyte_local",
            autocommit=True,
        )

    def close(self) -> None:
        """Leave the database; what was not committed is gone."""
        self._connection.close()

    def open(self, table: Table) -> None:
        """Make ready to take rows for `table`; nothing of it is visible to others."""
        staging = sql.Identifier(f"staging_{len(self._staging)}")
        columns = [sql.SQL("{} {}").format(sql.Identifier(c.name), sql.SQL(_TYPES[c.kind])) for c in table.columns]
        columns += [sql.SQL("_airbyte_emitted_at bigint not null"), sql.SQL("_airbyte_changes jsonb")]
        self._connection.execute(sql.SQL("create temporary table {} ({})").format(staging, sql.SQL(", ").join(columns)))
        self._staging[table] = staging

    def write(self, table: Table, rows: Iterable[tuple[Any, ...]]) -> None:
        """Stage rows.

        Args:
            table: an opened one.
            rows: the columns' values, the time of extraction in milliseconds since 1970, the changes as JSON or None.
        """
        copy = sql.SQL("copy {} from stdin").format(self._staging[table])
        with self._connection.cursor() as cursor, cursor.copy(copy) as writer:
            for row in rows:
                writer.write_row(row)

    def replace(self) -> None:
        """Make the staged rows the only rows of their tables, in one transaction.

        A table keeps its identity, so views on it live on; readers see the rows of before until the new ones are there.

        Raises:
            DestinationError: a column of a table has another type than the stream declares now.
        """
        with self._connection.transaction():
            for table, staging in self._staging.items():
                self._prepare(table)
                target = sql.Identifier(table.namespace, table.name)
                names = [sql.Identifier(c.name) for c in table.columns]
                self._connection.execute(sql.SQL("delete from {}").format(target))
                self._connection.execute(
                    sql.SQL("insert into {} ({}) select {} from {}").format(
                        target,
                        sql.SQL(", ").join([*names, *map(sql.Identifier, _OWN)]),
                        sql.SQL(", ").join([*names, *(value for _, value in _OWN.values())]),
                        staging,
                    ),
                    {"meta": Jsonb({"sync_id": self._sync_id})},
                )

    def cancel(self) -> None:
        """Interrupt what the database does for this sync now, if anything."""
        with suppress(psycopg.Error):  # closed meanwhile
            self._connection.cancel_safe()

    def _prepare(self, table: Table) -> None:
        """Create what is missing of the table and lock it against other writers, not against readers."""
        wanted = {c.name: _TYPES[c.kind] for c in table.columns} | {name: kind for name, (kind, _) in _OWN.items()}
        target = sql.Identifier(table.namespace, table.name)
        declared = [sql.SQL("{} {}").format(sql.Identifier(n), sql.SQL(t)) for n, t in wanted.items()]
        if not self._connection.execute("select to_regnamespace(quote_ident(%s))", [table.namespace]).fetchone()[0]:
            self._create("schema if not exists {}", sql.Identifier(table.namespace))
        self._create("table if not exists {} ({})", target, sql.SQL(", ").join(declared))
        self._execute("lock table {} in share row exclusive mode", target)
        types = dict(
            self._connection.execute(
                "select attname, format_type(atttypid, atttypmod) from pg_attribute"
                " where attrelid = %s::regclass and attnum > 0 and not attisdropped",
                [target.as_string(self._connection)],
            ).fetchall()
        )
        for name, wanted_type in wanted.items():
            if name not in types:
                self._execute("alter table {} add column {} {}", target, sql.Identifier(name), sql.SQL(wanted_type))
            elif types[name] != wanted_type:
                raise DestinationError(
                    f"column {name} of table {table} is {types[name]}, but the stream declares {wanted_type}; change"
                    " the declaration back, or drop the column and sync again"
                )

    def _create(self, statement: str, *parts: sql.Composable) -> None:
        """Create what is missing; where another sync does so at this moment, `if not exists` waits and then fails."""
        with suppress(psycopg.errors.UniqueViolation), self._connection.transaction():
            self._execute("create " + statement, *parts)

    def _execute(self, statement: str, *parts: sql.Composable) -> None:
        self._connection.execute(sql.SQL(statement).format(*parts))
