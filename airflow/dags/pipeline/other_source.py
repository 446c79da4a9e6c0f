"""A connection from another source than the declared one, for a run that names it."""

import hashlib
import json
from typing import Any

import httpx
from airflow.providers.airbyte.hooks.airbyte import AirbyteHook
from airflow.providers.common.compat.sdk import AirflowFailException

# Seconds that Airbyte may take for an answer; it may check a new source first.
TIMEOUT = 300
# Items per page.
PAGE = 100
# What a connection has in common with the declared one.
SAME = ("destinationId", "configurations", "namespaceDefinition", "namespaceFormat", "prefix", "schedule")


def connection(conn_id: str, connection_id: str, *, declared: str, given: str) -> str:
    """Id of a connection like another one whose source reads `given` instead of `declared`, folders or base URLs.

    It is created at its first use, with its source; both are named after the declared ones.

    Raises:
        AirflowFailException: no file of the declared source is below `declared`, or Airbyte refuses.
        HTTPError: Airbyte does not answer.
    """
    conn = AirbyteHook(airbyte_conn_id=conn_id).conn
    # RFC 7240: the local service then creates a source without a check, whose fault the sync shows.
    headers = {"Prefer": "handling=lenient"}
    headers |= {"Authorization": f"Bearer {_token(conn)}"} if conn["client_id"] else {}
    with httpx.Client(base_url=conn["host"], headers=headers, timeout=TIMEOUT) as client:
        like = _call(client, "GET", f"connections/{connection_id}")
        source = _call(client, "GET", f"sources/{like['sourceId']}")
        # Another name where the declared files or columns have changed.
        made_from = json.dumps([given, source["configuration"], like.get("configurations")], sort_keys=True)
        ending = f" from {hashlib.sha256(made_from.encode()).hexdigest()[:10]}"
        workspace = {"workspaceIds": source["workspaceId"]}
        name = f"{like['name']}{ending}"
        if found := _find(client, "connections", name, workspace):
            return found["connectionId"]
        own = _find(client, "sources", f"{source['name']}{ending}", workspace)
        if not own:
            body = {"name": f"{source['name']}{ending}", "workspaceId": source["workspaceId"]}
            body["configuration"] = _moved(source, declared.rstrip("/"), given.rstrip("/"))
            own = _call(client, "POST", "sources", json=body | _definition(source))
        same = {key: like[key] for key in SAME if like.get(key) is not None}
        return _call(client, "POST", "connections", json=same | {"name": name, "sourceId": own["sourceId"]})[
            "connectionId"
        ]


def _moved(source: dict[str, Any], declared: str, given: str) -> dict[str, Any]:
    """The configuration of a source with its files below `given`."""
    streams = source["configuration"].get("streams", [])
    inside = [each for each in streams if str(each.get("url", "")).startswith(f"{declared}/")]
    if not inside:
        raise AirflowFailException(
            f"source: Airbyte's source {source['name']} has no files below {declared}, so a run cannot read them from "
            f"elsewhere: change the setting `source`, or leave the parameter empty"
        )
    urls = {each["url"]: given + each["url"].removeprefix(declared) for each in inside}
    moved = [each | {"url": urls.get(each["url"], each["url"])} for each in streams]
    return source["configuration"] | {"streams": moved}


def _definition(source: dict[str, Any]) -> dict[str, Any]:
    return {"definitionId": source["definitionId"]} if source.get("definitionId") else {}


def _find(client: httpx.Client, kind: str, name: str, workspace: dict[str, str]) -> dict[str, Any] | None:
    offset = 0
    while found := _call(client, "GET", kind, params={**workspace, "limit": PAGE, "offset": offset})["data"]:
        if named := next((each for each in found if each["name"] == name), None):
            return named
        offset += PAGE
    return None


def _call(client: httpx.Client, method: str, path: str, **request: Any) -> Any:
    answer = client.request(method, path, **request)
    if answer.is_client_error:
        raise AirflowFailException(f"Airbyte refuses {method} {path}: {answer.status_code} {answer.text[:500]}")
    return answer.raise_for_status().json()


def _token(conn: dict[str, Any]) -> str:
    body = {"grant_type": "client_credentials", "client_id": conn["client_id"], "client_secret": conn["client_secret"]}
    url = httpx.URL(conn["host"]).join(conn["token_url"])
    return httpx.post(url, data=body, timeout=TIMEOUT).raise_for_status().json()["access_token"]
