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


def unprocessable(errors: Sequence[Any]) -> Problem:
    """422: Pydantic's errors, field by field."""
    fields = [{"field": ".".join(map(str, e["loc"])), "message": e["msg"]} for e in errors]
    detail = "; ".join(f"{f['field']}: {f['message']}" for f in fields)
    return Problem(422, "unprocessable-entity", detail, {"errors": fields})


def install(app: FastAPI) -> None:
    """Make every error of `app` answer as a problem."""

    @app.exception_handler(Problem)
    def _problem(_: Request, problem: Problem) -> JSONResponse:
        content = {
            "status": problem.status,
            "type": f"{_TYPES}#{problem.title}",
            "title": problem.title,
            "detail": problem.detail,
            "data": problem.data,
        }
        return JSONResponse(content, problem.status, media_type="application/problem+json")

    @app.exception_handler(RequestValidationError)
    def _validation(request: Request, error: RequestValidationError) -> JSONResponse:
        return _problem(request, unprocessable(error.errors()))

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> JSONResponse:
        title = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
        detail = f"{request.method} {request.url.path}: {error.detail}"
        return _problem(request, Problem(error.status_code, title, detail))

    @app.exception_handler(psycopg.OperationalError)
    def _database(request: Request, error: psycopg.OperationalError) -> JSONResponse:
        log.error("the database does not answer: %s", error)
        detail = "the service's database does not answer; try again"
        return _problem(request, Problem(503, "service-unavailable", detail))

    @app.exception_handler(Exception)
    def _unexpected(request: Request, error: Exception) -> JSONResponse:
        return _problem(request, Problem(500, "unexpected-problem", f"unexpected failure of the service: {error!r}"))
