"""What has to change so that an Airbyte is as declared, and the change itself; by name, and only where it is needed."""

import hashlib
import hmac
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from airbyte_declaration.client import LENIENT, AirbyteApi
from airbyte_declaration.declaration import Actor, Connection, Declaration, DeclarationError

_HIDDEN = re.compile(r"\*+")
# Of a connection, as Airbyte has them too.
_DEFAULTS = {"status": "active", "namespaceDefinition": "destination", "prefix": ""}
# In the order in which they are made; they are deleted the other way round.
_KINDS = ("source", "destination", "connection")


@dataclass(frozen=True)
class Step:
    """One thing that has to change, or does not.

    Attributes:
        action: keep: it is there and not declared.
        kind: workspace, source, destination or connection.
        name: of it.
        why: the fields that differ, or what else there is to say.
    """

    action: Literal["create", "update", "delete", "unchanged", "keep"]
    kind: str
    name: str
    why: str = ""

    @property
    def is_change(self) -> bool:
        """Whether Airbyte becomes another."""
        return self.action in ("create", "update", "delete")


class Plan:
    """A declaration held against an Airbyte.

    What Airbyte hides, secrets, cannot be compared with it, nor what was declared before and is no longer. So a digest
    of each thing that was applied is kept, with a key that only those have who know the client's secret; where it is
    missing, a configuration is sent again.

    Attributes:
        api: of the Airbyte.
    """

    def __init__(
        self,
        declaration: Declaration,
        api: AirbyteApi,
        digests: Path,
        *,
        key: str,
        delete: bool = False,
        lenient: bool = False,
    ):
        """Nothing is asked yet.

        Args:
            declaration: what is to be.
            api: of the Airbyte.
            digests: JSON file that keeps the digests; made if it is missing.
            key: of the digests.
            delete: whether what is not declared is deleted, and a connection with another end is made anew.
            lenient: whether the local service takes configurations without a check.
        """
        self.api = api
        self._declaration = declaration
        self._digests = digests
        self._key = key.encode()
        self._delete = delete
        self._headers = LENIENT if lenient else {}

    def steps(self) -> list[Step]:
        """What would change.

        Raises:
            AirbyteError: Airbyte refused or does not answer.
            DeclarationError: something that is there cannot become what is declared.
        """
        return list(self._walk(is_dry=True))

    def apply(self) -> Iterator[Step]:
        """Change it; gives each step when it is done.

        Raises:
            AirbyteError: Airbyte refused or does not answer; what came before it stays done.
            DeclarationError: something that is there cannot become what is declared; the same.
        """
        yield from self._walk(is_dry=False)

    def ids(self) -> dict[str, str]:
        """Ids of the declared connections that are there, by name."""
        workspace = self._workspace()
        things = self._things("connection", workspace["workspaceId"]) if workspace else []
        found = {each["name"]: each["connectionId"] for each in things}
        return {each.name: found[each.name] for each in self._declaration.connections if each.name in found}

    def _workspace(self) -> dict[str, Any] | None:
        name = self._declaration.workspace.name
        return next((each for each in self.api.list("workspaces") if each["name"] == name), None)

    def _things(self, kind: str, workspace_id: str) -> list[dict[str, Any]]:
        return list(self.api.list(f"{kind}s", workspaceIds=workspace_id))

    def _walk(self, *, is_dry: bool) -> Iterator[Step]:
        workspace, name = self._workspace(), self._declaration.workspace.name
        if workspace is None:
            if not is_dry:
                workspace = self.api.call("POST", "/workspaces", json={"name": name})
            yield Step("create", "workspace", name)
        workspace_id = workspace["workspaceId"] if workspace else ""
        things = {kind: self._things(kind, workspace_id) if workspace else [] for kind in _KINDS}
        found = {kind: {each["name"]: each for each in things[kind]} for kind in _KINDS}
        stays = set()
        for kind in _KINDS:
            for declared in getattr(self._declaration, f"{kind}s"):
                there = found[kind].get(declared.name)
                if kind == "connection":
                    body = declared.options()
                    ends = {f"{end}Id": _id(found, end, getattr(declared, end)) for end in _KINDS[:2]}
                    step = self._compare_connection(declared, body, ends, there)
                else:
                    body = {"name": declared.name, "configuration": declared.configuration}
                    ends = {"workspaceId": workspace_id}
                    step = self._compare(kind, declared, there)
                if there and step.action != "create":
                    stays.add(there[f"{kind}Id"])
                if step.is_change and not is_dry:
                    found[kind][declared.name] = self._change(step, body, ends, there)
                if not is_dry:
                    self._remember(kind, declared)
                yield step
        for kind in reversed(_KINDS):
            declared = {each.name for each in getattr(self._declaration, f"{kind}s")}
            for thing in [each for each in things[kind] if each[f"{kind}Id"] not in stays]:
                if self._delete and not is_dry:
                    self.api.call("DELETE", f"/{kind}s/{thing[f'{kind}Id']}")
                why = "another of this name takes its place" if thing["name"] in declared else "is not declared"
                yield Step("delete" if self._delete else "keep", kind, thing["name"], why)

    def _change(
        self, step: Step, body: dict[str, Any], ends: dict[str, Any], there: dict[str, Any] | None
    ) -> dict[str, Any]:
        kind = step.kind
        if step.action == "create":
            return self.api.call("POST", f"/{kind}s", json=body | ends, headers=self._headers)
        method = "PUT"
        if kind == "connection":
            # What a PATCH does not have stays as it is.
            method, body = "PATCH", _DEFAULTS | body
        return self.api.call(method, f"/{kind}s/{there[f'{kind}Id']}", json=body, headers=self._headers)

    def _compare(self, kind: str, declared: Actor, there: dict[str, Any] | None) -> Step:
        if there is None:
            return Step("create", kind, declared.name)
        # Airbyte takes the type out of a configuration, and it is for ever.
        key = f"{kind}Type"
        wanted = {name: value for name, value in declared.configuration.items() if name != key}
        if there[key] != declared.configuration[key]:
            raise DeclarationError(
                f"{kind} {declared.name} is of the type {there[key]}, and Airbyte cannot make it"
                f" {declared.configuration[key]}: give it another name, in its connections too, and then"
                " `make airbyte-apply DELETE=1`"
            )
        differ = sorted(_differences(wanted, there["configuration"], "configuration"))
        if not differ:
            known = self._known().get(self._digest_name(kind, declared))
            if known is None:
                differ = ["configuration: its secrets cannot be compared, so it is sent again"]
            elif known != self._digest(declared):
                differ = ["configuration: a secret, or a key that is no longer there"]
        return Step("update" if differ else "unchanged", kind, declared.name, ", ".join(differ))

    def _compare_connection(
        self, declared: Connection, body: dict[str, Any], ends: dict[str, Any], there: dict[str, Any] | None
    ) -> Step:
        name = declared.name
        if there is None:
            return Step("create", "connection", name)
        # A connection's ends are for ever.
        if moved := [end.removesuffix("Id") for end in ends if there[end] != ends[end]]:
            if not self._delete:
                raise DeclarationError(
                    f"connection {name} has another {' and '.join(moved)} now: it has to be made anew, its state begins"
                    " from nothing, and the old one is deleted: `make airbyte-apply DELETE=1`, or give it another name"
                )
            return Step("create", "connection", name, f"another {' and '.join(moved)}: its state begins from nothing")
        wanted, found = (_by_stream(each) for each in (body, there))
        differ = sorted(_differences(wanted, found))
        known = self._known().get(self._digest_name("connection", declared))
        if not differ and known not in (None, self._digest(declared)):
            differ = ["a key that is no longer there"]
        return Step("update" if differ else "unchanged", "connection", name, ", ".join(differ))

    def _known(self) -> dict[str, str]:
        return json.loads(self._digests.read_text()) if self._digests.exists() else {}

    def _remember(self, kind: str, declared: Actor | Connection) -> None:
        known = self._known()
        content = known | {self._digest_name(kind, declared): self._digest(declared)}
        if content == known:
            return
        self._digests.parent.mkdir(parents=True, exist_ok=True)
        new = self._digests.with_suffix(f".{os.getpid()}.new")
        new.write_text(json.dumps(content, indent=1))
        new.replace(self._digests)

    def _digest_name(self, kind: str, declared: Actor | Connection) -> str:
        return f"{self.api.url} {self._declaration.workspace.name} {kind} {declared.name}"

    def _digest(self, declared: Actor | Connection) -> str:
        is_actor = isinstance(declared, Actor)
        # To name a default is no change.
        what = declared.configuration if is_actor else declared.model_dump(mode="json", by_alias=True)
        content = json.dumps(what, sort_keys=True).encode()
        return hmac.new(self._key, content, hashlib.sha256).hexdigest()


def _id(found: dict[str, dict[str, Any]], kind: str, name: str) -> str:
    """Id of a thing; empty as long as it is only planned."""
    return found[kind].get(name, {}).get(f"{kind}Id", "")


def _by_stream(connection: dict[str, Any]) -> dict[str, Any]:
    """A connection whose streams can be compared by name."""
    streams = connection.get("configurations", {}).get("streams", [])
    return connection | {"configurations": {each["name"]: each for each in streams}}


def _differences(wanted: Any, found: Any, key: str = "") -> Iterator[str]:
    """Keys whose value is not as wanted; what Airbyte has beside them, or hides, counts as equal."""
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
