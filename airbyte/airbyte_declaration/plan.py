"""Compares a declaration with an Airbyte by name, and makes the necessary changes."""

import hmac
import json
import os
import re
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Literal

from airbyte_declaration.client import LENIENT, AirbyteApi
from airbyte_declaration.declaration import Actor, Connection, Declaration, DeclarationError

_Object = dict[str, Any]  # in Airbyte's API
_HIDDEN = re.compile(r"\*+")
# Airbyte's defaults for connections.
_DEFAULTS = {"status": "active", "namespaceDefinition": "destination", "prefix": ""}
_WITH_DELETE = (
    "`make airbyte-apply DELETE=1`, which also deletes everything that is not declared;"
    " `make airbyte-plan DELETE=1` shows what that is"
)
# In the order of creation; deleted in reverse order.
_KINDS = ("source", "destination", "connection")


@dataclass(frozen=True)
class Step:
    """A single change, or something that stays as it is; keep: it exists but is not declared."""

    action: Literal["create", "update", "delete", "unchanged", "keep"]
    kind: str
    name: str
    # The fields that differ, or another reason.
    why: str = ""

    @property
    def is_change(self) -> bool:
        """Whether this changes anything in Airbyte."""
        return self.action in ("create", "update", "delete")


@dataclass(eq=False, repr=False)
class Plan:
    """The changes that make an Airbyte match a declaration.

    Airbyte hides secrets, so they cannot be compared; nor can keys that were removed from the declaration. So a keyed
    digest of everything that was applied is stored; without a digest, a configuration is sent again.
    """

    # The desired state.
    declaration: Declaration
    # Client of the Airbyte.
    api: AirbyteApi
    # JSON file that stores the digests; created if it is missing.
    digests: Path
    _: KW_ONLY
    # Secret key of the digests.
    key: str
    # Delete what is not declared, and recreate connections with another source or destination.
    delete: bool = False
    # The local service accepts configurations without a check.
    lenient: bool = False

    def steps(self) -> list[Step]:
        """The steps that `apply` would take; raises the same errors."""
        return list(self._walk(is_dry=True))

    def apply(self) -> Iterator[Step]:
        """Make the changes; yields each step after it is done.

        Raises:
            AirbyteError: Airbyte refused or does not answer; earlier steps are not undone.
            DeclarationError: something that exists cannot be changed to what is declared; earlier steps are not undone.
        """
        yield from self._walk(is_dry=False)

    def ids(self) -> dict[str, str]:
        """Ids of the declared connections that exist, by name."""
        workspace = self._workspace()
        things = self._things("connection", workspace["workspaceId"]) if workspace else []
        found = {each["name"]: each["connectionId"] for each in things}
        return {each.name: found[each.name] for each in self.declaration.connections if each.name in found}

    def _workspace(self) -> dict[str, Any] | None:
        name = self.declaration.workspace.name
        return next((each for each in self.api.list("workspaces") if each["name"] == name), None)

    def _things(self, kind: str, workspace_id: str) -> list[dict[str, Any]]:
        return list(self.api.list(f"{kind}s", workspaceIds=workspace_id))

    def _walk(self, *, is_dry: bool) -> Iterator[Step]:
        workspace, name = self._workspace(), self.declaration.workspace.name
        if workspace is None:
            if not is_dry:
                workspace = self.api.call("POST", "/workspaces", json={"name": name})
            yield Step("create", "workspace", name)
        workspace_id = workspace["workspaceId"] if workspace else ""
        things = {kind: self._things(kind, workspace_id) if workspace else [] for kind in _KINDS}
        found = {kind: {each["name"]: each for each in things[kind]} for kind in _KINDS}
        stays = set()
        for kind in _KINDS:
            for declared in getattr(self.declaration, f"{kind}s"):
                there = found[kind].get(declared.name)
                if kind == "connection":
                    body = declared.options()
                    # Ids of its source and destination; empty if they do not exist yet.
                    there_of = {end: found[end].get(getattr(declared, end), {}) for end in _KINDS[:2]}
                    ends = {f"{end}Id": each.get(f"{end}Id", "") for end, each in there_of.items()}
                    change = there and self._compare_connection(declared, body, ends, there)
                else:
                    body = {"name": declared.name, "configuration": declared.configuration}
                    ends = {"workspaceId": workspace_id}
                    change = there and self._compare(kind, declared, there)
                step = change or Step("create", kind, declared.name)
                if there and step.action != "create":
                    stays.add(there[f"{kind}Id"])
                if step.is_change and not is_dry:
                    found[kind][declared.name] = self._change(step, body, ends, there)
                if not is_dry:
                    self._remember(kind, declared)
                yield step
        for kind in reversed(_KINDS):
            declared = {each.name for each in getattr(self.declaration, f"{kind}s")}
            for thing in [each for each in things[kind] if each[f"{kind}Id"] not in stays]:
                if self.delete and not is_dry:
                    self.api.call("DELETE", f"/{kind}s/{thing[f'{kind}Id']}")
                why = "is replaced by a new one with this name" if thing["name"] in declared else "is not declared"
                yield Step("delete" if self.delete else "keep", kind, thing["name"], why)

    def _change(self, step: Step, body: _Object, ends: _Object, there: _Object | None) -> _Object:
        kind, headers = step.kind, LENIENT if self.lenient else {}
        if there is None or step.action == "create":
            return self.api.call("POST", f"/{kind}s", json=body | ends, headers=headers)
        # A PATCH does not reset missing fields.
        method, body = ("PATCH", _DEFAULTS | body) if kind == "connection" else ("PUT", body)
        return self.api.call(method, f"/{kind}s/{there[f'{kind}Id']}", json=body, headers=headers)

    def _compare(self, kind: str, declared: Actor, there: dict[str, Any]) -> Step:
        # Airbyte stores the type outside of the configuration, and does not allow changing it.
        key = f"{kind}Type"
        wanted = {name: value for name, value in declared.configuration.items() if name != key}
        if there[key] != declared.configuration[key]:
            raise DeclarationError(
                f"{kind} {declared.name} has the type {there[key]}, and Airbyte cannot change it to"
                f" {declared.configuration[key]}: rename it, also in its connections, and run"
                f" {_WITH_DELETE}"
            )
        differ = sorted(_differences(wanted, there["configuration"], "configuration"))
        if not differ:
            known = self._known().get(self._digest_name(kind, declared))
            if known is None:
                differ = ["configuration: sent again, since its secrets cannot be compared"]
            elif known != self._digest(declared):
                differ = ["configuration: a secret has changed, or a key was removed"]
        return Step("update" if differ else "unchanged", kind, declared.name, ", ".join(differ))

    def _compare_connection(self, declared: Connection, body: _Object, ends: _Object, there: _Object) -> Step:
        name = declared.name
        # Airbyte does not allow changing the source or destination of a connection.
        if moved := [end.removesuffix("Id") for end in ends if there[end] != ends[end]]:
            if not self.delete:
                raise DeclarationError(
                    f"connection {name} has a new {' and '.join(moved)}, so it has to be deleted and created again,"
                    f" without its state: rename the connection, or run {_WITH_DELETE}"
                )
            return Step("create", "connection", name, f"new {' and '.join(moved)}; the new connection has no state")
        wanted, found = (_by_stream(each) for each in (body, there))
        differ = sorted(_differences(wanted, found))
        known = self._known().get(self._digest_name("connection", declared))
        if not differ and known not in (None, self._digest(declared)):
            differ = ["a key was removed"]
        return Step("update" if differ else "unchanged", "connection", name, ", ".join(differ))

    def _known(self) -> dict[str, str]:
        return json.loads(self.digests.read_text()) if self.digests.exists() else {}

    def _remember(self, kind: str, declared: Actor | Connection) -> None:
        known = self._known()
        content = known | {self._digest_name(kind, declared): self._digest(declared)}
        if content != known:
            self.digests.parent.mkdir(parents=True, exist_ok=True)
            new = self.digests.with_suffix(f".{os.getpid()}.new")
            new.write_text(json.dumps(content, indent=1))
            new.replace(self.digests)

    def _digest_name(self, kind: str, declared: Actor | Connection) -> str:
        return f"{self.api.url} {self.declaration.workspace.name} {kind} {declared.name}"

    def _digest(self, declared: Actor | Connection) -> str:
        is_actor = isinstance(declared, Actor)
        # Writing out a default is not a change.
        what = declared.configuration if is_actor else declared.model_dump(mode="json", by_alias=True)
        return hmac.digest(self.key.encode(), json.dumps(what, sort_keys=True).encode(), "sha256").hex()


def _by_stream(connection: dict[str, Any]) -> dict[str, Any]:
    """A connection with its streams by name, for comparison."""
    streams = connection.get("configurations", {}).get("streams", [])
    return connection | {"configurations": {each["name"]: each for each in streams}}


def _differences(wanted: Any, found: Any, key: str = "") -> Iterator[str]:
    """Keys whose values differ; ignores keys that only Airbyte has, and values that it hides."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for name, value in wanted.items():
            yield from _differences(value, found.get(name), f"{key}.{name}".lstrip("."))
        if key == "configurations":
            yield from (f"{key}.{name}" for name in found if name not in wanted)
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
            yield from _differences(one, other, f"{key}.{number}")
    elif wanted != found and not (isinstance(found, str) and _HIDDEN.fullmatch(found)):
        yield key
