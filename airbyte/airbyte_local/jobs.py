"""The jobs, kept in PostgreSQL so that they survive the service."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Literal

import psycopg
from psycopg.rows import class_row

Status = Literal["running", "succeeded", "failed", "cancelled"]

# Any number that no other program would lock in the same database.
_LOCK = 0x_A1B1_7E_10CA1
_LOCK_TIMEOUT = "3s"
# Seconds.
CONNECT_TIMEOUT = 10


class OtherServiceError(Exception):
    """Another service works on this database already."""


class RunningJobError(Exception):
    """The connection has a running job already."""


@dataclass(frozen=True)
class Job:
    """A row of airbyte.jobs."""

    job_id: int
    connection_id: uuid.UUID
    job_type: str
    status: Status
    run: uuid.UUID
    started_at: datetime
    updated_at: datetime
    rows_synced: int
    bytes_synced: int
    values_nulled: int
    failure_reason: str | None
    failure_type: str | None

    @property
    def duration(self) -> timedelta:
        """From start to end; to now, for a job that runs."""
        end = datetime.now(self.started_at.tzinfo) if self.status == "running" else self.updated_at
        return max(end - self.started_at, timedelta())


class JobStore:
    """The table airbyte.jobs. Every call has a connection of its own, so a restart of PostgreSQL is survived."""

    def __init__(self, conninfo: dict[str, str | int]):
        """Take the database for this service, for as long as the process lives, and create what is missing in it.

        Args:
            conninfo: keyword arguments of `psycopg.connect`.

        Raises:
            OtherServiceError: another service has the database.
            psycopg.Error: the database does not answer or refuses.
        """
        own = {"application_name": "airbyte_local jobs", "connect_timeout": CONNECT_TIMEOUT, "autocommit": True}
        self._conninfo = {**conninfo, **own}
        self._lock = psycopg.connect(**self._conninfo)
        try:
            # The server needs a moment to notice that a killed service is gone.
            self._lock.execute(f"set lock_timeout = '{_LOCK_TIMEOUT}'")
            self._lock.execute("select pg_advisory_lock(%s)", [_LOCK])
        except psycopg.errors.LockNotAvailable:
            database = "{host}:{port}/{dbname}".format(**conninfo)
            raise OtherServiceError(f"another Airbyte service works on {database}; stop it first") from None
        self._lock.execute(files("airbyte_local").joinpath("schema.sql").read_text())

    def create(self, connection_id: uuid.UUID, job_type: str) -> Job:
        """A new, running job.

        Raises:
            RunningJobError: the connection has a running one.
        """
        with self._connect() as connection:
            try:
                return connection.execute(
                    "insert into airbyte.jobs (connection_id, job_type, status, run)"
                    " values (%s, %s, 'running', gen_random_uuid()) returning *",
                    [connection_id, job_type],
                ).fetchone()
            except psycopg.errors.UniqueViolation:
                raise RunningJobError from None

    def get(self, job_id: int) -> Job | None:
        """The job of this id, if there is one."""
        with self._connect() as connection:
            return connection.execute("select * from airbyte.jobs where job_id = %s", [job_id]).fetchone()

    def recent(self, connection_id: uuid.UUID | None, *, limit: int, offset: int) -> list[Job]:
        """Jobs, newest first; of one connection or, with None, of all."""
        with self._connect() as connection:
            return connection.execute(
                "select * from airbyte.jobs where connection_id = coalesce(%s, connection_id)"
                " order by job_id desc limit %s offset %s",
                [connection_id, limit, offset],
            ).fetchall()

    def finish(
        self,
        job_id: int,
        status: Status,
        *,
        rows: int,
        size: int,
        nulled: int,
        reason: str | None = None,
        failure_type: str | None = None,
    ) -> None:
        """End a running job; a job that has ended stays as it is.

        Args:
            job_id: the job.
            status: how it ended.
            rows: records read.
            size: bytes of the record messages read.
            nulled: values that did not fit their type.
            reason: why it did not succeed.
            failure_type: Airbyte's word for it.
        """
        with self._connect() as connection:
            connection.execute(
                "update airbyte.jobs set status = %s, rows_synced = %s, bytes_synced = %s, values_nulled = %s,"
                " failure_reason = %s, failure_type = %s, updated_at = now() where job_id = %s and status = 'running'",
                [status, rows, size, nulled, reason, failure_type, job_id],
            )

    def interrupt(self, reason: str) -> list[Job]:
        """Fail the jobs that another process of this service left running, and return them."""
        with self._connect() as connection:
            return connection.execute(
                "update airbyte.jobs set status = 'failed', failure_reason = %s, updated_at = now()"
                " where status = 'running' returning *",
                [reason],
            ).fetchall()

    def ping(self) -> None:
        """Raise psycopg.Error where the database does not answer."""
        with self._connect() as connection:
            connection.execute("select 1")

    def _connect(self) -> psycopg.Connection[Job]:
        return psycopg.connect(**self._conninfo, row_factory=class_row(Job))
