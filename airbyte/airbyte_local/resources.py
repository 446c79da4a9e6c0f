"""The part of the API that manages workspaces, sources, destinations, connections and their streams."""

import json
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

import psycopg
from fastapi import APIRouter, Header, Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from airbyte_declaration.streams import ConnectionOptions, StreamConfiguration, StreamConfigurations
from airbyte_local import destinations, problems
from airbyte_local.configuration import Fault, faults, hide, keep_hidden, merged
from airbyte_local.connector import ConnectorError
from airbyte_local.connectors import Connectors
from airbyte_local.destination import DestinationError, DestinationUnavailableError
from airbyte_local.environments import ConnectorInstallError
from airbyte_local.jobs import JobStore
from airbyte_local.pages import Limit, Offset, page
from airbyte_local.registry import RegistryError
from airbyte_local.store import Actor, Connection, InUseError, Kind, Store, Workspace

# RFC 7240: what is asked is taken as it is, without a check.
_LENIENT = "handling=lenient"
_ACTIVE = ("running", "incomplete")
Text = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00]*$")]
Ids = Annotated[list[uuid.UUID] | None, Query(alias="workspaceIds")]
Prefer = Annotated[str, Header()]


def _storable(value: dict[str, Any]) -> dict[str, Any]:
    """A JSON object that a database takes."""
    if "\\u0000" in json.dumps(value, allow_nan=False):
        raise ValueError("must have no NUL character")
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("must have no half of a surrogate pair") from None
    return value


Configuration = Annotated[
    dict[str, Any], Field(description="With sourceType or destinationType."), AfterValidator(_storable)
]


