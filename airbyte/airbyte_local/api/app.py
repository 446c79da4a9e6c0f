"""The service's application: Airbyte's public API with login, health and all routes."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import jwt
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials
from pydantic import BaseModel, ValidationError

from airbyte_local.api import actors, connections, documentation, jobs, parameters, problems
from airbyte_local.api.problems import Problem
from airbyte_local.connectors.manager import ConnectorManager
from airbyte_local.jobs import JobStore
from airbyte_local.settings import Airbyte
from airbyte_local.store import Store
from airbyte_local.sync.runner import Runner

BASE = "/api/public/v1"
# The path of api.airbyte.com, for clients that are made for it.
CLOUD_BASE = "/v1"
TOKEN_SECONDS = 3600
_ALGORITHM = "HS256"


class TokenRequest(BaseModel):
    """An application's credentials."""

    client_id: str
    client_secret: str


def create_app(
    settings: Airbyte, store: Store, job_store: JobStore, connectors: ConnectorManager, runner: Runner
) -> FastAPI:
    """Create the application."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        yield
        connectors.close()
        await run_in_threadpool(runner.close)

    app = documentation.application(lifespan)
    problems.install(app)
    open_routes = APIRouter()
    routes = APIRouter(dependencies=[Depends(_authenticator(settings)), Depends(parameters.require_known)])
    routes.include_router(actors.router(store, connectors, runner))
    routes.include_router(connections.router(store, job_store, connectors))
    routes.include_router(jobs.router(store, job_store, runner))

    @open_routes.get("/health")
    def get_health_check() -> dict[str, bool]:
        job_store.ping()
        return {"available": True}

    @open_routes.post("/applications/token", openapi_extra=documentation.body_of(TokenRequest))
    async def create_access_token(request: Request) -> dict[str, str | int]:
        given = await _credentials(request)
        if not settings.is_client(given.client_id, given.client_secret):
            raise Problem(401, "the client id or the client secret is wrong")
        now = int(time.time())
        claims = {"sub": settings.client_id, "iat": now, "exp": now + TOKEN_SECONDS}
        token = jwt.encode(claims, settings.signing_key.get_secret_value(), algorithm=_ALGORITHM)
        return {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS}

    for base in (BASE, CLOUD_BASE):
        app.include_router(open_routes, prefix=base, include_in_schema=base == BASE)
        app.include_router(routes, prefix=base, include_in_schema=base == BASE)
    # Airbyte serves it at this path too.
    app.add_api_route("/api/public/applications/token", create_access_token, methods=["POST"], include_in_schema=False)
    return app


def _authenticator(settings: Airbyte) -> Any:
    def authenticate(given: Annotated[HTTPAuthorizationCredentials | None, Depends(documentation.BEARER)]) -> None:
        try:
            key = settings.signing_key.get_secret_value()
            claims = jwt.decode(given.credentials if given else "", key, algorithms=[_ALGORITHM])
        except jwt.InvalidTokenError as error:
            remedy = f"get one with POST {BASE}/applications/token"
            raise Problem(401, f"no valid access token ({error}); {remedy}") from None
        if claims.get("sub") != settings.client_id:
            raise Problem(401, "the access token belongs to another client")

    return authenticate


async def _credentials(request: Request) -> TokenRequest:
    try:
        if "json" in request.headers.get("content-type", ""):
            return TokenRequest.model_validate_json(await request.body())
        return TokenRequest.model_validate(dict(await request.form()))
    except ValidationError as error:
        raise problems.unprocessable(error.errors()) from None
