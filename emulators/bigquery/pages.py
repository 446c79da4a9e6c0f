"""The HTTP application: tokens for clients, jobs and tables before bqemulator's own pages, one request at a time."""

import time
from typing import Annotated, Any

import jwt
from bqemulator import server
from bqemulator.api.dependencies import get_context
from bqemulator.api.routes import tables as pages
from bqemulator.catalog.models import TableMeta
from fastapi import APIRouter, Depends, FastAPI, Request, Response

from emulators.bigquery import jobs, tables
from emulators.bigquery.names import Name, get
from emulators.bigquery.turns import Turns

_TABLE = "/bigquery/v2/projects/{project_id}/datasets/{dataset_id}/tables/{table_id}"
Context = Annotated[Any, Depends(get_context)]
router = APIRouter()


@router.post("/token")
async def token() -> dict[str, Any]:
    """Answer of an OAuth server: any client gets a token, and every token is accepted."""
    claims = {"iss": "emulator", "aud": "emulator", "exp": int(time.time()) + 3600}
    id_token = jwt.encode(claims, "nobody checks the signature of this stand-in", algorithm="HS256")
    return {"access_token": "emulator", "token_type": "Bearer", "expires_in": 3600, "id_token": id_token}


@router.get(_TABLE)
async def get_table(project_id: str, dataset_id: str, table_id: str, ctx: Context) -> dict[str, Any]:
    """A table, with the rows that it has now; bqemulator does not count them after DML."""
    answer = pages.get_table(project_id, dataset_id, table_id, ctx)
    meta = ctx.catalog.get_table(project_id, dataset_id, table_id)
    if meta is not None and meta.table_type in ("TABLE", "CLONE"):
        answer["numRows"] = str(tables.count(ctx, Name(project_id, dataset_id, table_id)))
    return answer


@router.patch(_TABLE)
@router.put(_TABLE)
async def update_table(
    project_id: str, dataset_id: str, table_id: str, request: Request, ctx: Context
) -> dict[str, Any]:
    """Change a table; columns that are new are added, which bqemulator only notes."""
    name = Name(project_id, dataset_id, table_id)
    body = await request.json()
    fields = (body.get("schema") or {}).get("fields") or []
    before: TableMeta = get(ctx, name)
    have = {field.name.lower() for field in before.schema_.fields}
    if before.table_type == "TABLE":
        tables.add_columns(ctx, name, [field for field in fields if field["name"].lower() not in have])
    return await pages.patch_table(project_id, dataset_id, table_id, request, ctx)


@router.delete(_TABLE, status_code=204)
async def delete_table(project_id: str, dataset_id: str, table_id: str, ctx: Context) -> Response:
    """Delete a table or view; bqemulator cannot delete a view."""
    name = Name(project_id, dataset_id, table_id)
    if get(ctx, name).table_type == "VIEW":
        ctx.engine.execute(f"drop view if exists {name.quoted}")
    return await pages.delete_table(project_id, dataset_id, table_id, ctx)


def install() -> None:
    """Put these pages in front of bqemulator's."""
    create, columns = server.create_app, pages.bq_schema_to_duckdb_columns

    def with_constraints(fields: tables.Fields) -> list[tuple[str, str]]:
        required = [" not null" if field.get("mode", "").upper() == "REQUIRED" else "" for field in fields]
        return [(name, kind + more) for (name, kind), more in zip(columns(fields), required, strict=True)]

    def create_app(context: Any) -> FastAPI:
        application = create(context)
        known = list(application.router.routes)
        application.router.routes.clear()
        application.include_router(router)
        application.include_router(jobs.router)
        application.router.routes += known
        application.add_middleware(Turns, context=context)
        return application

    server.create_app = create_app
    # Tables that the API makes have their required columns.
    pages.bq_schema_to_duckdb_columns = with_constraints
