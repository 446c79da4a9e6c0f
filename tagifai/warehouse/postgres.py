"""The published tables in PostgreSQL."""

# ruff: noqa: D102 - `Tables` documents the methods.

from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from tagifai.errors import ServiceError, TagifaiError
from tagifai.settings import Postgres
from tagifai.warehouse.contract import LABELED_PROJECTS, PREDICTIONS, PROJECTS_TO_PREDICT, T

if TYPE_CHECKING:
    import pyarrow as pa
    from adbc_driver_manager import AdbcConnection

# Only one run at a time reads what to predict, or replaces the table; those who read the table do not wait.
_PREPARE_PREDICTIONS = f"""
select pg_advisory_xact_lock(hashtext('{PREDICTIONS}'));
create schema if not exists marts;
create table if not exists {PREDICTIONS} (
    id bigint primary key,
    tag text not null,
    probability double precision not null,
    model_version text not null,
    predicted_at timestamp with time zone not null
)
"""
# Later than all published predictions, even if the clock was set back.
_NOW = f"""
select greatest(clock_timestamp(), max(predicted_at) + interval '1 microsecond') as predicted_at from {PREDICTIONS}
"""  # noqa: S608


class PostgresTables:
    """See `Tables`."""

    bytes_billed = None

    def __init__(self, settings: Postgres):
        self._settings = settings

    def ask(self) -> None:
        with self._connection() as connection:
            _query(connection, "select 1")

    def labeled_projects(self, columns: tuple[str, ...]) -> "pa.Table":
        with self._connection() as connection:
            return self._read_all(connection, LABELED_PROJECTS, columns)

    def projects_to_predict(self, columns: tuple[str, ...], look: Callable[[], T]) -> "tuple[pa.Table, T, datetime]":
        with self._connection() as connection:
            # Nothing is committed: the table is created here only for the query. Others wait until the end.
            connection.set_autocommit(False)
            _execute(connection, _PREPARE_PREDICTIONS)
            (now,) = _query(connection, _NOW)["predicted_at"].to_pylist()
            return self._read_all(connection, PROJECTS_TO_PREDICT, columns), look(), now

    def replace_predictions(self, predictions: "pa.Table", predicted_at: datetime) -> bool:
        import pyarrow as pa
        from adbc_driver_manager import AdbcStatement, StatementOptions

        schema, table = PREDICTIONS.split(".")
        with self._connection() as connection:
            connection.set_autocommit(False)
            _execute(connection, _PREPARE_PREDICTIONS)
            newest = f"select max(predicted_at) as newest from {PREDICTIONS}"  # noqa: S608
            (found,) = _query(connection, newest)["newest"].to_pylist()
            if found and found > predicted_at:
                return False
            _execute(connection, f"delete from {PREDICTIONS}")  # noqa: S608
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

    def _read_all(self, connection: "AdbcConnection", name: str, columns: tuple[str, ...]) -> "pa.Table":
        table = _query(connection, f"select {', '.join(columns)} from {name} order by id")  # noqa: S608
        if not table.num_rows:
            raise TagifaiError(f"{name} in {self._address()} is empty: run dataops on source files first")
        return table

    @contextmanager
    def _connection(self) -> Generator["AdbcConnection"]:
        """A connection that is closed afterwards; uncommitted changes are rolled back."""
        import adbc_driver_manager
        import adbc_driver_postgresql

        given = self._settings
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
        return f"{self._settings.host}:{self._settings.port}/{self._settings.database}"


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
