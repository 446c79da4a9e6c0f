"""Routes for jobs: start, list, show and cancel."""

import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query

from airbyte_local.api import problems
from airbyte_local.api.bodies import CamelModel
from airbyte_local.api.pages import Paging
from airbyte_local.api.parameters import Ids, Moment
from airbyte_local.api.problems import Problem
from airbyte_local.jobs import Job, JobStore, Order, RunningJobError
from airbyte_local.store import Store
from airbyte_local.sync.runner import Runner

# Also those that jobs of this service never have.
AirbyteStatus = Literal["pending", "queued", "running", "incomplete", "failed", "succeeded", "cancelled"]
JobId = Annotated[int, Path(ge=1, le=2**63 - 1)]


class JobCreateRequest(CamelModel):
    """The job to start."""

    connection_id: uuid.UUID
    job_type: Literal["sync"]


class JobResponse(CamelModel):
    """Airbyte's fields of a job, followed by our own, which Airbyte's clients ignore.

    While the job runs, rows and bytes count what has been read; afterwards, rows counts what was committed.
    """

    job_id: int
    status: str
    job_type: str
    start_time: str
    connection_id: uuid.UUID
    last_updated_at: str
    # ISO 8601
    duration: str
    bytes_synced: int
    rows_synced: int

    values_nulled: int
    values_truncated: int
    failure_reason: str | None
    # config_error, system_error, transient_error, or null if unknown
    failure_type: str | None
    log_file: str


def router(store: Store, jobs: JobStore, runner: Runner) -> APIRouter:
    """The routes."""
    routes = APIRouter()

    @routes.post("/jobs")
    def create_job(body: JobCreateRequest) -> JobResponse:
        return _job(submit(store, runner, body.connection_id, body.job_type), runner)

    @routes.get("/jobs")
    def list_jobs(
        paging: Paging,
        connection_id: Annotated[uuid.UUID | None, Query(alias="connectionId")] = None,
        workspace_ids: Ids = None,
        # All that Airbyte has; ours is one of them.
        job_type: Annotated[Literal["sync", "reset", "refresh", "clear"] | None, Query(alias="jobType")] = None,
        status: AirbyteStatus | None = None,
        created_at_start: Annotated[Moment | None, Query(alias="createdAtStart")] = None,
        created_at_end: Annotated[Moment | None, Query(alias="createdAtEnd")] = None,
        updated_at_start: Annotated[Moment | None, Query(alias="updatedAtStart")] = None,
        updated_at_end: Annotated[Moment | None, Query(alias="updatedAtEnd")] = None,
        order_by: Annotated[Order, Query(alias="orderBy")] = "createdAt|DESC",
    ) -> dict[str, Any]:
        return paging.of(
            lambda job: _job(job, runner),
            jobs.recent,
            connection_id,
            workspaces=workspace_ids or (),
            job_type=job_type,
            status=status,
            created=(created_at_start, created_at_end),
            updated=(updated_at_start, updated_at_end),
            order=order_by,
        )

    @routes.get("/jobs/{job_id}")
    def get_job(job_id: JobId) -> JobResponse:
        return _job(found(jobs, job_id), runner)

    @routes.delete("/jobs/{job_id}")
    def cancel_job(job_id: JobId) -> JobResponse:
        found(jobs, job_id)
        runner.cancel(job_id)
        return _job(found(jobs, job_id), runner)

    return routes


def submit(store: Store, runner: Runner, connection_id: uuid.UUID, job_type: str) -> Job:
    """Start a job; raises Problem if the connection does not exist, is inactive, or has a job that has not ended."""
    connection = problems.require(store.connection(connection_id), "connection", connection_id)
    if connection.options.status == "inactive":
        raise Problem(409, f"the connection {connection.name} is inactive; set its status to active")
    try:
        return runner.submit(connection, job_type)
    except RunningJobError:
        raise Problem(
            409, f"a sync of the connection {connection.name} is running; wait until it ends, or cancel its job"
        ) from None


def found(jobs: JobStore, job_id: int) -> Job:
    """The job with this id; raises Problem if it does not exist."""
    return problems.require(jobs.get(job_id), "job", job_id)


def _job(job: Job, runner: Runner) -> JobResponse:
    job = runner.live(job)
    return JobResponse(
        **vars(job),
        start_time=_utc(job.started_at),
        last_updated_at=_utc(job.updated_at),
        duration=f"PT{job.duration.total_seconds():.3f}S",
        log_file=str(runner.log_file(job.job_id)),
    )


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
