"""Routes for workspaces, sources and destinations; Airbyte calls sources and destinations actors."""

import uuid
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from functools import partial
from typing import Any

import psycopg
from fastapi import APIRouter

from airbyte_local.api import problems
from airbyte_local.api.bodies import ActorBody, ActorCreateBody, ActorPatchBody, WorkspaceBody
from airbyte_local.api.pages import Paging
from airbyte_local.api.parameters import LENIENT, Ids, IncludeDeleted, Prefer
from airbyte_local.configuration import Fault, faults, hide, keep_hidden, merged
from airbyte_local.connectors.manager import ConnectorManager
from airbyte_local.connectors.registry import RegistryError
from airbyte_local.destinations import config_models
from airbyte_local.destinations.contract import DestinationError, DestinationUnavailableError
from airbyte_local.store import Actor, Kind, Store, Workspace
from airbyte_local.sync.runner import Runner


def router(store: Store, connectors: ConnectorManager, runner: Runner) -> APIRouter:
    """The routes."""
    routes = APIRouter()
    _add_workspaces(routes, store)
    _add_actors(routes, "source", store, connectors, connectors.check)
    _add_actors(routes, "destination", store, connectors, partial(_check_destination, runner))
    return routes


def _add_workspaces(routes: APIRouter, store: Store) -> None:
    @routes.get("/workspaces")
    def list_workspaces(
        paging: Paging, workspace_ids: Ids = None, include_deleted: IncludeDeleted = False
    ) -> dict[str, Any]:
        return paging.of(_workspace, store.workspaces, workspace_ids or ())

    @routes.post("/workspaces")
    def create_workspace(body: WorkspaceBody) -> dict[str, Any]:
        return _workspace(store.create_workspace(body.name))

    @routes.get("/workspaces/{workspace_id}")
    def get_workspace(workspace_id: uuid.UUID) -> dict[str, Any]:
        return _workspace(problems.require(store.workspace(workspace_id), "workspace", workspace_id))

    @routes.patch("/workspaces/{workspace_id}")
    def rename_workspace(workspace_id: uuid.UUID, body: WorkspaceBody) -> dict[str, Any]:
        return _workspace(problems.require(store.rename_workspace(workspace_id, body.name), "workspace", workspace_id))

    @routes.delete("/workspaces/{workspace_id}", status_code=204)
    def delete_workspace(workspace_id: uuid.UUID) -> None:
        problems.require(store.workspace(workspace_id), "workspace", workspace_id)
        store.delete_workspace(workspace_id)


def _add_actors(
    routes: APIRouter,
    kind: Kind,
    store: Store,
    connectors: ConnectorManager,
    check: Callable[[dict[str, Any]], str | None],
) -> None:
    def checked(whole: dict[str, Any], prefer: str) -> tuple[str, dict[str, Any]]:
        """Name of the connector, and the configuration without secrets."""
        wrong, schema = _inspect(kind, whole, connectors)
        if wrong:
            raise problems.invalid(wrong)
        if LENIENT not in prefer and (why := check(whole)):
            raise problems.invalid([Fault("configuration", f"the check failed: {why}")])
        return whole[f"{kind}Type"], hide(whole, schema)

    @routes.get(f"/{kind}s", name=f"list_{kind}s")
    def list_actors(
        paging: Paging, workspace_ids: Ids = None, include_deleted: IncludeDeleted = False
    ) -> dict[str, Any]:
        return paging.of(_actor, store.actors, kind, workspace_ids or ())

    @routes.post(f"/{kind}s", name=f"create_{kind}")
    def create_actor(body: ActorCreateBody, prefer: Prefer = "") -> dict[str, Any]:
        problems.require(store.workspace(body.workspace_id), "workspace", body.workspace_id)
        type_, shown = checked(body.configuration, prefer)
        try:
            created = store.create_actor(kind, body.workspace_id, body.name, type_, shown, body.configuration)
        except psycopg.errors.ForeignKeyViolation:  # it has just been deleted
            created = None
        return _actor(problems.require(created, "workspace", body.workspace_id))

    @routes.get(f"/{kind}s/{{actor_id}}", name=f"get_{kind}")
    def get_actor(actor_id: uuid.UUID) -> dict[str, Any]:
        return _actor(problems.require(store.actor(kind, actor_id), kind, actor_id))

    @routes.put(f"/{kind}s/{{actor_id}}", name=f"put_{kind}")
    def put_actor(actor_id: uuid.UUID, body: ActorBody, prefer: Prefer = "") -> dict[str, Any]:
        old = problems.require(store.actor(kind, actor_id), kind, actor_id)
        has_hidden = keep_hidden(body.configuration, None) != body.configuration
        whole = keep_hidden(body.configuration, store.whole_configuration(old)) if has_hidden else body.configuration
        return change(old, body.name, whole, prefer)

    @routes.patch(f"/{kind}s/{{actor_id}}", name=f"patch_{kind}")
    def patch_actor(actor_id: uuid.UUID, body: ActorPatchBody, prefer: Prefer = "") -> dict[str, Any]:
        old = problems.require(store.actor(kind, actor_id), kind, actor_id)
        whole = store.whole_configuration(old)
        if body.configuration is not None:
            whole = keep_hidden(merged(whole, body.configuration), whole)
        return change(old, body.name or old.name, whole, prefer)

    def change(old: Actor, name: str, whole: dict[str, Any], prefer: str) -> dict[str, Any]:
        type_, shown = checked(whole, prefer)
        return _actor(problems.require(store.change_actor(old, name, type_, shown, whole), kind, old.actor_id))

    @routes.delete(f"/{kind}s/{{actor_id}}", name=f"delete_{kind}", status_code=204)
    def delete_actor(actor_id: uuid.UUID) -> None:
        store.delete_actor(problems.require(store.actor(kind, actor_id), kind, actor_id))


def _inspect(kind: Kind, whole: dict[str, Any], connectors: ConnectorManager) -> tuple[list[Fault], dict[str, Any]]:
    """Errors of a configuration, and the schema that it must satisfy."""
    if kind == "destination":
        wrong = config_models.faults(whole)
        return wrong, {} if wrong else config_models.schema(whole["destinationType"])
    source_type = whole.get("sourceType")
    if not isinstance(source_type, str):
        return [Fault("configuration.sourceType", "Field required: the name of a connector")], {}
    try:
        schema = connectors.schema(source_type)
    except RegistryError as error:
        return [Fault("configuration.sourceType", str(error))], {}
    return faults({key: value for key, value in whole.items() if key != "sourceType"}, schema), schema


def _check_destination(runner: Runner, whole: dict[str, Any]) -> str | None:
    try:
        destination = runner.open_destination(whole)
    except (psycopg.Error, DestinationError, DestinationUnavailableError) as error:
        return " ".join(str(error).split())
    with closing(destination):
        return destination.check()


def _workspace(workspace: Workspace) -> dict[str, Any]:
    return {
        "workspaceId": str(workspace.workspace_id),
        "name": workspace.name,
        "dataResidency": "auto",
        "notifications": {},
    }


def _actor(actor: Actor) -> dict[str, Any]:
    return {
        f"{actor.kind}Id": str(actor.actor_id),
        "name": actor.name,
        f"{actor.kind}Type": actor.type,
        "definitionId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{actor.kind}/{actor.type}")),
        "workspaceId": str(actor.workspace_id),
        "configuration": actor.configuration,
        "createdAt": seconds(actor.created_at),
    }


def seconds(moment: datetime) -> int:
    """Seconds since 1970."""
    return int(moment.timestamp())
