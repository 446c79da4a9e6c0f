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


class Problem(Exception):  # noqa: N818 - the name in RFC 9457
    """An error response."""

    def __init__(self, status: int, title: str, detail: str, data: dict[str, Any] | None = None):
        """Describe the problem."""
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.data = data or {"message": detail}


def unauthorized(detail: str) -> Problem:
    """401: no valid credentials or token."""
    return Problem(401, "invalid-api-key", detail)


def not_found(detail: str) -> Problem:
    """404: it does not exist."""
    return Problem(404, "resource-not-found", detail)


def missing(kind: str, thing_id: uuid.UUID | int) -> Problem:
    """404: nothing of this kind has this id."""
    return not_found(f"no {kind} has the id {thing_id}; GET …/{kind}s lists them")


def require(thing: T | None, kind: str, thing_id: uuid.UUID | int) -> T:
    """Return a thing that was looked up by its id.

    Raises:
        Problem: it is None.
    """
    if thing is None:
        raise missing(kind, thing_id)
    return thing


def conflict(detail: str) -> Problem:
    """409: not possible in the current state."""
    return Problem(409, "state-conflict", detail)


def forbidden(detail: str) -> Problem:
    """403: not allowed from this origin."""
    return Problem(403, "forbidden", detail)


def invalid(faults: Sequence[Fault]) -> Problem:
    """422: values that are not allowed, field by field."""
    detail = "; ".join(f"{each.field}: {each.message}" for each in faults)
    return Problem(422, "unprocessable-entity", detail, {"errors": [each._asdict() for each in faults]})


def unprocessable(errors: Sequence[Any]) -> Problem:
    """422: validation errors of Pydantic, field by field."""
    return invalid([Fault(".".join(map(str, each["loc"])), each["msg"]) for each in errors])


def problem_of(request: Request, error: Exception) -> Problem:
    """The response to an error."""
    match error:
        case Problem():
            return error
        case RequestValidationError():
            return unprocessable(error.errors())
        case HTTPException():
            title = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
            return Problem(error.status_code, title, f"{request.method} {request.url.path}: {error.detail}")
        case psycopg.OperationalError():
            log.error("the database does not answer: %s", error)
            return Problem(503, "service-unavailable", "the service's database does not answer; try again")
        case psycopg.DataError():
            return Problem(422, "unprocessable-entity", f"the database cannot store a text: {error}")
        case SealedError() | InUseError():
            return conflict(str(error))
        case ConnectorError() | ConnectorInstallError() | RegistryError():
            return Problem(502, "connector-failed", str(error))
        case OtherServiceError():
            return Problem(503, "service-unavailable", str(error))
    return Problem(500, "unexpected-problem", f"unexpected failure of the service: {error!r}")


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

    for kind in _KINDS:
        app.add_exception_handler(kind, answer)


# Listed one by one, since Starlette logs a stack trace for errors that only the handler of Exception handles.
_KINDS = (
    Problem,
    RequestValidationError,
    HTTPException,
    psycopg.OperationalError,
    psycopg.DataError,
    SealedError,
    InUseError,
    ConnectorError,
    ConnectorInstallError,
    RegistryError,
    OtherServiceError,
    Exception,
)
