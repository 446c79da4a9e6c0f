"""Jobs and their attempts, stored in PostgreSQL so that they survive a restart of the service."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Literal, LiteralString
from uuid import UUID

import psycopg

from airbyte_local.database import Database

# incomplete: an attempt failed, and another one will follow.
Status = Literal["running", "incomplete", "succeeded", "failed", "cancelled"]
Order = Literal["createdAt|ASC", "createdAt|DESC", "updatedAt|ASC", "updatedAt|DESC"]
_ORDERS: dict[Order, LiteralString] = {
    "createdAt|ASC": "started_at, job_id",
    "createdAt|DESC": "started_at desc, job_id desc",
    "updatedAt|ASC": "updated_at, job_id",
    "updatedAt|DESC": "updated_at desc, job_id desc",
}
# The first and the last moment of a period, both included; None: no limit.
Period = tuple[datetime | None, datetime | None]

# Key of the advisory lock; any number that no other program uses in the same database.
_LOCK = 0x_A1B1_7E_10CA1
_LOCK_TIMEOUT = "3s"
INTERRUPTED = "the service was stopped during this attempt"


class OtherServiceError(Exception):
    """Another service already uses this database."""


class RunningJobError(Exception):
    """The connection already has a job that has not ended."""


@dataclass(frozen=True)
class Work:
    """What a job and an attempt have in common."""

    job_id: int
    status: Status
    started_at: datetime
    updated_at: datetime
    rows_synced: int
    bytes_synced: int
    values_nulled: int
    values_truncated: int
    failure_reason: str | None
    failure_type: str | None

    @property
    def is_active(self) -> bool:
        """Whether it has not ended."""
        return self.status in ("running", "incomplete")

    @property
    def duration(self) -> timedelta:
        """From start to end, or to now while it runs."""
        end = datetime.now(self.started_at.tzinfo) if self.is_active else self.updated_at
        return max(end - self.started_at, timedelta())


@dataclass(frozen=True)
class Job(Work):
    """A row of airbyte.jobs."""

    connection_id: UUID
    # None: the job is of an earlier version and its connection was deleted.
    workspace_id: UUID | None
    job_type: str
    run: UUID


@dataclass(frozen=True)
class Attempt(Work):
    """A row of airbyte.attempts."""

    number: int


@dataclass(frozen=True)
class End:
    """How a job or an attempt ended."""

    status: Status
    reason: str | None = None
    # Airbyte's failure type; None: unknown.
    failure_type: str | None = None


class JobStore:
    """The tables airbyte.jobs and airbyte.attempts."""

    def __init__(self, conninfo: dict[str, str | int]):
        """Lock the database for this service until the process ends, see `hold`, and create missing tables."""
        self._database = Database(conninfo, "airbyte_local jobs")
        self._held: psycopg.Connection | None = None
        self._lock = threading.Lock()
        self.hold()
        self._database.execute(files("airbyte_local").joinpath("schema.sql").read_bytes())

    def hold(self) -> None:
        """Keep the lock on the database, or take it again: a restart of the database releases it.

        Raises:
            OtherServiceError: another service holds the lock.
        """
        with self._lock:
            if self._held:
                try:
                    self._held.execute("select 1")
                    return
                except psycopg.Error:
                    self._held.close()
            held = self._database.connect()
            try:
                # The server needs a moment to notice that a killed service is gone.
                held.execute(f"set lock_timeout = '{_LOCK_TIMEOUT}'")
                held.execute("select pg_advisory_lock(%s)", [_LOCK])
            except psycopg.errors.LockNotAvailable:
                held.close()
                wrong = f"another Airbyte service is using the database {self._database.name}; stop it first"
                raise OtherServiceError(wrong) from None
            self._held = held

    def create(self, connection_id: UUID, job_type: str) -> Job:
        """Create a job with the status running; raises RunningJobError if the connection has an active one."""
        query = (
            "insert into airbyte.jobs (connection_id, workspace_id, job_type, status, run) values (%(connection)s,"
            " (select workspace_id from airbyte.connections where connection_id = %(connection)s),"
            " %(type)s, 'running', gen_random_uuid()) returning *"
        )
        try:
            return self._database.rows(Job, query, {"connection": connection_id, "type": job_type})[0]
        except psycopg.errors.UniqueViolation:
            raise RunningJobError from None

    def get(self, job_id: int) -> Job | None:
        """The job with this id, or None."""
        return self._database.row(Job, "select * from airbyte.jobs where job_id = %s", [job_id])

    def recent(
        self,
        connection_id: UUID | None,
        *,
        workspaces: Sequence[UUID] = (),
        job_type: str | None = None,
        status: str | None = None,
        created: Period = (None, None),
        updated: Period = (None, None),
        order: Order = "createdAt|DESC",
        limit: int,
        offset: int,
    ) -> list[Job]:
        """Jobs of one connection (None: of all) and of these workspaces (none: of all), of one type and status.

        The API shows times in whole seconds; a period that ends at a time as it is shown contains the job.
        """
        query: LiteralString = (
            "select * from airbyte.jobs where connection_id = coalesce(%s, connection_id)"
            " and (%s or workspace_id = any(%s))"
            " and job_type = coalesce(%s, job_type) and status = coalesce(%s, status)"
            " and started_at >= coalesce(%s, started_at)"
            " and date_trunc('second', started_at) <= coalesce(%s, started_at)"
            " and updated_at >= coalesce(%s, updated_at)"
            " and date_trunc('second', updated_at) <= coalesce(%s, updated_at)"
            " order by "
        )
        values = [connection_id, not workspaces, list(workspaces), job_type, status, *created, *updated, limit, offset]
        return self._database.rows(Job, query + _ORDERS[order] + " limit %s offset %s", values)

    def latest(self, connections: Sequence[UUID], *, status: Status | None = None) -> dict[UUID, Job]:
        """The newest job of each connection that has one, of one status (None: any)."""
        query = (
            "select job.* from unnest(%s::uuid[]) as wanted (id), lateral (select * from airbyte.jobs where"
            " connection_id = wanted.id and status = coalesce(%s, status) order by job_id desc limit 1) as job"
        )
        return {job.connection_id: job for job in self._database.rows(Job, query, [list(connections), status])}

    def unfinished(self) -> list[Job]:
        """Jobs that have not ended. Marks their running attempts, which an earlier process started, as failed."""
        self._database.execute(
            "update airbyte.attempts set status = 'failed', ended_at = now(), failure_reason = %s"
            " where status = 'running'",
            [INTERRUPTED],
        )
        query = "select * from airbyte.jobs where status in ('running', 'incomplete') order by job_id"
        return self._database.rows(Job, query)

    def start_attempt(self, job_id: int) -> int:
        """Record a new attempt of a job; returns its number, from 1."""
        return self._database.value(
            "with job as (update airbyte.jobs set status = 'running', updated_at = now() where job_id = %(job)s)"
            " insert into airbyte.attempts (job_id, number)"
            " select %(job)s, coalesce(max(number), 0) + 1 from airbyte.attempts where job_id = %(job)s"
            " returning number",
            {"job": job_id},
        )

    def end_attempt(
        self, job_id: int, number: int, end: End, *, rows: int, size: int, nulled: int, truncated: int
    ) -> None:
        """Record how an attempt ended: rows committed, bytes read in RECORD messages (`size`), and values changed."""
        self._database.execute(
            "update airbyte.attempts set status = %s, ended_at = now(), rows_synced = %s, bytes_synced = %s,"
            " values_nulled = %s, values_truncated = %s, failure_reason = %s, failure_type = %s"
            " where job_id = %s and number = %s",
            [end.status, rows, size, nulled, truncated, end.reason, end.failure_type, job_id, number],
        )

    def pause(self, job_id: int) -> None:
        """Record that a job waits for its next attempt."""
        query = "update airbyte.jobs set status = 'incomplete', updated_at = now() where job_id = %s"
        self._database.execute(query, [job_id])

    def finish(self, job_id: int, end: End) -> None:
        """End a job with the totals of its attempts; does nothing if it has already ended."""
        self._database.execute(
            "update airbyte.jobs set status = %s, failure_reason = %s, failure_type = %s, updated_at = now(),"
            " (rows_synced, bytes_synced, values_nulled, values_truncated) = (select coalesce(sum(rows_synced), 0),"
            " coalesce(sum(bytes_synced), 0), coalesce(sum(values_nulled), 0), coalesce(sum(values_truncated), 0)"
            " from airbyte.attempts where job_id = jobs.job_id)"
            " where job_id = %s and status in ('running', 'incomplete')",
            [end.status, end.reason, end.failure_type, job_id],
        )

    def attempts(self, jobs: Sequence[int]) -> list[Attempt]:
        """The attempts of these jobs, in order."""
        query = (
            "select job_id, number, status, started_at, coalesce(ended_at, now()) as updated_at, rows_synced,"
            " bytes_synced, values_nulled, values_truncated, failure_reason, failure_type"
            " from airbyte.attempts where job_id = any(%s) order by job_id, number"
        )
        return self._database.rows(Attempt, query, [list(jobs)])

    def ping(self) -> None:
        """Raise psycopg.Error unless the database answers."""
        self._database.execute("select 1")
