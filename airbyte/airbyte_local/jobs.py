"""The jobs and their attempts, kept in PostgreSQL so that they survive the service."""

import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Literal

import psycopg
from psycopg.rows import class_row, scalar_row

# Incomplete: an attempt failed, and there will be another.
Status = Literal["running", "incomplete", "succeeded", "failed", "cancelled"]

# Any number that no other program would lock in the same database.
_LOCK = 0x_A1B1_7E_10CA1
_LOCK_TIMEOUT = "3s"
# Seconds.
CONNECT_TIMEOUT = 10

INTERRUPTED = "the service was stopped meanwhile"


class OtherServiceError(Exception):
    """Another service works on this database already."""


class RunningJobError(Exception):
    """The connection has a job that has not ended."""


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
    def is_active(self) -> bool:
        """Whether it has not ended."""
        return self.status in ("running", "incomplete")

    @property
    def duration(self) -> timedelta:
        """From start to end; to now, for a job that runs."""
        end = datetime.now(self.started_at.tzinfo) if self.is_active else self.updated_at
        return max(end - self.started_at, timedelta())


@dataclass(frozen=True)
class Attempt:
    """A row of airbyte.attempts."""

    job_id: int
    number: int
    status: Status
    started_at: datetime
    ended_at: datetime | None
    rows_synced: int
    bytes_synced: int
    values_nulled: int
    failure_reason: str | None
    failure_type: str | None

    @property
    def duration(self) -> timedelta:
        """From start to end; to now, for one that runs."""
        return max((self.ended_at or datetime.now(self.started_at.tzinfo)) - self.started_at, timedelta())


@dataclass(frozen=True)
class End:
    """How a job or an attempt ended.

    Attributes:
        status: of the two.
        reason: why it did not succeed.
        failure_type: Airbyte's word for it; None: nobody says.
    """

    status: Status
    reason: str | None = None
    failure_type: str | None = None


