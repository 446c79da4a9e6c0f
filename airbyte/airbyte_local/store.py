"""Workspaces, sources, destinations and connections, stored in PostgreSQL; secrets are encrypted."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, LiteralString
from uuid import UUID

import orjson
import psycopg
from cryptography.fernet import Fernet, InvalidToken
from psycopg import sql
from psycopg.types.json import Jsonb

from airbyte_declaration.declaration import SOURCE_NAMESPACE
from airbyte_declaration.streams import ConnectionOptions
from airbyte_local.database import Database

Kind = Literal["source", "destination"]
_PAGE: LiteralString = " limit %s offset %s"


class InUseError(Exception):
    """Something cannot be deleted because other things use it; the message names them."""


class SealedError(Exception):
    """A configuration cannot be decrypted; the message says what to do."""


@dataclass(frozen=True)
class Workspace:
    """A row of airbyte.workspaces."""

    workspace_id: UUID
    name: str
    created_at: datetime


@dataclass(frozen=True)
class Actor:
    """A row of airbyte.actors: a source or a destination."""

    actor_id: UUID
    workspace_id: UUID
    kind: Kind
    name: str
    type: str
    configuration: dict[str, Any]
    sealed: bytes
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Connection:
    """A row of airbyte.connections."""

    connection_id: UUID
    workspace_id: UUID
    source_id: UUID
    destination_id: UUID
    options: ConnectionOptions
    created_at: datetime

    @property
    def name(self) -> str:
        """The connection's name."""
        return self.options.name

    def namespace(self, stream_namespace: str | None, default: str) -> str:
        """The schema that a stream is loaded into."""
        own = stream_namespace or default
        if self.options.namespace_definition == "custom_format":
            return self.options.namespace_format.replace(SOURCE_NAMESPACE, own) or default
        return own if self.options.namespace_definition == "source" else default


