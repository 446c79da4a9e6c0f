"""The published tables in PostgreSQL."""

# ruff: noqa: D102, S608 - `Tables` documents the methods; names in the SQL are quoted.

from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from tagifai.errors import ServiceError, TagifaiError
from tagifai.settings import Postgres, Settings
from tagifai.warehouse.contract import T, typed

if TYPE_CHECKING:
    import pyarrow as pa
    from adbc_driver_manager import AdbcConnection

TIME = "timestamp with time zone"
# SQLSTATE: a view or the like reads the table.
_DEPENDED_ON = "2BP01"


class PostgresTables:
    """See `Tables`."""

    bytes_billed = None

    def __init__(self, settings: Settings, warehouse: Postgres):
        self._settings = settings
        self._warehouse = warehouse
        self._predictions = _table(settings.predictions)

    def ask(self) -> None:
        with self._connection() as connection:
            _query(connection, "select 1")

    def labeled(self, columns: tuple[str, ...]) -> "pa.Table":
        with self._connection() as connection:
            return self._read_all(connection, self._settings.labeled, columns)

    def to_predict(self, columns: tuple[str, ...], look: Callable[[], T]) -> "tuple[pa.Table, T, datetime]":
        with self._connection() as connection:
            connection.set_autocommit(False)
            self._lock(connection)
            # Later than all published predictions, even if the clock was set back.
            now = "clock_timestamp()"
            if self._published(connection).get("predicted_at") == TIME:
                newest = f"(select max(predicted_at) from {self._predictions})"
                now = f"greatest({now}, {newest} + interval '1 microsecond')"
            (time,) = _query(connection, f"select {now} as predicted_at")["predicted_at"].to_pylist()
            return self._read_all(connection, self._settings.to_predict, columns), look(), time

    def replace_predictions(self, predictions: "pa.Table", predicted_at: datetime) -> bool:
        import pyarrow as pa
        from adbc_driver_manager import AdbcStatement, StatementOptions

        key, label = self._settings.columns.key, self._settings.columns.label
        predictions = typed(predictions, self._settings.columns)
        columns = {
            key: "bigint" if pa.types.is_integer(predictions[key].type) else "text",
            label: "text",
            "probability": "double precision",
            "model_version": "text",
            "predicted_at": TIME,
        }
        schema, table = self._settings.predictions.split(".")
        with self._connection() as connection:
            connection.set_autocommit(False)
            self._lock(connection)
            published = self._published(connection)
            if published.get("predicted_at") == TIME:
                newest = f"select max(predicted_at) as newest from {self._predictions}"
                (found,) = _query(connection, newest)["newest"].to_pylist()
                if found and found > predicted_at:
                    return False
            if published and published != columns:
                self._drop(connection, published)
            declared = ", ".join(f"{_quoted(name)} {kind} not null" for name, kind in columns.items())
            _execute(connection, f"create schema if not exists {_quoted(schema)}")
            _execute(
                connection,
                f"create table if not exists {self._predictions} ({declared}, primary key ({_quoted(key)}))",
            )
            _execute(connection, f"delete from {self._predictions}")
            with AdbcStatement(connection) as statement:
                statement.set_options(
                    **{
                        StatementOptions.INGEST_MODE.value: "adbc.ingest.mode.append",
                        StatementOptions.INGEST_TARGET_DB_SCHEMA.value: schema,
                        StatementOptions.INGEST_TARGET_TABLE.value: table,
                    }
                )
                times = pa.repeat(pa.scalar(predicted_at), len(predictions))
                statement.bind_stream(predictions.append_column("predicted_at", times).to_reader())
                statement.execute_update()
            connection.commit()
        return True

    def _lock(self, connection: "AdbcConnection") -> None:
        """Let only one run at a time read what to predict, or replace the table; those who read it do not wait."""
        _execute(connection, f"select pg_advisory_xact_lock(hashtext({_literal(self._settings.predictions)}))")

    def _published(self, connection: "AdbcConnection") -> dict[str, str]:
        """Columns of the published predictions with their types; empty if there is no such table."""
        found = _query(
            connection,
            f"""
            select attname::text as name, format_type(atttypid, atttypmod) as kind from pg_attribute
            where attrelid = to_regclass({_literal(self._predictions)}) and attnum > 0 and not attisdropped
            order by attnum
            """,
        )
        return dict(zip(found["name"].to_pylist(), found["kind"].to_pylist(), strict=True))

    def _drop(self, connection: "AdbcConnection", published: dict[str, str]) -> None:
        import adbc_driver_manager

        try:
            _execute(connection, f"drop table {self._predictions}")
        except adbc_driver_manager.Error as error:
            if error.sqlstate != _DEPENDED_ON:
                raise
            columns = ", ".join(f"{name} {kind}" for name, kind in published.items())
            reason = " ".join(str(error).partition("HINT")[0].split())
            raise TagifaiError(
                f"{self._settings.predictions} in {self._address()} has other columns ({columns}), and cannot be "
                f"replaced: {reason}. Drop what reads it, run this again, and create it anew"
            ) from None

    def _read_all(self, connection: "AdbcConnection", name: str, columns: tuple[str, ...]) -> "pa.Table":
        import pyarrow as pa

        given = self._settings.columns
        key = _query(connection, f"select {_quoted(given.key)} from {_table(name)} limit 0")[given.key]
        # The driver has no text of some types, such as uuid.
        texts = {*given.texts, given.label} | ({given.key} if not pa.types.is_integer(key.type) else set())
        wanted = ", ".join(
            f"{_quoted(each)}::text as {_quoted(each)}" if each in texts else _quoted(each) for each in columns
        )
        table = _query(connection, f"select {wanted} from {_table(name)}")
        if not table.num_rows:
            raise TagifaiError(f"{name} in {self._address()} is empty: run dataops on source files first")
        return typed(table, given).sort_by(given.key)

    @contextmanager
    def _connection(self) -> Generator["AdbcConnection"]:
        """A connection that is closed afterwards; uncommitted changes are rolled back."""
        import adbc_driver_manager
        import adbc_driver_postgresql

        given = self._warehouse
        user, password = quote(given.user, safe=""), quote(given.password.get_secret_value(), safe="")
        uri = f"postgresql://{user}:{password}@{given.host}:{given.port}/{quote(given.database, safe='')}"
        try:
            with (
                adbc_driver_postgresql.connect(uri) as database,
                adbc_driver_manager.AdbcConnection(database) as connection,
            ):
                yield connection
        except adbc_driver_manager.Error as error:
            reason = " ".join(str(error).split())
            raise ServiceError(
                f"the warehouse {self._address()} refused: {reason}. "
                "Check that it runs and that dataops has published the tables (make run)."
            ) from error

    def _address(self) -> str:
        return f"{self._warehouse.host}:{self._warehouse.port}/{self._warehouse.database}"


def _quoted(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _table(name: str) -> str:
    """Quoted name of a table with its schema."""
    return ".".join(map(_quoted, name.split(".")))


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _query(connection: "AdbcConnection", sql: str) -> "pa.Table":
    # The DB-API layer of the driver would import pandas, which takes longer than the rest of `extract`.
    import pyarrow as pa
    from adbc_driver_manager import AdbcStatement

    with AdbcStatement(connection) as statement:
        statement.set_sql_query(sql)
        stream, _ = statement.execute_query()
        return pa.RecordBatchReader.from_stream(stream).read_all()


def _execute(connection: "AdbcConnection", sql: str) -> None:
    from adbc_driver_manager import AdbcStatement

    with AdbcStatement(connection) as statement:
        statement.set_sql_query(sql)
        statement.execute_update()
