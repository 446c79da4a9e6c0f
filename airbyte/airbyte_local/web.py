"""The web pages of the service: connections, syncs, states and logs, with buttons to start and cancel syncs."""

import logging
import os
import uuid
from collections.abc import Callable, Coroutine
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from jinja2 import Environment, PackageLoader, StrictUndefined

import exact_json
from airbyte_local.api import jobs as job_routes
from airbyte_local.api import problems
from airbyte_local.api.pages import Offset
from airbyte_local.api.problems import Problem
from airbyte_local.destinations.contract import OUR_NAMESPACE, State
from airbyte_local.jobs import Job, JobStore
from airbyte_local.settings import Airbyte
from airbyte_local.store import Actor, Connection, Store
from airbyte_local.sync.runner import Runner

log = logging.getLogger(__name__)

# Number of connections or jobs on a page.
_PAGE = 20
# Bytes that are shown of the end of a log.
_LOG_BYTES = 1 << 20
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src data:; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="Airbyte, local", charset="UTF-8"'}


@dataclass(frozen=True)
class _Overview:
    connection: Connection
    source: Actor
    destination: Actor
    last: Job | None
    succeeded: Job | None


def router(settings: Airbyte, store: Store, jobs: JobStore, runner: Runner) -> APIRouter:
    """The routes; all except the style sheet require the client id and secret."""
    routes = APIRouter(route_class=_Page, include_in_schema=False, dependencies=[Depends(_login(settings))])
    open_routes = APIRouter(route_class=_Page, include_in_schema=False)
    own_site = [Depends(_require_own_site)]

    def overview_of(connections: list[Connection]) -> list[_Overview]:
        actors = {each.actor_id: each for each in [*store.actors("source"), *store.actors("destination")]}
        ids = [each.connection_id for each in connections]
        last, succeeded = jobs.latest(ids), jobs.latest(ids, status="succeeded")
        return [
            _Overview(
                each,
                actors[each.source_id],
                actors[each.destination_id],
                runner.live(last[each.connection_id]) if each.connection_id in last else None,
                succeeded.get(each.connection_id),
            )
            for each in connections
        ]

    @open_routes.get("/style.css")
    def style() -> Response:
        return Response(files("airbyte_local").joinpath("templates", "style.css").read_bytes(), media_type="text/css")

    @routes.get("/")
    def overview(offset: Offset = 0) -> Response:
        found = store.connections(limit=_PAGE + 1, offset=offset)
        rows = overview_of(found[:_PAGE])
        is_active = any(each.last and each.last.is_active for each in rows)
        return _html("overview.j2", rows=rows, refresh=is_active, pages=_pager(found, offset))

    @routes.get("/connections/{connection_id}")
    def connection(connection_id: uuid.UUID, offset: Offset = 0) -> Response:
        (row,) = overview_of([problems.require(store.connection(connection_id), "connection", connection_id)])
        found = jobs.recent(connection_id, limit=_PAGE + 1, offset=offset)
        shown = [runner.live(each) for each in found[:_PAGE]]
        attempts = [runner.live(each) for each in jobs.attempts([each.job_id for each in shown])]
        states, state_fault = _states(runner, store, row.destination, connection_id)
        return _html(
            "connection.j2",
            row=row,
            states=states,
            state_fault=state_fault,
            jobs=[(job, [each for each in attempts if each.job_id == job.job_id]) for job in shown],
            refresh=bool(row.last and row.last.is_active),
            pages=_pager(found, offset),
        )

    @routes.post("/connections/{connection_id}/sync", dependencies=own_site)
    def sync(connection_id: uuid.UUID, request: Request) -> Response:
        job_routes.submit(store, runner, connection_id, "sync")
        return _back(request)

    @routes.post("/jobs/{job_id}/cancel", dependencies=own_site)
    def cancel(job_id: job_routes.JobId, request: Request) -> Response:
        job_routes.found(jobs, job_id)
        runner.cancel(job_id)
        return _back(request)

    @routes.get("/jobs/{job_id}/log")
    def log_of(job_id: job_routes.JobId) -> Response:
        try:
            return PlainTextResponse(_end_of_log(runner, job_id))
        except FileNotFoundError:
            raise Problem(404, f"job {job_id} has no log; it may have been deleted") from None

    open_routes.include_router(routes)
    return open_routes


class _Page(APIRoute):
    """Answers with HTML, also for errors, and with headers that protect against other sites."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                response = await handle(request)
            except Exception as error:
                problem = problems.problem_of(request, error)
                if problem.status == 500:
                    log.exception("%s %s", request.method, request.url.path)
                response = _html("problem.j2", problem.status, problem=problem, refresh=False)
                if problem.status == 401:
                    response.headers.update(_CHALLENGE)
            response.headers.update(_HEADERS)
            return response

        return answer


def _login(settings: Airbyte) -> Callable[..., None]:
    def login(given: Annotated[HTTPBasicCredentials | None, Depends(HTTPBasic(auto_error=False))]) -> None:
        if given is None or not settings.is_client(given.username, given.password):
            raise Problem(
                401, "log in with the client id of the service as the user name and its client secret as the password"
            )

    return login


def _require_own_site(request: Request) -> None:
    """Refuse posts from other sites, since a browser would send the login with them."""
    origin = request.headers.get("origin") or request.headers.get("referer", "")
    if _host(origin) != request.headers.get("host"):
        raise Problem(
            403, f"only pages of this site may send this request, but it came from {origin or 'an unknown origin'}"
        )


def _back(request: Request) -> Response:
    came_from = request.headers.get("referer", "")
    is_ours = _host(came_from) == request.headers.get("host")
    return RedirectResponse(came_from if is_ours else "/", status_code=303)


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]


def _pager(found: list[Any], offset: int) -> dict[str, int | None]:
    """Offsets of the previous and the next page; `found` has one more item than fits if there is a next page."""
    return {
        "before": max(offset - _PAGE, 0) if offset else None,
        "after": offset + _PAGE if len(found) > _PAGE else None,
    }


def _states(runner: Runner, store: Store, actor: Actor, connection_id: uuid.UUID) -> tuple[list[State], str | None]:
    """The states of a connection, or the reason why they cannot be read."""
    try:
        with closing(runner.open_destination(store.whole_configuration(actor))) as destination:
            found = destination.peek(connection_id)
            return [state for state in found if state.namespace != OUR_NAMESPACE], None
    except Exception as error:  # each database client has its own errors
        return [], " ".join(str(error).split()) or repr(error)


def _end_of_log(runner: Runner, job_id: int) -> bytes:
    path = runner.log_file(job_id)
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - _LOG_BYTES, 0))
        if size <= _LOG_BYTES:
            return file.read(_LOG_BYTES)
        file.readline()  # an incomplete line
        return f"… for earlier lines see {path}\n".encode() + file.read(_LOG_BYTES)


def _duration(duration: timedelta) -> str:
    seconds = duration.total_seconds()
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def _rate(job: Job) -> str:
    seconds = job.duration.total_seconds()
    return f"{job.rows_synced / seconds:,.0f}/s" if seconds and job.rows_synced else ""


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _pretty(message: bytes) -> str:
    return exact_json.dumps(exact_json.loads(message), orjson.OPT_INDENT_2).decode()


def _html(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    return HTMLResponse(_TEMPLATES.get_template(template).render(values), status)


_TEMPLATES = Environment(
    loader=PackageLoader("airbyte_local"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)
_TEMPLATES.filters |= {"duration": _duration, "rate": _rate, "utc": _utc, "pretty": _pretty, "count": "{:,}".format}
