"""Airbyte's public API, as far as its Airflow provider and our launcher use it."""

import hmac
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import jwt
from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from airbyte_local import problems
from airbyte_local.declaration import Connection, Declaration
from airbyte_local.jobs import Job, JobStore, RunningJobError
from airbyte_local.runner import Runner
from airbyte_local.settings import Airbyte

BASE = "/api/public/v1"
TOKEN_SECONDS = 3600
_ALGORITHM = "HS256"

Limit = Annotated[int, Query(ge=1, le=100)]
Offset = Annotated[int, Query(ge=0, le=2**31)]
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
    """Airbyte's fields of a job, and below them our own, which Airbyte's clients pass over."""

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


def create_app(
    settings: Airbyte, declaration: Declaration, jobs: JobStore, runner: Runner, *, declared_at: int
) -> FastAPI:
    """The service's application.

    Args:
        settings: credentials of the one client, and the key that signs tokens.
        declaration: what can be synced.
        jobs: the store.
        runner: starts and ends jobs; closed with the application.
        declared_at: time of the declaration, in seconds since 1970.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(runner.close)

    # FastAPI's own pages load their scripts from elsewhere.
    app = FastAPI(title="Airbyte, local", lifespan=lifespan, docs_url=None, redoc_url=None)
    problems.install(app)
    open_routes = APIRouter()
    routes = APIRouter(prefix=BASE, dependencies=[Depends(_authenticator(settings))])

    @open_routes.get(f"{BASE}/health")
    def health() -> dict[str, bool]:
        jobs.ping()
        return {"available": True}

    @open_routes.post(f"{BASE}/applications/token")
    @open_routes.post("/api/public/applications/token")
    async def token(request: Request) -> dict[str, str | int]:
        return _issue(settings, await _credentials(request))

    @routes.post("/jobs")
    def submit(body: JobCreateRequest) -> JobResponse:
        connection = declaration.connection(body.connection_id)
        if connection is None:
            known = f"GET {BASE}/connections lists them"
            raise problems.not_found(f"no connection has the id {body.connection_id}; {known}")
        try:
            return _job(runner.submit(connection, body.job_type), runner)
        except RunningJobError:
            raise problems.conflict(
                f"a sync of the connection {connection.name} is running; wait for its end, or cancel its job"
            ) from None

    @routes.get("/jobs")
    def list_jobs(
        request: Request,
        connection_id: Annotated[uuid.UUID | None, Query(alias="connectionId")] = None,
        limit: Limit = 20,
        offset: Offset = 0,
    ) -> dict[str, Any]:
        found = jobs.recent(connection_id, limit=limit + 1, offset=offset)
        return _page(request, [_job(job, runner) for job in found], limit, offset)

    @routes.get("/jobs/{job_id}")
    def get_job(job_id: JobId) -> JobResponse:
        return _job(_found(jobs, job_id), runner)

    @routes.delete("/jobs/{job_id}")
    def cancel_job(job_id: JobId) -> JobResponse:
        _found(jobs, job_id)
        runner.cancel(job_id)
        return _job(_found(jobs, job_id), runner)

    @routes.get("/connections")
    def list_connections(request: Request, limit: Limit = 20, offset: Offset = 0) -> dict[str, Any]:
        found = declaration.connections[offset : offset + limit + 1]
        return _page(request, [_connection(c, declaration, declared_at) for c in found], limit, offset)

    app.include_router(open_routes)
    app.include_router(routes)
    return app


def _authenticator(settings: Airbyte) -> Any:
    def authenticate(
        given: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))],
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
    same_id = hmac.compare_digest(given.client_id.encode(), settings.client_id.encode())
    secret = settings.client_secret.get_secret_value()
    if not hmac.compare_digest(given.client_secret.encode(), secret.encode()) or not same_id:
        raise problems.unauthorized("the client id or the client secret is wrong")
    now = int(time.time())
    claims = {"sub": settings.client_id, "iat": now, "exp": now + TOKEN_SECONDS}
    token = jwt.encode(claims, settings.signing_key.get_secret_value(), algorithm=_ALGORITHM)
    return {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS}


def _found(jobs: JobStore, job_id: int) -> Job:
    job = jobs.get(job_id)
    if job is None:
        raise problems.not_found(f"there is no job {job_id}")
    return job


def _job(job: Job, runner: Runner) -> JobResponse:
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


def _connection(connection: Connection, declaration: Declaration, declared_at: int) -> dict[str, Any]:
    return {
        "connectionId": connection.id,
        "name": connection.name,
        "workspaceId": declaration.workspace.id,
        "sourceId": declaration.source(connection).id,
        "destinationId": declaration.destination(connection).id,
        "status": "active",
        "schedule": {"scheduleType": connection.schedule.schedule_type},
        "configurations": connection.configurations.model_dump(by_alias=True, exclude_unset=True),
        "namespaceDefinition": connection.namespace_definition,
        "namespaceFormat": connection.namespace_format,
        "prefix": connection.prefix,
        "createdAt": declared_at,
        "tags": [],
    }


def _page(request: Request, found: list[Any], limit: int, offset: int) -> dict[str, Any]:
    """Airbyte's shape of a list; `found` has one item more than `limit` where there is a next page."""

    def link(start: int) -> str:
        return str(request.url.include_query_params(limit=limit, offset=start))

    return {
        "data": found[:limit],
        "next": link(offset + limit) if len(found) > limit else "",
        "previous": link(max(offset - limit, 0)) if offset else "",
    }


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
