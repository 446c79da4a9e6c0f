"""Workspaces, sources, destinations and connections, kept in PostgreSQL; secrets only encrypted."""

import base64
import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeVar

import orjson
import psycopg
from cryptography.fernet import Fernet, InvalidToken
from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from airbyte_declaration.declaration import SOURCE_NAMESPACE
from airbyte_declaration.streams import ConnectionOptions
from airbyte_local.jobs import CONNECT_TIMEOUT

Kind = Literal["source", "destination"]
T = TypeVar("T")


class InUseError(Exception):
    """A thing cannot be deleted as long as others need it; the message names them."""


class SealedError(Exception):
    """A configuration cannot be read; the message says what to do."""


@dataclass(frozen=True)
class Workspace:
    """A row of airbyte.workspaces."""

    workspace_id: uuid.UUID
    name: str
    created_at: datetime


@dataclass(frozen=True)
class Actor:
    """A row of airbyte.actors: a source or a destination."""

    actor_id: uuid.UUID
    workspace_id: uuid.UUID
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

    connection_id: uuid.UUID
    workspace_id: uuid.UUID
    source_id: uuid.UUID
    destination_id: uuid.UUID
    options: ConnectionOptions
    created_at: datetime

    @property
    def name(self) -> str:
        """Its name."""
        return self.options.name

    def namespace(self, stream_namespace: str | None, default: str) -> str:
        """Schema that a stream goes to.

        Args:
            stream_namespace: the source's own namespace of the stream, if it has one.
            default: the destination's schema.
        """
        own = stream_namespace or default
        if self.options.namespace_definition == "custom_format":
            return self.options.namespace_format.replace(SOURCE_NAMESPACE, own) or default
        return own if self.options.namespace_definition == "source" else default


