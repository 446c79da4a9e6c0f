"""Routes for connections and for the streams that a source offers."""

import uuid
from typing import Annotated, Any

from airbyte_protocol.models import AirbyteStream
from fastapi import APIRouter, Query
from pydantic import ValidationError

from airbyte_declaration import keys
from airbyte_declaration.streams import ConnectionOptions, StreamConfiguration
from airbyte_local.api import problems
from airbyte_local.api.actors import seconds
from airbyte_local.api.bodies import ConnectionCreateBody, ConnectionPatchBody
from airbyte_local.api.pages import Paging
from airbyte_local.api.parameters import LENIENT, Ids, IncludeDeleted, Prefer
from airbyte_local.configuration import Fault
from airbyte_local.connectors.manager import ConnectorManager
from airbyte_local.jobs import JobStore
from airbyte_local.store import Actor, Connection, Store
from airbyte_local.sync.engine import MODES


def router(store: Store, jobs: JobStore, connectors: ConnectorManager) -> APIRouter:
    """The routes."""
    routes = APIRouter()

    def options(given: dict[str, Any]) -> ConnectionOptions:
        try:
            return ConnectionOptions.model_validate(given)
        except ValidationError as error:
            raise problems.unprocessable(error.errors()) from None

    def require_streams(source: Actor, wanted: list[StreamConfiguration], prefer: str) -> None:
        if LENIENT in prefer:
            return
        offered, wrong = connectors.streams(store.whole_configuration(source)), []
        for number, each in enumerate(wanted):
            where, found = f"configurations.streams.{number}", [one for one in offered if one.name == each.name]
            if not found:
                names = ", ".join(one.name for one in offered)
                wrong.append(Fault(f"{where}.name", f"{source.name} offers no stream {each.name}, only {names}"))
            elif len(found) > 1:
                namespaces = ", ".join(one.namespace or "none" for one in found)
                remedy = "make it offer only one of them, for example by naming its schemas"
                fault = f"{source.name} offers {each.name} in the namespaces {namespaces}; {remedy}"
                wrong.append(Fault(f"{where}.name", fault))
            elif each.sync_mode not in _modes(found[0]):
                wrong.append(Fault(f"{where}.syncMode", f"must be one of {', '.join(_modes(found[0]))}"))
            elif each.sync_mode == "incremental_deduped_history":
                columns = found[0].json_schema.get("properties", {})
                wrong += [Fault(f"{where}.{field}", fault) for field, fault in keys.faults(each, columns)]
        if wrong:
            raise problems.invalid(wrong)

    @routes.get("/connections")
    def list_connections(
        paging: Paging, workspace_ids: Ids = None, include_deleted: IncludeDeleted = False
    ) -> dict[str, Any]:
        return paging.of(_connection, store.connections, workspace_ids or ())

    @routes.post("/connections")
    def create_connection(body: ConnectionCreateBody, prefer: Prefer = "") -> dict[str, Any]:
        source = problems.require(store.actor("source", body.source_id), "source", body.source_id)
        destination = problems.require(
            store.actor("destination", body.destination_id), "destination", body.destination_id
        )
        if source.workspace_id != destination.workspace_id:
            raise problems.invalid([Fault("destinationId", "is in another workspace than the source")])
        given = _given(body)
        given.setdefault("name", f"{source.name} → {destination.name}")
        if body.configurations is None:
            offered = connectors.streams(store.whole_configuration(source))
            given["configurations"] = {"streams": [{"name": each.name} for each in offered]}
        created = options(given)
        if body.configurations:
            require_streams(source, created.configurations.streams, prefer)
        return _connection(store.create_connection(source, destination, created))

    @routes.get("/connections/{connection_id}")
    def get_connection(connection_id: uuid.UUID) -> dict[str, Any]:
        return _connection(problems.require(store.connection(connection_id), "connection", connection_id))

    @routes.patch("/connections/{connection_id}")
    def patch_connection(connection_id: uuid.UUID, body: ConnectionPatchBody, prefer: Prefer = "") -> dict[str, Any]:
        old = problems.require(store.connection(connection_id), "connection", connection_id)
        changed = options(old.options.body() | _given(body))
        if body.configurations:
            source = problems.require(store.actor("source", old.source_id), "source", old.source_id)
            require_streams(source, changed.configurations.streams, prefer)
        found = store.change_connection(connection_id, changed)
        return _connection(problems.require(found, "connection", connection_id))

    @routes.delete("/connections/{connection_id}", status_code=204)
    def delete_connection(connection_id: uuid.UUID) -> None:
        connection = problems.require(store.connection(connection_id), "connection", connection_id)
        last = jobs.recent(connection_id, limit=1, offset=0)
        if last and last[0].is_active:
            raise problems.Problem(409, f"a sync of the connection {connection.name} is running; cancel its job first")
        store.delete_connection(connection_id)

    @routes.get("/streams")
    def get_stream_properties(
        source_id: Annotated[uuid.UUID, Query(alias="sourceId")],
        destination_id: Annotated[uuid.UUID | None, Query(alias="destinationId")] = None,
        ignore_cache: Annotated[bool, Query(alias="ignoreCache")] = False,
    ) -> list[dict[str, Any]]:
        source = problems.require(store.actor("source", source_id), "source", source_id)
        offered = connectors.streams(store.whole_configuration(source))
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


def _given(body: ConnectionPatchBody) -> dict[str, Any]:
    """The fields of a request that we support."""
    ours = {field.alias for field in ConnectionOptions.model_fields.values()}
    return {key: value for key, value in body.model_dump(by_alias=True, exclude_none=True).items() if key in ours}


def _connection(connection: Connection) -> dict[str, Any]:
    return {
        **connection.options.model_dump(mode="json", by_alias=True),
        "connectionId": str(connection.connection_id),
        "workspaceId": str(connection.workspace_id),
        "sourceId": str(connection.source_id),
        "destinationId": str(connection.destination_id),
        "createdAt": seconds(connection.created_at),
        "tags": [],
    }


def _modes(stream: AirbyteStream) -> list[str]:
    return [name for name, (mode, _) in MODES.items() if mode in stream.supported_sync_modes]
