"""Error responses in the format of Airbyte's API (RFC 9457)."""

import logging
import uuid
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, TypeVar

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from airbyte_declaration.streams import plain
from airbyte_local.configuration import Fault
from airbyte_local.connectors.environments import ConnectorInstallError
from airbyte_local.connectors.messages import ConnectorError
from airbyte_local.connectors.registry import RegistryError
from airbyte_local.jobs import OtherServiceError
from airbyte_local.store import InUseError, SealedError

log = logging.getLogger(__name__)
T = TypeVar("T")

# Airbyte's names of problem types; identifiers, not pages.
_TYPES = "https://reference.airbyte.com/reference/errors"
_TITLES = {
    401: "invalid-api-key",
    403: "forbidden",
    404: "resource-not-found",
    409: "state-conflict",
    422: "unprocessable-entity",
    500: "unexpected-problem",
    502: "connector-failed",
    503: "service-unavailable",
}
# Statuses of errors whose message is the detail.
_STATUSES = {
    SealedError: 409,
    InUseError: 409,
    ConnectorError: 502,
    ConnectorInstallError: 502,
    RegistryError: 502,
    OtherServiceError: 503,
}


class Problem(Exception):  # noqa: N818 - the name in RFC 9457
    """An error response."""

    def __init__(self, status: int, detail: str, *, title: str | None = None, data: dict[str, Any] | None = None):
        super().__init__(detail)
        self.status = status
        self.title = title or _TITLES[status]
        self.detail = detail
        self.data = data or {"message": detail}


def require(thing: T | None, kind: str, thing_id: uuid.UUID | int) -> T:
    """Return a thing that was looked up by its id, or raise Problem if it is None."""
    if thing is None:
        raise Problem(404, f"no {kind} has the id {thing_id}; GET …/{kind}s lists them")
    return thing


def invalid(faults: Sequence[Fault]) -> Problem:
    """422: values that are not allowed, field by field."""
    detail = "; ".join(f"{each.field}: {each.message}" for each in faults)
    return Problem(422, detail, data={"errors": [each._asdict() for each in faults]})


def unprocessable(errors: Sequence[Any]) -> Problem:
    """422: validation errors of Pydantic, field by field."""
    return invalid([Fault(".".join(map(str, each["loc"])), plain(each["msg"])) for each in errors])


def problem_of(request: Request, error: Exception) -> Problem:
    """The response to an error."""
    match error:
        case Problem():
            return error
        case RequestValidationError():
            return unprocessable(error.errors())
        case HTTPException():
            title = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
            return Problem(error.status_code, f"{request.method} {request.url.path}: {error.detail}", title=title)
        case psycopg.OperationalError():
            log.error("the database does not answer: %s", error)
            return Problem(503, "the service's database does not answer; try again")
        case psycopg.DataError():
            return Problem(422, f"the database cannot store a text: {error}")
    for kind, status in _STATUSES.items():
        if isinstance(error, kind):
            return Problem(status, str(error))
    return Problem(500, f"unexpected failure of the service: {error!r}")


def install(app: FastAPI) -> None:
    """Make `app` answer every error with a problem."""

    def answer(request: Request, error: Exception) -> JSONResponse:
        problem = problem_of(request, error)
        content = {
            "status": problem.status,
            "type": f"{_TYPES}#{problem.title}",
            "title": problem.title,
            "detail": problem.detail,
            "data": problem.data,
        }
        return JSONResponse(content, problem.status, media_type="application/problem+json")

    # Listed one by one, since Starlette logs a stack trace for errors that only the handler of Exception handles.
    own = (Problem, RequestValidationError, HTTPException, psycopg.OperationalError, psycopg.DataError)
    for kind in (*own, *_STATUSES, Exception):
        app.add_exception_handler(kind, answer)