class Store:
    """The tables; every call has a connection of its own, so a restart of PostgreSQL is survived."""

    def __init__(self, conninfo: dict[str, str | int], key: str):
        """Nothing is asked yet; `JobStore` makes the tables.

        Args:
            conninfo: keyword arguments of `psycopg.connect`.
            key: what configurations are encrypted with.
        """
        own = {"application_name": "airbyte_local store", "connect_timeout": CONNECT_TIMEOUT, "autocommit": True}
        self._conninfo = {**conninfo, **own}
        self._fernet = Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()))

    def workspaces(
        self, ids: Sequence[uuid.UUID] = (), *, limit: int | None = None, offset: int = 0
    ) -> list[Workspace]:
        """Workspaces, oldest first; some or, without any ids, all."""
        query = "select * from airbyte.workspaces where %s or workspace_id = any(%s) order by created_at, workspace_id"
        return self._all(Workspace, query, limit, offset, [not ids, list(ids)])

    def workspace(self, workspace_id: uuid.UUID) -> Workspace | None:
        """The workspace of this id, if there is one."""
        return self._one(Workspace, "select * from airbyte.workspaces where workspace_id = %s", [workspace_id])

    def create_workspace(self, name: str) -> Workspace:
        """A new workspace."""
        return self._one(Workspace, "insert into airbyte.workspaces (name) values (%s) returning *", [name])

    def rename_workspace(self, workspace_id: uuid.UUID, name: str) -> Workspace | None:
        """The workspace with another name."""
        query = "update airbyte.workspaces set name = %s where workspace_id = %s returning *"
        return self._one(Workspace, query, [name, workspace_id])

    def delete_workspace(self, workspace_id: uuid.UUID) -> None:
        """Delete an empty workspace.

        Raises:
            InUseError: it has sources or destinations.
        """
        self._delete("workspaces", "workspace_id", workspace_id, "has sources or destinations; delete them first")

    def actors(
        self, kind: Kind, workspaces: Sequence[uuid.UUID] = (), *, limit: int | None = None, offset: int = 0
    ) -> list[Actor]:
        """Sources or destinations, oldest first; of some workspaces or, without any, of all."""
        query = (
            "select * from airbyte.actors where kind = %s and (%s or workspace_id = any(%s))"
            " order by created_at, actor_id"
        )
        return self._all(Actor, query, limit, offset, [kind, not workspaces, list(workspaces)])

    def actor(self, kind: Kind, actor_id: uuid.UUID) -> Actor | None:
        """The source or destination of this id, if there is one."""
        return self._one(Actor, "select * from airbyte.actors where kind = %s and actor_id = %s", [kind, actor_id])

    def create_actor(
        self, kind: Kind, workspace_id: uuid.UUID, name: str, type_: str, shown: dict[str, Any], whole: dict[str, Any]
    ) -> Actor:
        """A new source or destination.

        Args:
            kind: of the two.
            workspace_id: of its workspace.
            name: for people.
            type_: names the connector.
            shown: the configuration without secrets.
            whole: the configuration.
        """
        query = (
            "insert into airbyte.actors (workspace_id, kind, name, type, configuration, sealed)"
            " values (%s, %s, %s, %s, %s, %s) returning *"
        )
        return self._one(Actor, query, [workspace_id, kind, name, type_, Jsonb(shown), self._seal(whole)])

    def change_actor(
        self, actor: Actor, name: str, type_: str, shown: dict[str, Any], whole: dict[str, Any]
    ) -> Actor | None:
        """The source or destination with other values; None: it is gone."""
        query = (
            "update airbyte.actors set name = %s, type = %s, configuration = %s, sealed = %s, updated_at = now()"
            " where actor_id = %s returning *"
        )
        return self._one(Actor, query, [name, type_, Jsonb(shown), self._seal(whole), actor.actor_id])

    def delete_actor(self, actor: Actor) -> None:
        """Delete a source or destination.

        Raises:
            InUseError: connections need it.
        """
        why = f"{actor.kind} {actor.name} has connections; delete them first"
        self._delete("actors", "actor_id", actor.actor_id, why)

    def whole_configuration(self, actor: Actor) -> dict[str, Any]:
        """The configuration with its secrets.

        Raises:
            SealedError: it was encrypted with another key.
        """
        try:
            return orjson.loads(self._fernet.decrypt(actor.sealed))
        except InvalidToken:
            raise SealedError(
                f"the configuration of the {actor.kind} {actor.name} was encrypted with another signing key;"
                " `make airbyte-apply` stores it anew"
            ) from None

    def connections(
        self, workspaces: Sequence[uuid.UUID] = (), *, limit: int | None = None, offset: int = 0
    ) -> list[Connection]:
        """Connections, oldest first; of some workspaces or, without any, of all."""
        query = (
            "select * from airbyte.connections where %s or workspace_id = any(%s) order by created_at, connection_id"
        )
        return [_connection(row) for row in self._all(_Row, query, limit, offset, [not workspaces, list(workspaces)])]

    def connection(self, connection_id: uuid.UUID) -> Connection | None:
        """The connection of this id, if there is one."""
        row = self._one(_Row, "select * from airbyte.connections where connection_id = %s", [connection_id])
        return row and _connection(row)

    def create_connection(self, source: Actor, destination: Actor, options: ConnectionOptions) -> Connection:
        """A new connection.

        Raises:
            InUseError: one of its ends was deleted meanwhile.
        """
        query = (
            "insert into airbyte.connections (workspace_id, source_id, destination_id, name, options)"
            " values (%s, %s, %s, %s, %s) returning *"
        )
        ends = [source.workspace_id, source.actor_id, destination.actor_id]
        try:
            return _connection(self._one(_Row, query, [*ends, options.name, Jsonb(options.body())]))
        except psycopg.errors.ForeignKeyViolation:
            raise InUseError("its source or destination was deleted meanwhile") from None

    def change_connection(self, connection_id: uuid.UUID, options: ConnectionOptions) -> Connection | None:
        """The connection with other options; None: it is gone."""
        query = (
            "update airbyte.connections set name = %s, options = %s, updated_at = now() where connection_id = %s"
            " returning *"
        )
        row = self._one(_Row, query, [options.name, Jsonb(options.body()), connection_id])
        return row and _connection(row)

    def delete_connection(self, connection_id: uuid.UUID) -> None:
        """Delete a connection; its jobs and its tables stay."""
        self._delete("connections", "connection_id", connection_id, "")

    def _seal(self, configuration: dict[str, Any]) -> bytes:
        return self._fernet.encrypt(orjson.dumps(configuration))

    def _one(self, kind: type[T], query: str, values: Sequence[Any]) -> T | None:
        with psycopg.connect(**self._conninfo, row_factory=class_row(kind)) as connection:
            return connection.execute(query, values).fetchone()

    def _all(self, kind: type[T], query: str, limit: int | None, offset: int, values: Sequence[Any] = ()) -> list[T]:
        with psycopg.connect(**self._conninfo, row_factory=class_row(kind)) as connection:
            return connection.execute(f"{query} limit %s offset %s", [*values, limit, offset]).fetchall()

    def _delete(self, table: str, key: str, value: uuid.UUID, why: str) -> None:
        query = sql.SQL("delete from {} where {} = %s").format(sql.Identifier("airbyte", table), sql.Identifier(key))
        try:
            with psycopg.connect(**self._conninfo) as connection:
                connection.execute(query, [value])
        except psycopg.errors.ForeignKeyViolation:
            raise InUseError(why) from None


@dataclass(frozen=True)
class _Row:
    connection_id: uuid.UUID
    workspace_id: uuid.UUID
    source_id: uuid.UUID
    destination_id: uuid.UUID
    name: str
    options: dict[str, Any]
    created_at: datetime
    updated_at: datetime


def _connection(row: _Row) -> Connection:
    options = ConnectionOptions.model_validate(row.options)
    return Connection(row.connection_id, row.workspace_id, row.source_id, row.destination_id, options, row.created_at)