class _Body(BaseModel):
    """A request; fields of Airbyte's that mean nothing here are passed over, as Airbyte's clients send them."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class WorkspaceBody(_Body):
    """A workspace."""

    name: Text


class ActorBody(_Body):
    """A source or destination, whole."""

    name: Text
    configuration: Configuration


class ActorCreateBody(ActorBody):
    """A new source or destination."""

    workspace_id: uuid.UUID


class ActorPatchBody(_Body):
    """A change to a source or destination; the configuration is a JSON merge patch."""

    name: Text | None = None
    configuration: Configuration | None = None


class ConnectionPatchBody(_Body):
    """A change to a connection."""

    name: Text | None = None
    configurations: StreamConfigurations | None = None
    status: Literal["active", "inactive"] | None = None
    schedule: dict[str, Any] | None = None
    namespace_definition: Literal["destination", "source", "custom_format"] | None = None
    namespace_format: str | None = None
    prefix: str | None = None


class ConnectionCreateBody(ConnectionPatchBody):
    """A new connection; without configurations, all streams are read anew with each sync."""

    source_id: uuid.UUID
    destination_id: uuid.UUID


def router(store: Store, jobs: JobStore, connectors: Connectors) -> APIRouter:
    """The routes."""
    routes = APIRouter()
    _add_workspaces(routes, store)
    for kind in ("source", "destination"):
        _add_actors(routes, kind, store, connectors)
    _add_connections(routes, store, jobs, connectors)

    @routes.get("/streams")
    def get_stream_properties(
        source_id: Annotated[uuid.UUID, Query(alias="sourceId")],
        destination_id: Annotated[uuid.UUID | None, Query(alias="destinationId")] = None,
        ignore_cache: Annotated[bool, Query(alias="ignoreCache")] = False,
    ) -> list[dict[str, Any]]:
        source = _found(store.actor("source", source_id), "source", source_id)
        offered = _asked(lambda: connectors.streams(store.whole_configuration(source)))
        return [
            {
                "streamName": each.name,
                "streamnamespace": each.namespace or "",
                "syncModes": _modes(each),
                "defaultCursorField": each.default_cursor_field or [],
                "sourceDefinedCursorField": bool(each.source_defined_cursor),
                "sourceDefinedPrimaryKey": each.source_defined_primary_key or [],
                "propertyFields": [[name] for name in each.json_schema.get("properties", {})],
            }
            for each in offered
        ]

    return routes


def _add_workspaces(routes: APIRouter, store: Store) -> None:
    @routes.get("/workspaces")
    def list_workspaces(
        request: Request,
        workspace_ids: Ids = None,
        limit: Limit = 20,
        offset: Offset = 0,
    ) -> dict[str, Any]:
        found = store.workspaces(workspace_ids or (), limit=limit + 1, offset=offset)
        return page(request, list(map(_workspace, found)), limit, offset)

    @routes.post("/workspaces")
    def create_workspace(body: WorkspaceBody) -> dict[str, Any]:
        return _workspace(store.create_workspace(body.name))

    @routes.get("/workspaces/{workspace_id}")
    def get_workspace(workspace_id: uuid.UUID) -> dict[str, Any]:
        return _workspace(_found(store.workspace(workspace_id), "workspace", workspace_id))

    @routes.patch("/workspaces/{workspace_id}")
    def rename_workspace(workspace_id: uuid.UUID, body: WorkspaceBody) -> dict[str, Any]:
        return _workspace(_found(store.rename_workspace(workspace_id, body.name), "workspace", workspace_id))

    @routes.delete("/workspaces/{workspace_id}", status_code=204)
    def delete_workspace(workspace_id: uuid.UUID) -> None:
        _found(store.workspace(workspace_id), "workspace", workspace_id)
        _delete(lambda: store.delete_workspace(workspace_id))


def _add_actors(routes: APIRouter, kind: Kind, store: Store, connectors: Connectors) -> None:
    """The routes of sources or of destinations."""

    def checked(whole: dict[str, Any], prefer: str) -> tuple[str, dict[str, Any]]:
        """Name of the connector, and the configuration as it may be shown."""
        wrong, schema = _inspect(kind, whole, connectors)
        if wrong:
            raise problems.invalid(wrong)
        if _LENIENT not in prefer:
            why = _asked(lambda: connectors.check(whole) if kind == "source" else _check_destination(whole))
            if why:
                raise problems.invalid([Fault("configuration", f"the check failed: {why}")])
        return whole[f"{kind}Type"], hide(whole, schema)

    @routes.get(f"/{kind}s", name=f"list_{kind}s")
    def list_actors(
        request: Request,
        workspace_ids: Ids = None,
        limit: Limit = 20,
        offset: Offset = 0,
    ) -> dict[str, Any]:
        found = store.actors(kind, workspace_ids or (), limit=limit + 1, offset=offset)
        return page(request, list(map(_actor, found)), limit, offset)

    @routes.post(f"/{kind}s", name=f"create_{kind}")
    def create_actor(body: ActorCreateBody, prefer: Prefer = "") -> dict[str, Any]:
        _found(store.workspace(body.workspace_id), "workspace", body.workspace_id)
        type_, shown = checked(body.configuration, prefer)
        try:
            created = store.create_actor(kind, body.workspace_id, body.name, type_, shown, body.configuration)
        except psycopg.errors.ForeignKeyViolation:
            raise problems.not_found(f"no workspace has the id {body.workspace_id}") from None
        return _actor(created)

    @routes.get(f"/{kind}s/{{actor_id}}", name=f"get_{kind}")
    def get_actor(actor_id: uuid.UUID) -> dict[str, Any]:
        return _actor(_found(store.actor(kind, actor_id), kind, actor_id))

    @routes.put(f"/{kind}s/{{actor_id}}", name=f"put_{kind}")
    def put_actor(actor_id: uuid.UUID, body: ActorBody, prefer: Prefer = "") -> dict[str, Any]:
        old = _found(store.actor(kind, actor_id), kind, actor_id)
        has_hidden = keep_hidden(body.configuration, None) != body.configuration
        whole = keep_hidden(body.configuration, store.whole_configuration(old)) if has_hidden else body.configuration
        return change(old, body.name, whole, prefer)

    @routes.patch(f"/{kind}s/{{actor_id}}", name=f"patch_{kind}")
    def patch_actor(actor_id: uuid.UUID, body: ActorPatchBody, prefer: Prefer = "") -> dict[str, Any]:
        old = _found(store.actor(kind, actor_id), kind, actor_id)
        whole = store.whole_configuration(old)
        if body.configuration is not None:
            whole = keep_hidden(merged(whole, body.configuration), whole)
        return change(old, body.name or old.name, whole, prefer)

    def change(old: Actor, name: str, whole: dict[str, Any], prefer: str) -> dict[str, Any]:
        type_, shown = checked(whole, prefer)
        return _actor(_found(store.change_actor(old, name, type_, shown, whole), kind, old.actor_id))

    @routes.delete(f"/{kind}s/{{actor_id}}", name=f"delete_{kind}", status_code=204)
    def delete_actor(actor_id: uuid.UUID) -> None:
        actor = _found(store.actor(kind, actor_id), kind, actor_id)
        _delete(lambda: store.delete_actor(actor))


def _add_connections(routes: APIRouter, store: Store, jobs: JobStore, connectors: Connectors) -> None:
    def options(given: dict[str, Any]) -> ConnectionOptions:
        try:
            return ConnectionOptions.model_validate(given)
        except ValidationError as error:
            raise problems.unprocessable(error.errors()) from None

    def require_streams(source: Actor, wanted: list[StreamConfiguration], prefer: str) -> None:
        if _LENIENT in prefer:
            return
        offered, wrong = _asked(lambda: connectors.streams(store.whole_configuration(source))), []
        for number, each in enumerate(wanted):
            where, found = f"configurations.streams.{number}", [one for one in offered if one.name == each.name]
            if not found:
                names = ", ".join(one.name for one in offered)
                wrong.append(Fault(f"{where}.name", f"{source.name} offers no stream {each.name}, only {names}"))
            elif len(found) > 1:
                namespaces = ", ".join(one.namespace or "none" for one in found)
                remedy = "have it offer only one of them, such as by naming its schemas"
                fault = f"{source.name} offers {each.name} in the namespaces {namespaces}; {remedy}"
                wrong.append(Fault(f"{where}.name", fault))
            elif each.sync_mode not in _modes(found[0]):
                wrong.append(Fault(f"{where}.syncMode", f"must be one of {', '.join(_modes(found[0]))}"))
        if wrong:
            raise problems.invalid(wrong)

    @routes.get("/connections")
    def list_connections(
        request: Request,
        workspace_ids: Ids = None,
        limit: Limit = 20,
        offset: Offset = 0,
    ) -> dict[str, Any]:
        found = store.connections(workspace_ids or (), limit=limit + 1, offset=offset)
        return page(request, list(map(_connection, found)), limit, offset)

    @routes.post("/connections")
    def create_connection(body: ConnectionCreateBody, prefer: Prefer = "") -> dict[str, Any]:
        source = _found(store.actor("source", body.source_id), "source", body.source_id)
        destination = _found(store.actor("destination", body.destination_id), "destination", body.destination_id)
        if source.workspace_id != destination.workspace_id:
            raise problems.invalid([Fault("destinationId", "is in another workspace than the source")])
        given = _given(body)
        given.setdefault("name", f"{source.name} → {destination.name}")
        if body.configurations is None:
            offered = _asked(lambda: connectors.streams(store.whole_configuration(source)))
            given["configurations"] = {"streams": [{"name": each.name} for each in offered]}
        created = options(given)
        if body.configurations:
            require_streams(source, created.configurations.streams, prefer)
        try:
            return _connection(store.create_connection(source, destination, created))
        except InUseError as error:
            raise problems.conflict(str(error)) from None

    @routes.get("/connections/{connection_id}")
    def get_connection(connection_id: uuid.UUID) -> dict[str, Any]:
        return _connection(_found(store.connection(connection_id), "connection", connection_id))

    @routes.patch("/connections/{connection_id}")
    def patch_connection(connection_id: uuid.UUID, body: ConnectionPatchBody, prefer: Prefer = "") -> dict[str, Any]:
        old = _found(store.connection(connection_id), "connection", connection_id)
        changed = options(old.options.body() | _given(body))
        if body.configurations:
            source = _found(store.actor("source", old.source_id), "source", old.source_id)
            require_streams(source, changed.configurations.streams, prefer)
        return _connection(_found(store.change_connection(connection_id, changed), "connection", connection_id))

    @routes.delete("/connections/{connection_id}", status_code=204)
    def delete_connection(connection_id: uuid.UUID) -> None:
        connection = _found(store.connection(connection_id), "connection", connection_id)
        last = jobs.recent(connection_id, limit=1, offset=0)
        if last and last[0].status in _ACTIVE:
            raise problems.conflict(f"a sync of the connection {connection.name} is running; cancel its job first")
        store.delete_connection(connection_id)


def _inspect(kind: Kind, whole: dict[str, Any], connectors: Connectors) -> tuple[list[Fault], dict[str, Any]]:
    """What is wrong with a configuration, and the schema that it is held against."""
    if kind == "destination":
        wrong = destinations.faults(whole)
        return wrong, {} if wrong else destinations.schema(whole["destinationType"])
    source_type = whole.get("sourceType")
    if not isinstance(source_type, str):
        return [Fault("configuration.sourceType", "Field required: the name of a connector")], {}
    try:
        schema = connectors.schema(source_type)
    except RegistryError as error:
        return [Fault("configuration.sourceType", str(error))], {}
    except (ConnectorError, ConnectorInstallError) as error:
        raise problems.connector_failed(str(error)) from None
    return faults({key: value for key, value in whole.items() if key != "sourceType"}, schema), schema


def _check_destination(whole: dict[str, Any]) -> str | None:
    try:
        destination = destinations.open_destination(destinations.parse(whole), sync_id=0)
    except (psycopg.Error, DestinationError, DestinationUnavailableError) as error:
        return " ".join(str(error).split())
    try:
        return destination.check()
    finally:
        destination.close()


def _asked(question: Callable[[], Any]) -> Any:
    try:
        return question()
    except (ConnectorError, ConnectorInstallError, RegistryError) as error:
        raise problems.connector_failed(str(error)) from None


def _found(thing: Any, kind: str, thing_id: uuid.UUID) -> Any:
    if thing is None:
        raise problems.not_found(f"no {kind} has the id {thing_id}; GET …/{kind}s lists them")
    return thing


def _delete(call: Callable[[], None]) -> None:
    try:
        call()
    except InUseError as error:
        raise problems.conflict(str(error)) from None


def _given(body: ConnectionPatchBody) -> dict[str, Any]:
    """The fields of ours that a request has."""
    ours = {field.alias for field in ConnectionOptions.model_fields.values()}
    return {key: value for key, value in body.model_dump(by_alias=True, exclude_none=True).items() if key in ours}


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
        "createdAt": _seconds(actor.created_at),
    }


def _connection(connection: Connection) -> dict[str, Any]:
    return {
        **connection.options.model_dump(mode="json", by_alias=True),
        "connectionId": str(connection.connection_id),
        "workspaceId": str(connection.workspace_id),
        "sourceId": str(connection.source_id),
        "destinationId": str(connection.destination_id),
        "createdAt": _seconds(connection.created_at),
        "tags": [],
    }


def _modes(stream: Any) -> list[str]:
    """Airbyte's names of what can be done with a stream."""
    names = {"full_refresh": ("full_refresh_overwrite", "full_refresh_append")}
    names["incremental"] = ("incremental_append", "incremental_deduped_history")
    return [name for mode in stream.supported_sync_modes for name in names[mode.value]]


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
