"""Read and replace the two tables of the warehouse, as Arrow tables."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from tagifai.errors import ServiceError, TagifaiError
from tagifai.settings import Warehouse

if TYPE_CHECKING:
    import pyarrow as pa
    from adbc_driver_manager import AdbcConnection

LABELED_PROJECTS = "marts.labeled_projects"
PREDICTIONS = "marts.predictions"

# One run at a time creates and replaces the table; readers do not wait.
PREPARE_PREDICTIONS = f"""
select pg_advisory_xact_lock(hashtext('{PREDICTIONS}'));
create schema if not exists marts;
create table if not exists {PREDICTIONS} (
    id bigint primary key,
    tag text not null,
    probability double precision not null,
    model_version text not null,
    predicted_at timestamp with time zone not null
);
delete from {PREDICTIONS};
"""  # noqa: S608


def read_labeled_projects(warehouse: Warehouse, columns: tuple[str, ...]) -> "pa.Table":
    """Read columns of all labelled projects, ordered by id.

    Raises:
        ServiceError: the warehouse does not answer, or the table is missing.
        TagifaiError: the table is empty.
    """
    # The DB-API layer of the driver would import pandas, which takes longer than the rest of `extract`.
    import pyarrow as pa
    from adbc_driver_manager import AdbcStatement

    with _connection(warehouse) as connection, AdbcStatement(connection) as statement:
        statement.set_sql_query(f"select {', '.join(columns)} from {LABELED_PROJECTS} order by id")  # noqa: S608
        stream, _ = statement.execute_query()
        table = pa.RecordBatchReader.from_stream(stream).read_all()
    if not table.num_rows:
        raise TagifaiError(f"{LABELED_PROJECTS} in {_address(warehouse)} is empty: run dataops on source files first")
    return table


def replace_predictions(warehouse: Warehouse, predictions: "pa.Table") -> None:
    """Replace the rows of marts.predictions, or create it; readers see the old rows or the new ones, and views stay.

    Args:
        warehouse: the database.
        predictions: columns `id` int64, `tag`, `model_version` string, `probability` double, `predicted_at` timestamp
            with time zone.

    Raises:
        ServiceError: the warehouse does not answer or refuses.
    """
    from adbc_driver_manager import AdbcStatement, StatementOptions

    schema, table = PREDICTIONS.split(".")
    with _connection(warehouse) as connection:
        connection.set_autocommit(False)
        with AdbcStatement(connection) as statement:
            statement.set_sql_query(PREPARE_PREDICTIONS)
            statement.execute_update()
        with AdbcStatement(connection) as statement:
            statement.set_options(
                **{
                    StatementOptions.INGEST_MODE.value: "adbc.ingest.mode.append",
                    StatementOptions.INGEST_TARGET_DB_SCHEMA.value: schema,
                    StatementOptions.INGEST_TARGET_TABLE.value: table,
                }
            )
            statement.bind_stream(predictions.to_reader())
            statement.execute_update()
        connection.commit()


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
