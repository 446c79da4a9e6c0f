"""The docs server: a home page with all web pages of the stack and their state, data docs, dbt docs, pages of runs.

It reads a few folders under `var` and asks the other services for their health. It holds no secret and writes nothing.
"""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import uvicorn
from jinja2 import Environment, PackageLoader
from pydantic import BaseModel, ConfigDict, Field, HttpUrl
from pydantic_settings import BaseSettings, SettingsConfigDict
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from stack.home.folders import FOLDERS

HERE = Path(__file__).parent
# Seconds that a service has to answer whether it is healthy.
PATIENCE = 2
# By the first part of the path; dbt's page is made with AngularJS, which runs what it finds in its own page.
POLICIES = {
    "": "script-src 'self'; style-src 'self'; connect-src 'self'",
    "data-docs": "style-src 'self' 'unsafe-inline'",
    "runs": "style-src 'unsafe-inline'",
    "dbt-docs": "script-src 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; font-src data:",
}

# The words for each state.
LABELS = {"up": "✓ Up", "starting": "… Not ready", "down": "✗ Down", "empty": "None yet"}


class Service(BaseModel):
    """Another UI, at `url` for a browser; the answer of `health` says whether it is up, and Airflow's parts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    url: HttpUrl
    health: HttpUrl
    purpose: str = ""


@dataclass(frozen=True)
class Docs:
    """Pages that this server serves from the folder FOLDERS[`path`]; `maker` writes them."""

    path: str
    name: str
    purpose: str
    maker: str

    def folder(self, var: Path) -> Path:
        """Where they are."""
        return var / FOLDERS[self.path]

    def pages(self, var: Path) -> list[str]:
        """Paths of the pages, newest first; of a folder in it, such as an application's, the index."""
        folder = self.folder(var)
        found = [*folder.glob("*.html"), *folder.glob("*/index.html")]
        newest_first = sorted(found, key=lambda page: page.stat().st_mtime, reverse=True)
        return [page.relative_to(folder).as_posix() for page in newest_first]


DOCS = (
    Docs("data-docs", "Data docs", "the checks of the data and their results", "The checkpoints of dataops"),
    Docs("dbt-docs", "dbt docs", "tables, columns, tests and their lineage", "The dbt build of dataops"),
    Docs("runs", "Runs", "what each run did, from source to champion", "`make run` or `make explain`"),
)


class Home(BaseModel):
    """Where this service listens, and what its page links beside its own docs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8082, ge=1, le=65535)
    services: tuple[Service, ...] = ()


class Settings(BaseSettings):
    """MLOPS_VAR, and MLOPS_HOME__HOST, __PORT and __SERVICES, a JSON list."""

    model_config = SettingsConfigDict(env_prefix="MLOPS_", env_nested_delimiter="__", extra="ignore", frozen=True)

    var: Path = HERE.parents[1] / "var"
    home: Home = Home()


class Pages(StaticFiles):
    """The files of docs; without an index of their own, a list of them, or what writes them if there are none."""

    def __init__(self, docs: Docs, var: Path):
        super().__init__(directory=docs.folder(var), html=True, check_dir=False)
        self._docs, self._var = docs, var

    async def check_config(self) -> None:
        """No folder yet is no fault."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file; never one that a link leads out of the folder to."""
        try:
            return await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code == 404 and path == ".":
                pages = self._docs.pages(self._var)
                if len(pages) == 1 and "/" in pages[0]:
                    return RedirectResponse(pages[0])
                return _html("list", docs=self._docs, pages=pages)
            raise


def app(settings: Settings) -> Starlette:
    """The service."""
    services = settings.home.services
    urls = [urlsplit(str(service.url)) for service in services]
    origins = " ".join(sorted({f"{url.scheme}://{url.netloc}" for url in urls}))
    policy = f"default-src 'none'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'self' {origins}"

    @asynccontextmanager
    async def client(app: Starlette) -> AsyncGenerator[None]:
        async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as app.state.client:
            yield

    async def states(request: Request) -> list[dict[str, Any]]:
        asked = await asyncio.gather(*(_state(request.app.state.client, service) for service in services))
        return [*asked, *(_docs_state(settings.var, docs) for docs in DOCS)]

    async def home(request: Request) -> Response:
        return _html("home", places=await states(request))

    async def state(request: Request) -> Response:
        return JSONResponse(await states(request))

    def health(_: Request) -> Response:
        try:
            for folder in (settings.var, *(docs.folder(settings.var) for docs in DOCS)):
                if folder == settings.var or folder.exists():
                    os.listdir(folder)
        except OSError as error:
            return PlainTextResponse(f"{error.filename} cannot be read: {error.strerror}", 503)
        return PlainTextResponse("ok")

    async def refuse(_: Request, error: Exception) -> Response:
        return _html("problem", getattr(error, "status_code", 500))

    async def with_headers(request: Request, call_next: RequestResponseEndpoint) -> Response:
        answer = await call_next(request)
        first = request.scope["path"].split("/")[1]
        answer.headers["Content-Security-Policy"] = f"{policy}; {POLICIES.get(first, POLICIES[''])}"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        answer.headers["Referrer-Policy"] = "same-origin"
        # Docs are replaced; a browser asks whether its copy is still the one.
        answer.headers["Cache-Control"] = "no-cache"
        return answer

    routes: list[BaseRoute] = [
        Route("/", home),
        Route("/state", state),
        Route("/health", health),
        *(Mount(f"/{docs.path}", Pages(docs, settings.var)) for docs in DOCS),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=with_headers)],
        exception_handlers={404: refuse, 405: refuse},
        lifespan=client,
    )


async def _state(client: httpx.AsyncClient, service: Service) -> dict[str, Any]:
    """What the page tells of a service: `state` is `up`, `starting` (it answers, but is not ready) or `down`."""
    parts: dict[str, str] = {}
    try:
        answer = await client.get(str(service.health))
        parts = _parts(answer)
        ready = answer.is_success and all(part == "healthy" for part in parts.values())
        state = "up" if ready else "starting"
    except httpx.HTTPError:
        state = "down"
    known = service.model_dump(mode="json", include={"name", "url", "purpose"})
    return known | {"state": state, "label": LABELS[state], "parts": parts}


def _parts(answer: httpx.Response) -> dict[str, str]:
    """The status of each part that Airflow tells of; others tell of none."""
    try:
        content = answer.json()
    except ValueError:
        return {}
    parts = content.items() if isinstance(content, dict) else ()
    return {
        name.replace("_", " "): str(part["status"] or "not seen yet")
        for name, part in parts
        if isinstance(part, dict) and "status" in part
    }


def _docs_state(var: Path, docs: Docs) -> dict[str, Any]:
    state = "up" if docs.pages(var) else "empty"
    known = {"name": docs.name, "url": f"/{docs.path}/", "purpose": docs.purpose}
    return known | {"state": state, "label": LABELS[state], "parts": {}}


_TEMPLATES = Environment(loader=PackageLoader("stack.home", ""), autoescape=True, trim_blocks=True, lstrip_blocks=True)


def _html(part: str, status: int = 200, **values: Any) -> HTMLResponse:
    return HTMLResponse(_TEMPLATES.get_template("home.j2").render(part=part, **values), status)


def main() -> None:
    """Serve until it is told to end."""
    settings = Settings()
    host, port = settings.home.host, settings.home.port
    uvicorn.run(app(settings), host=host, port=port, log_level="warning", server_header=False)