class JobStore:
    """The tables airbyte.jobs and airbyte.attempts.

    Every call has a connection of its own, so a restart of PostgreSQL is survived.
    """

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
        self._held: psycopg.Connection | None = None
        self._lock = threading.Lock()
        self.hold()
        with self._connect() as connection:
            connection.execute(files("airbyte_local").joinpath("schema.sql").read_text())

    def hold(self) -> None:
        """Keep the database for this service; a restart of the database lets go of it.

        Raises:
            OtherServiceError: another service has the database.
            psycopg.Error: the database does not answer or refuses.
        """
        with self._lock:
            if self._held:
                try:
                    self._held.execute("select 1")
                    return
                except psycopg.Error:
                    self._held.close()
            held = psycopg.connect(**self._conninfo)
            try:
                # The server needs a moment to notice that a killed service is gone.
                held.execute(f"set lock_timeout = '{_LOCK_TIMEOUT}'")
                held.execute("select pg_advisory_lock(%s)", [_LOCK])
            except psycopg.errors.LockNotAvailable:
                held.close()
                database = "{host}:{port}/{dbname}".format(**self._conninfo)
                raise OtherServiceError(f"another Airbyte service works on {database}; stop it first") from None
            self._held = held

    def create(self, connection_id: uuid.UUID, job_type: str) -> Job:
        """A new, running job.

        Raises:
            RunningJobError: the connection has one that has not ended.
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

    def recent(
        self, connection_id: uuid.UUID | None, *, status: Status | None = None, limit: int, offset: int
    ) -> list[Job]:
        """Jobs, newest first; of one connection or, with None, of all; of one status or, with None, of any."""
        with self._connect() as connection:
            return connection.execute(
                "select * from airbyte.jobs where connection_id = coalesce(%s, connection_id)"
                " and status = coalesce(%s, status) order by job_id desc limit %s offset %s",
                [connection_id, status, limit, offset],
            ).fetchall()

    def latest(self, connections: Sequence[uuid.UUID], *, status: Status | None = None) -> dict[uuid.UUID, Job]:
        """The newest job of each connection, of one status or, with None, of any; without those that have none."""
        with self._connect() as connection:
            found = connection.execute(
                "select job.* from unnest(%s::uuid[]) as wanted (id), lateral (select * from airbyte.jobs where"
                " connection_id = wanted.id and status = coalesce(%s, status) order by job_id desc limit 1) as job",
                [list(connections), status],
            )
            return {job.connection_id: job for job in found}

    def unfinished(self) -> list[Job]:
        """Jobs that have not ended; what a former process of this service tried for them has failed."""
        with self._connect() as connection:
            connection.execute(
                "update airbyte.attempts set status = 'failed', ended_at = now(), failure_reason = %s"
                " where status = 'running'",
                [INTERRUPTED],
            )
            return connection.execute(
                "select * from airbyte.jobs where status in ('running', 'incomplete') order by job_id"
            ).fetchall()

    def start_attempt(self, job_id: int) -> int:
        """Note that a job is tried; which time it is, from 1."""
        with self._connect() as connection, connection.transaction():
            connection.execute(
                "update airbyte.jobs set status = 'running', updated_at = now() where job_id = %s", [job_id]
            )
            with connection.cursor(row_factory=scalar_row) as cursor:
                return cursor.execute(
                    "insert into airbyte.attempts (job_id, number)"
                    " select %(job)s, coalesce(max(number), 0) + 1 from airbyte.attempts where job_id = %(job)s"
                    " returning number",
                    {"job": job_id},
                ).fetchone()

    def end_attempt(self, job_id: int, number: int, end: End, *, rows: int, size: int, nulled: int) -> None:
        """Note how an attempt ended.

        Args:
            job_id: the job.
            number: of the attempt.
            end: how it ended.
            rows: in the destination's tables.
            size: bytes of the record messages read.
            nulled: values that did not fit their type.
        """
        with self._connect() as connection:
            connection.execute(
                "update airbyte.attempts set status = %s, ended_at = now(), rows_synced = %s, bytes_synced = %s,"
                " values_nulled = %s, failure_reason = %s, failure_type = %s where job_id = %s and number = %s",
                [end.status, rows, size, nulled, end.reason, end.failure_type, job_id, number],
            )

    def pause(self, job_id: int) -> None:
        """Note that a job waits for its next attempt."""
        with self._connect() as connection:
            connection.execute(
                "update airbyte.jobs set status = 'incomplete', updated_at = now() where job_id = %s", [job_id]
            )

    def finish(self, job_id: int, end: End) -> None:
        """End a job, with the sums of its attempts; one that has ended stays as it is."""
        with self._connect() as connection:
            connection.execute(
                "update airbyte.jobs set status = %s, failure_reason = %s, failure_type = %s, updated_at = now(),"
                " (rows_synced, bytes_synced, values_nulled) = (select coalesce(sum(rows_synced), 0),"
                " coalesce(sum(bytes_synced), 0), coalesce(sum(values_nulled), 0) from airbyte.attempts where job_id ="
                " jobs.job_id) where job_id = %s and status in ('running', 'incomplete')",
                [end.status, end.reason, end.failure_type, job_id],
            )

    def attempts(self, jobs: Sequence[int]) -> list[Attempt]:
        """The attempts of jobs, in order."""
        with self._connect() as connection, connection.cursor(row_factory=class_row(Attempt)) as cursor:
            return cursor.execute(
                "select * from airbyte.attempts where job_id = any(%s) order by job_id, number", [list(jobs)]
            ).fetchall()

    def ping(self) -> None:
        """Raise psycopg.Error where the database does not answer."""
        with self._connect() as connection:
            connection.execute("select 1")

    def _connect(self) -> psycopg.Connection[Job]:
        return psycopg.connect(**self._conninfo, row_factory=class_row(Job))
