"""Errors in the shape that Airbyte's API answers with (RFC 9457)."""

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from airbyte_local.configuration import Fault
from airbyte_local.jobs import OtherServiceError
from airbyte_local.store import SealedError

log = logging.getLogger(__name__)

# Airbyte's names of its problem types; identifiers, not pages to open.
_TYPES = "https://reference.airbyte.com/reference/errors"


class Problem(Exception):  # noqa: N818 - the word of RFC 9457
    """An answer other than success."""

    def __init__(self, status: int, title: str, detail: str, data: dict[str, Any] | None = None):
        """Describe it.

        Args:
            status: of HTTP.
            title: Airbyte's name of the problem.
            detail: what is wrong and what to do.
            data: facts for programs.
        """
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.data = data or {"message": detail}


def unauthorized(detail: str) -> Problem:
    """401: no valid credentials or token."""
    return Problem(401, "invalid-api-key", detail)


def not_found(detail: str) -> Problem:
    """404: no such thing."""
    return Problem(404, "resource-not-found", detail)


def conflict(detail: str) -> Problem:
    """409: not in this state."""
    return Problem(409, "state-conflict", detail)


def forbidden(detail: str) -> Problem:
    """403: not from there."""
    return Problem(403, "forbidden", detail)


def connector_failed(detail: str) -> Problem:
    """502: the connector that was asked did not answer as it should."""
    return Problem(502, "connector-failed", detail)


def invalid(faults: Sequence[Fault]) -> Problem:
    """422: a request that its types allow says what cannot be, field by field."""
    detail = "; ".join(f"{each.field}: {each.message}" for each in faults)
    return Problem(422, "unprocessable-entity", detail, {"errors": [each._asdict() for each in faults]})


def unprocessable(errors: Sequence[Any]) -> Problem:
    """422: Pydantic's errors, field by field."""
    return invalid([Fault(".".join(map(str, each["loc"])), each["msg"]) for each in errors])


def problem_of(request: Request, error: Exception) -> Problem:
    """What an error is to a client."""
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
            return Problem(422, "unprocessable-entity", f"a text cannot be stored: {error}")
        case SealedError():
            return conflict(str(error))
        case OtherServiceError():
            return Problem(503, "service-unavailable", str(error))
    return Problem(500, "unexpected-problem", f"unexpected failure of the service: {error!r}")


def install(app: FastAPI) -> None:
    """Make every error of `app` answer as a problem."""

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


# What Starlette handles as an Exception alone, it logs with a stack.
_KINDS = (
    Problem,
    RequestValidationError,
    HTTPException,
    psycopg.OperationalError,
    psycopg.DataError,
    SealedError,
    OtherServiceError,
    Exception,
)
