"""Stand-in for Secret Manager: create, add a version, access the latest one."""

import base64
import re

from recorded import Answer, Request, refusal

_SECRET = re.compile(r"/v1/projects/demo/secrets(?:/([\w-]+))?(?:/versions/latest)?(?::(\w+))?")


class SecretManager:
    """Secrets by name, each with its versions."""

    name = "secrets"

    def __init__(self) -> None:
        self.versions: dict[str, list[str]] = {}

    def takes(self, path: str) -> bool:
        return bool(_SECRET.fullmatch(path))

    def answer(self, request: Request) -> Answer:
        found = _SECRET.fullmatch(request.path)
        assert found
        name, verb = found[1] or request.query.get("secretId", ""), found[2]
        if request.method == "POST" and verb is None:
            if name in self.versions:
                return refusal(409, "ALREADY_EXISTS", f"Secret [projects/1/secrets/{name}] already exists.")
            self.versions[name] = []
            return Answer.of({"name": f"projects/1/secrets/{name}", **request.body})
        versions = self.versions.get(name)
        if versions is None or (verb == "access" and not versions):
            return refusal(404, "NOT_FOUND", f"Secret [projects/1/secrets/{name}] not found or has no versions.")
        if verb == "addVersion":
            versions.append(base64.b64decode(request.body["payload"]["data"]).decode())
            number = f"projects/1/secrets/{name}/versions/{len(versions)}"
            return Answer.of({"name": number, "state": "ENABLED", "clientSpecifiedPayloadChecksum": True})
        if verb == "access":
            data = base64.b64encode(versions[-1].encode()).decode()
            return Answer.of({"name": f"projects/1/secrets/{name}/versions/{len(versions)}", "payload": {"data": data}})
        return Answer.of({"name": f"projects/1/secrets/{name}", "replication": {"automatic": {}}})
