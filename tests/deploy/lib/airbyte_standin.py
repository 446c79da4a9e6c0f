"""Stand-in for Airbyte's public API: lists, creates and updates what a declaration names."""

import itertools
from typing import Any

from recorded import Answer, Request

PREFIX = "/airbyte/"
_IDS = {
    "workspaces": "workspaceId",
    "sources": "sourceId",
    "destinations": "destinationId",
    "connections": "connectionId",
}


class Airbyte:
    """What there is, by kind."""

    name = "airbyte"

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.things: dict[str, list[dict[str, Any]]] = {kind: [] for kind in _IDS}

    def takes(self, path: str) -> bool:
        return path.startswith(PREFIX)

    def answer(self, request: Request) -> Answer:
        if request.path.endswith("/token"):
            return Answer.of({"access_token": "airbyte", "token_type": "bearer", "expires_in": 180})
        kind, _, number = request.path.removeprefix(PREFIX).partition("/")
        key, there = _IDS[kind], self.things[kind]
        if request.method == "GET":
            return Answer.of({"data": there[int(request.query.get("offset", 0)) :]})
        body = dict(request.body)
        # The type of a source or destination is not among its configuration.
        for name in ("sourceType", "destinationType"):
            if name in body.get("configuration", {}):
                body["configuration"] = dict(body["configuration"])
                body[name] = body["configuration"].pop(name)
        if request.method == "POST":
            there.append({key: f"{kind}-{next(self._numbers)}", **body})
            return Answer.of(there[-1])
        thing = next(each for each in there if each[key] == number)
        thing.update(body)
        return Answer.of(thing)
