"""Read and replace tables of the warehouse, as Arrow tables."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from tagifai.errors import ServiceError, TagifaiError
from tagifai.settings import Warehouse

if TYPE_CHECKING:
    import pyarrow as pa
    from adbc_driver_manager import AdbcConnection

LABELED_PROJECTS = "marts.labeled_projects"
PROJECTS_TO_PREDICT = "marts.projects_to_predict"
PREDICTIONS = "marts.predictions"

# Only one run at a time reads what to predict, or replaces the table; those who read the table do not wait.
PREPARE_PREDICTIONS = f"""
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
NOW = f"""
select greatest(clock_timestamp(), max(predicted_at) + interval '1 microsecond') as predicted_at from {PREDICTIONS}
"""  # noqa: S608


def read_labeled_projects(warehouse: Warehouse, columns: tuple[str, ...]) -> "pa.Table":
    """Read columns of all labelled projects, ordered by id.

    Raises:
        ServiceError: the warehouse does not answer, or the table is missing.
        TagifaiError: the table is empty.
    """
    with _connection(warehouse) as connection:
        return _read_all(connection, warehouse, LABELED_PROJECTS, columns)


@contextmanager
def projects_to_predict(warehouse: Warehouse, columns: tuple[str, ...]) -> Generator["tuple[pa.Table, datetime]"]:
    """Read columns of all projects, ordered by id, and the time, which is later than all published predictions.

    Others wait for the end of the block, and then get a later time, unless the clock is set back.

    Raises:
        ServiceError: the warehouse does not answer, or the table is missing.
        TagifaiError: the table is empty.
    """
    with _connection(warehouse) as connection:
        # Nothing is committed: the table is created here only for the query.
        connection.set_autocommit(False)
        _execute(connection, PREPARE_PREDICTIONS)
        (now,) = _query(connection, NOW)["predicted_at"].to_pylist()
        yield _read_all(connection, warehouse, PROJECTS_TO_PREDICT, columns), now


def replace_predictions(warehouse: Warehouse, predictions: "pa.Table", predicted_at: datetime) -> bool:
    """Replace the rows of marts.predictions, or create it; readers see the old rows or the new ones, and views stay.

    Args:
        warehouse: the database.
        predictions: columns `id` int64, `tag`, `model_version` string, `probability` double.
        predicted_at: when they were made, as projects_to_predict gave it.

    Returns:
        Whether the rows were replaced; newer ones are kept.

    Raises:
        ServiceError: the warehouse does not answer or refuses.
    """
    import pyarrow as pa
    from adbc_driver_manager import AdbcStatement, StatementOptions

    schema, table = PREDICTIONS.split(".")
    with _connection(warehouse) as connection:
        connection.set_autocommit(False)
        _execute(connection, PREPARE_PREDICTIONS)
        (newest,) = _query(connection, f"select max(predicted_at) as newest from {PREDICTIONS}")["newest"].to_pylist()  # noqa: S608
        if newest and newest > predicted_at:
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


def _read_all(connection: "AdbcConnection", warehouse: Warehouse, name: str, columns: tuple[str, ...]) -> "pa.Table":
    table = _query(connection, f"select {', '.join(columns)} from {name} order by id")  # noqa: S608
    if not table.num_rows:
        raise TagifaiError(f"{name} in {_address(warehouse)} is empty: run dataops on source files first")
    return table


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


@contextmanager
def _connection(warehouse: Warehouse) -> Generator["AdbcConnection"]:
    """A connection that is closed afterwards; uncommitted changes are rolled back."""
    import adbc_driver_manager
    import adbc_driver_postgresql

    user, password = quote(warehouse.user, safe=""), quote(warehouse.password.get_secret_value(), safe="")
    uri = f"postgresql://{user}:{password}@{warehouse.host}:{warehouse.port}/{quote(warehouse.database, safe='')}"
    try:
        with (
            adbc_driver_postgresql.connect(uri) as database,
            adbc_driver_manager.AdbcConnection(database) as connection,
        ):
            yield connection
    except adbc_driver_manager.Error as error:
        reason = " ".join(str(error).split())
        raise ServiceError(
            f"the warehouse {_address(warehouse)} refused: {reason}. "
            "Check that it runs and that dataops has published the tables (make run)."
        ) from error


def _address(warehouse: Warehouse) -> str:
    return f"{warehouse.host}:{warehouse.port}/{warehouse.database}"
