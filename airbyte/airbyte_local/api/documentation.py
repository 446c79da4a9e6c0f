"""The OpenAPI description, and the page at /docs that shows it without loading anything from other servers."""

import base64
import hashlib
import re
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.security import HTTPBearer
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="accessToken",
    description="The access_token that POST /applications/token returns for the client id and secret.",
)
_FILES = "/docs/files"
_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def application(lifespan: Any) -> FastAPI:
    """An application whose only routes are those of its description."""
    app = _Described(
        title="Airbyte, local",
        description="The part of Airbyte's public API that a stack on one machine needs.",
        lifespan=lifespan,
        # FastAPI's own pages load scripts from other servers.
        docs_url=None,
        redoc_url=None,
        # Like Airbyte's, such as listJobs.
        generate_unique_id_function=lambda route: to_camel(route.name),
    )
    app.mount(_FILES, StaticFiles(directory=str(files("fastapi_swagger") / "resources")))
    page = _page(app)
    app.add_api_route("/docs", lambda: page, include_in_schema=False)
    return app


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """The OpenAPI description of a body that may be a form or JSON."""
    kinds = ("application/json", "application/x-www-form-urlencoded")
    return {
        "requestBody": {"required": True, "content": {kind: {"schema": model.model_json_schema()} for kind in kinds}}
    }


class _Described(FastAPI):
    def openapi(self) -> dict[str, Any]:
        # Airbyte's tags: each operation has the tag of its collection.
        schema = super().openapi()
        for path, operations in schema["paths"].items():
            for operation in operations.values():
                operation["tags"] = [path.split("/v1/")[1].split("/")[0].title()]
        return schema


def _page(app: FastAPI) -> Response:
    page = get_swagger_ui_html(
        openapi_url=app.openapi_url or "",
        title=f"{app.title}: API",
        swagger_js_url=f"{_FILES}/swagger-ui-bundle.js",
        swagger_css_url=f"{_FILES}/swagger-ui.css",
        swagger_favicon_url=f"{_FILES}/favicon-32x32.png",
        # Do not ask another server to validate the description.
        swagger_ui_parameters={"validatorUrl": None},
    )
    (script,) = _INLINE.findall(bytes(page.body).decode())
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self';"
        " img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )
    page.headers["X-Content-Type-Options"] = "nosniff"
    return page
