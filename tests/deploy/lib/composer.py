"""Stand-in for Composer's API: describe, update by mask with the service's own refusals, and operations."""

import re
from typing import Any

from recorded import Answer, Request, refusal

_ENVIRONMENT = re.compile(r"/v1/(projects/[^/]+/locations/([^/]+)/environments/([^/:]+))")
_OPERATIONS = re.compile(r"/v1/projects/[^/]+/locations/[^/]+/operations")
_MASK = "config.software_config."
_KEYS = {"pypi_packages": "pypiPackages", "airflow_config_overrides": "airflowConfigOverrides"}
_KEYS["env_variables"] = "envVariables"
# https://cloud.google.com/composer/docs/composer-3/set-environment-variables#reserved
_RESERVED = re.compile(r"AIRFLOW_HOME|C_FORCE_ROOT|DAGS_FOLDER|GCS_BUCKET|GCP_PROJECT|SQL_\w+|COMPOSER_\w+|AIRFLOW__.*")
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_OPTION = re.compile(r"[a-z0-9_]+-[a-z0-9_]+")
_VERSION = re.compile(r"(\[[\w,.-]+\])?((==|>=|<=|~=|!=|<|>)[\w.*+!-]+(,(==|>=|<=|~=|!=|<|>)[\w.*+!-]+)*)?")


class Composer:
    """One environment, `staging` in europe-west1 of the project demo.

    Attributes:
        software: what is set in it.
        state: its state while no operation runs.
        operations: by name; `polls` are the questions after which it has ended, `error` how.
        polls, error: of operations that begin; `error` of the next one only.
    """

    name = "composer"

    def __init__(self, bucket: str, airflow: str):
        self._where = ("europe-west1", "staging")
        self._bucket, self._airflow = bucket, airflow
        self.software: dict[str, dict[str, str]] = {key: {} for key in _KEYS.values()}
        self.state = "RUNNING"
        self.operations: dict[str, dict[str, Any]] = {}
        self.polls = 1
        self.error: str | None = None

    def takes(self, path: str) -> bool:
        return bool(_ENVIRONMENT.match(path) or _OPERATIONS.match(path))

    @property
    def running(self) -> list[str]:
        return [name for name, each in self.operations.items() if each["polls"] > 0]

    def answer(self, request: Request) -> Answer:
        if _OPERATIONS.match(request.path):
            return self._operation(request.path.removeprefix("/v1/"))
        found = _ENVIRONMENT.match(request.path)
        if found is None or (found[2], found[3]) != self._where:
            return refusal(404, "NOT_FOUND", "Requested entity was not found.")
        if request.method == "GET":
            return Answer.of(self._facts(found[1]))
        return self._update(found[1], request.query["updateMask"].split(","), request.body)

    def begin(self, resource: str = "projects/demo/locations/europe-west1/environments/staging") -> dict[str, Any]:
        """An operation that begins."""
        name = f"{resource.partition('/environments/')[0]}/operations/{len(self.operations) + 1}"
        self.operations[name] = {"polls": self.polls, "error": self.error, "resource": resource, "undo": None}
        self.error = None
        return self._shown(name)

    def _facts(self, name: str) -> dict[str, Any]:
        software = {"imageVersion": "composer-3-airflow-3.2.2-build.1", **self.software}
        places = {"dagGcsPrefix": f"gs://{self._bucket}/dags", "airflowUri": self._airflow}
        state = "UPDATING" if self.running else self.state
        # What is created has no bucket and no Airflow yet.
        config = {} if state == "CREATING" else {"softwareConfig": software, **places}
        return {"name": name, "state": state, "config": config}

    def _update(self, name: str, mask: list[str], body: dict[str, Any]) -> Answer:
        if self.running:
            return refusal(400, "FAILED_PRECONDITION", "Cannot update environment in state UPDATING.")
        if any(not each.startswith(_MASK) for each in mask):
            return refusal(400, "INVALID_ARGUMENT", "Field mask not supported.")
        fields = [each.removeprefix(_MASK).partition(".") for each in mask]
        kinds = {kind for kind, _, _ in fields}
        if len(kinds) != 1 or kinds.isdisjoint(_KEYS):
            return refusal(400, "INVALID_ARGUMENT", "Only one kind of property may be updated at a time.")
        key = _KEYS[kinds.pop()]
        given = body.get("config", {}).get("softwareConfig", {}).get(key, {})
        if fault := _fault(key, given):
            return refusal(400, "INVALID_ARGUMENT", fault)
        before = dict(self.software[key])
        names = [each for _, _, each in fields if each]
        kept = {name: value for name, value in before.items() if name not in names} if names else {}
        operation = self.begin(name)
        # A failed update leaves the environment as it was.
        if self.operations[operation["name"]]["error"] is None:
            self.software[key] = kept | given
        return Answer.of(operation)

    def _operation(self, name: str) -> Answer:
        if name.endswith("/operations"):
            return Answer.of({"operations": [self._shown(each) for each in self.operations]})
        if name not in self.operations:
            return refusal(404, "NOT_FOUND", "Requested entity was not found.")
        self.operations[name]["polls"] = max(0, self.operations[name]["polls"] - 1)
        return Answer.of(self._shown(name))

    def _shown(self, name: str) -> dict[str, Any]:
        found = self.operations[name]
        is_done, error = found["polls"] == 0, found["error"]
        kind = "type.googleapis.com/google.cloud.orchestration.airflow.service.v1.OperationMetadata"
        state = ("FAILED" if error else "SUCCEEDED") if is_done else "RUNNING"
        metadata = {"@type": kind, "state": state, "operationType": "UPDATE", "resource": found["resource"]}
        metadata["createTime"] = "2026-11-01T00:00:00Z"
        ending = {"error": {"code": 3, "message": error}} if error else {"response": {}}
        return {"name": name, "metadata": metadata, "done": is_done, **(ending if is_done else {})}


def _fault(key: str, given: dict[str, str]) -> str | None:
    for name, value in given.items():
        if key == "envVariables" and (not _NAME.fullmatch(name) or _RESERVED.fullmatch(name)):
            return f"Invalid or reserved environment variable {name}."
        if key == "airflowConfigOverrides" and (not _OPTION.fullmatch(name) or not value):
            return f"Invalid Airflow configuration override {name}."
        if key == "pypiPackages" and not _VERSION.fullmatch(value):
            return f"Invalid PyPI package {name}{value}."
    return None