class Store:
    """The tables airbyte.workspaces, airbyte.actors and airbyte.connections."""

    def __init__(self, conninfo: dict[str, str | int], key: str):
        """Does not connect yet; `JobStore` creates the tables. Configurations are encrypted with `key`."""
        self._database = Database(conninfo, "airbyte_local store")
        self._fernet = Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()))

    def workspaces(self, ids: Sequence[UUID] = (), *, limit: int | None = None, offset: int = 0) -> list[Workspace]:
        """Workspaces, oldest first: those with these ids, or all if no ids are given."""
        query = "select * from airbyte.workspaces where %s or workspace_id = any(%s) order by created_at, workspace_id"
        return self._database.rows(Workspace, query + _PAGE, [not ids, list(ids), limit, offset])

    def workspace(self, workspace_id: UUID) -> Workspace | None:
        """The workspace with this id, or None."""
        return self._database.row(Workspace, "select * from airbyte.workspaces where workspace_id = %s", [workspace_id])

    def create_workspace(self, name: str) -> Workspace:
        """Create a workspace."""
        query = "insert into airbyte.workspaces (name) values (%s) returning *"
        return self._database.rows(Workspace, query, [name])[0]

    def rename_workspace(self, workspace_id: UUID, name: str) -> Workspace | None:
        """Rename a workspace; returns None if it does not exist."""
        query = "update airbyte.workspaces set name = %s where workspace_id = %s returning *"
        return self._database.row(Workspace, query, [name, workspace_id])

    def delete_workspace(self, workspace_id: UUID) -> None:
        """Delete a workspace; raises InUseError if it has sources or destinations."""
        self._delete("workspaces", "workspace_id", workspace_id, "has sources or destinations; delete them first")

    def actors(
        self, kind: Kind, workspaces: Sequence[UUID] = (), *, limit: int | None = None, offset: int = 0
    ) -> list[Actor]:
        """Sources or destinations, oldest first: those of these workspaces, or all if none are given."""
        query = (
            "select * from airbyte.actors where kind = %s and (%s or workspace_id = any(%s))"
            " order by created_at, actor_id"
        )
        return self._database.rows(Actor, query + _PAGE, [kind, not workspaces, list(workspaces), limit, offset])

    def actor(self, kind: Kind, actor_id: UUID) -> Actor | None:
        """The source or destination with this id, or None."""
        query = "select * from airbyte.actors where kind = %s and actor_id = %s"
        return self._database.row(Actor, query, [kind, actor_id])

    def create_actor(
        self, kind: Kind, workspace_id: UUID, name: str, type_: str, shown: dict[str, Any], whole: dict[str, Any]
    ) -> Actor:
        """Create a source or destination; `shown` is the configuration without secrets, `whole` the one with them."""
        query = (
            "insert into airbyte.actors (workspace_id, kind, name, type, configuration, sealed)"
            " values (%s, %s, %s, %s, %s, %s) returning *"
        )
        return self._database.rows(Actor, query, [workspace_id, kind, name, type_, Jsonb(shown), self._seal(whole)])[0]

    def change_actor(
        self, actor: Actor, name: str, type_: str, shown: dict[str, Any], whole: dict[str, Any]
    ) -> Actor | None:
        """Change a source or destination; returns None if it no longer exists."""
        query = (
            "update airbyte.actors set name = %s, type = %s, configuration = %s, sealed = %s, updated_at = now()"
            " where actor_id = %s returning *"
        )
        return self._database.row(Actor, query, [name, type_, Jsonb(shown), self._seal(whole), actor.actor_id])

    def delete_actor(self, actor: Actor) -> None:
        """Delete a source or destination; raises InUseError if connections use it."""
        why = f"{actor.kind} {actor.name} has connections; delete them first"
        self._delete("actors", "actor_id", actor.actor_id, why)

    def whole_configuration(self, actor: Actor) -> dict[str, Any]:
        """The configuration with its secrets; raises SealedError if it was encrypted with another key."""
        try:
            return orjson.loads(self._fernet.decrypt(actor.sealed))
        except InvalidToken:
            raise SealedError(
                f"the configuration of the {actor.kind} {actor.name} was encrypted with another signing key;"
                " delete var/airbyte-applied.json, then `make airbyte-apply` sends it again"
            ) from None

    def connections(
        self, workspaces: Sequence[UUID] = (), *, limit: int | None = None, offset: int = 0
    ) -> list[Connection]:
        """Connections, oldest first: those of these workspaces, or all if none are given."""
        query = (
            "select * from airbyte.connections where %s or workspace_id = any(%s) order by created_at, connection_id"
        )
        return self._database.rows(_connection, query + _PAGE, [not workspaces, list(workspaces), limit, offset])

    def connection(self, connection_id: UUID) -> Connection | None:
        """The connection with this id, or None."""
        query = "select * from airbyte.connections where connection_id = %s"
        return self._database.row(_connection, query, [connection_id])

    def create_connection(self, source: Actor, destination: Actor, options: ConnectionOptions) -> Connection:
        """Create a connection; raises InUseError if the source or the destination no longer exists."""
        query = (
            "insert into airbyte.connections (workspace_id, source_id, destination_id, name, options)"
            " values (%s, %s, %s, %s, %s) returning *"
        )
        ends = [source.workspace_id, source.actor_id, destination.actor_id]
        try:
            return self._database.rows(_connection, query, [*ends, options.name, Jsonb(options.body())])[0]
        except psycopg.errors.ForeignKeyViolation:
            raise InUseError("its source or destination has just been deleted") from None

    def change_connection(self, connection_id: UUID, options: ConnectionOptions) -> Connection | None:
        """Change the options of a connection; returns None if it no longer exists."""
        query = (
            "update airbyte.connections set name = %s, options = %s, updated_at = now() where connection_id = %s"
            " returning *"
        )
        return self._database.row(_connection, query, [options.name, Jsonb(options.body()), connection_id])

    def delete_connection(self, connection_id: UUID) -> None:
        """Delete a connection; its jobs and its tables are kept."""
        self._delete("connections", "connection_id", connection_id, "")

    def _seal(self, configuration: dict[str, Any]) -> bytes:
        return self._fernet.encrypt(orjson.dumps(configuration))

    def _delete(self, table: str, key: str, value: UUID, why: str) -> None:
        query = sql.SQL("delete from {} where {} = %s").format(sql.Identifier("airbyte", table), sql.Identifier(key))
        try:
            self._database.execute(query, [value])
        except psycopg.errors.ForeignKeyViolation:
            raise InUseError(why) from None


def _connection(*, name: str, options: dict[str, Any], updated_at: datetime, **row: Any) -> Connection:
    """A connection from a row; `name` is also one of the options."""
    return Connection(**row, options=ConnectionOptions.model_validate(options))
