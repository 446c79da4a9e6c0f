"""Airbyte's public API: login, jobs and health; `resources` has the rest."""

import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import jwt
from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from airbyte_local import documentation, problems, resources
from airbyte_local.connectors import Connectors
from airbyte_local.jobs import Job, JobStore, RunningJobError, Status
from airbyte_local.pages import Limit, Offset, page
from airbyte_local.runner import Runner
from airbyte_local.settings import Airbyte
from airbyte_local.store import Store

BASE = "/api/public/v1"
# As api.airbyte.com has it, for clients that are made for it.
CLOUD_BASE = "/v1"
TOKEN_SECONDS = 3600
_ALGORITHM = "HS256"

JobId = Annotated[int, Path(ge=1, le=2**63 - 1)]


class _Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class TokenRequest(BaseModel):
    """An application's credentials."""

    client_id: str
    client_secret: str


class JobCreateRequest(_Camel):
    """What to start."""

    connection_id: uuid.UUID
    job_type: Literal["sync"]


class JobResponse(_Camel):
    """Airbyte's fields of a job, and below them our own, which Airbyte's clients pass over.

    As long as it runs, rows and bytes are those read so far; then, rows are those that are in the destination.
    """

    job_id: int
    status: str
    job_type: str
    start_time: str
    connection_id: str
    last_updated_at: str
    # ISO 8601
    duration: str
    bytes_synced: int
    rows_synced: int

    values_nulled: int
    failure_reason: str | None
    # config_error, system_error, transient_error; null where nobody says
    failure_type: str | None
    log_file: str


def create_app(settings: Airbyte, store: Store, jobs: JobStore, connectors: Connectors, runner: Runner) -> FastAPI:
    """The service's application.

    Args:
        settings: credentials of the one client, and the key that signs tokens.
        store: of what can be synced.
        jobs: the store of jobs.
        connectors: asked about sources; closed with the application.
        runner: starts and ends jobs; closed with the application.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        connectors.close()
        await run_in_threadpool(runner.close)

    app = documentation.application(lifespan)
    problems.install(app)
    open_routes = APIRouter()
    routes = APIRouter(dependencies=[Depends(_authenticator(settings))])
    routes.include_router(resources.router(store, jobs, connectors))

    @open_routes.get("/health")
    def get_health_check() -> dict[str, bool]:
        jobs.ping()
        return {"available": True}

    @open_routes.post("/applications/token", openapi_extra=documentation.body_of(TokenRequest))
    async def create_access_token(request: Request) -> dict[str, str | int]:
        return _issue(settings, await _credentials(request))

    @routes.post("/jobs")
    def create_job(body: JobCreateRequest) -> JobResponse:
        return _job(submit(store, runner, body.connection_id, body.job_type), runner)

    @routes.get("/jobs")
    def list_jobs(
        request: Request,
        connection_id: Annotated[uuid.UUID | None, Query(alias="connectionId")] = None,
        status: Status | None = None,
        limit: Limit = 20,
        offset: Offset = 0,
    ) -> dict[str, Any]:
        recent = jobs.recent(connection_id, status=status, limit=limit + 1, offset=offset)
        return page(request, [_job(job, runner) for job in recent], limit, offset)

    @routes.get("/jobs/{job_id}")
    def get_job(job_id: JobId) -> JobResponse:
        return _job(found(jobs, job_id), runner)

    @routes.delete("/jobs/{job_id}")
    def cancel_job(job_id: JobId) -> JobResponse:
        found(jobs, job_id)
        runner.cancel(job_id)
        return _job(found(jobs, job_id), runner)

    for base in (BASE, CLOUD_BASE):
        app.include_router(open_routes, prefix=base, include_in_schema=base == BASE)
        app.include_router(routes, prefix=base, include_in_schema=base == BASE)
    # Airbyte has it here too.
    app.add_api_route("/api/public/applications/token", create_access_token, methods=["POST"], include_in_schema=False)
    return app


def _authenticator(settings: Airbyte) -> Any:
    def authenticate(
        given: Annotated[HTTPAuthorizationCredentials | None, Depends(documentation.BEARER)],
    ) -> None:
        try:
            key = settings.signing_key.get_secret_value()
            claims = jwt.decode(given.credentials if given else "", key, algorithms=[_ALGORITHM])
        except jwt.InvalidTokenError as error:
            remedy = f"POST {BASE}/applications/token gives one"
            raise problems.unauthorized(f"no valid access token ({error}); {remedy}") from None
        if claims.get("sub") != settings.client_id:
            raise problems.unauthorized("the access token belongs to another client")

    return authenticate


async def _credentials(request: Request) -> TokenRequest:
    try:
        if "json" in request.headers.get("content-type", ""):
            return TokenRequest.model_validate_json(await request.body())
        return TokenRequest.model_validate(dict(await request.form()))
    except ValidationError as error:
        raise problems.unprocessable(error.errors()) from None


def _issue(settings: Airbyte, given: TokenRequest) -> dict[str, str | int]:
    if not settings.is_client(given.client_id, given.client_secret):
        raise problems.unauthorized("the client id or the client secret is wrong")
    now = int(time.time())
    claims = {"sub": settings.client_id, "iat": now, "exp": now + TOKEN_SECONDS}
    token = jwt.encode(claims, settings.signing_key.get_secret_value(), algorithm=_ALGORITHM)
    return {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS}


def submit(store: Store, runner: Runner, connection_id: uuid.UUID, job_type: str) -> Job:
    """Start a job.

    Raises:
        Problem: there is no such connection, it is inactive, or it has a job that has not ended.
    """
    connection = store.connection(connection_id)
    if connection is None:
        known = f"GET {BASE}/connections lists them"
        raise problems.not_found(f"no connection has the id {connection_id}; {known}")
    if connection.options.status == "inactive":
        raise problems.conflict(f"the connection {connection.name} is inactive; make its status active")
    try:
        return runner.submit(connection, job_type)
    except RunningJobError:
        raise problems.conflict(
            f"a sync of the connection {connection.name} is running; wait for its end, or cancel its job"
        ) from None


def found(jobs: JobStore, job_id: int) -> Job:
    """The job of this id.

    Raises:
        Problem: there is none.
    """
    job = jobs.get(job_id)
    if job is None:
        raise problems.not_found(f"there is no job {job_id}")
    return job


def _job(job: Job, runner: Runner) -> JobResponse:
    job = runner.live(job)
    return JobResponse(
        job_id=job.job_id,
        status=job.status,
        job_type=job.job_type,
        start_time=_utc(job.started_at),
        connection_id=str(job.connection_id),
        last_updated_at=_utc(job.updated_at),
        duration=f"PT{job.duration.total_seconds():.3f}S",
        bytes_synced=job.bytes_synced,
        rows_synced=job.rows_synced,
        values_nulled=job.values_nulled,
        failure_reason=job.failure_reason,
        failure_type=job.failure_type,
        log_file=str(runner.log_file(job.job_id)),
    )


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
