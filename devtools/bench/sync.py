"""Run a connection of the local Airbyte service to its end: `python sync.py NAME`, with the standard library alone.

The environment has AIRBYTE_ADDRESS (host and port of the service), AIRBYTE_CLIENT_ID and AIRBYTE_CLIENT_SECRET.
"""

import json
import os
import sys
import time
from http.client import HTTPConnection
from typing import Any

# Seconds between two looks at a job.
POLL = 0.05


def main(name: str) -> None:
    """Submit a job and wait for its end; exit with 1 if it does not succeed."""
    client = {"client_id": os.environ["AIRBYTE_CLIENT_ID"], "client_secret": os.environ["AIRBYTE_CLIENT_SECRET"]}
    credentials = {"grant_type": "client_credentials", **client}
    token = _call("POST", "/applications/token", body=credentials)["access_token"]
    (connection,) = (each for each in _call("GET", "/connections", token)["data"] if each["name"] == name)
    job = _call("POST", "/jobs", token, {"connectionId": connection["connectionId"], "jobType": "sync"})
    while job["status"] in ("pending", "running", "incomplete"):
        time.sleep(POLL)
        job = _call("GET", f"/jobs/{job['jobId']}", token)
    print(job)
    sys.exit(job["status"] != "succeeded")


def _call(method: str, path: str, token: str = "", body: dict[str, Any] | None = None) -> Any:
    connection = HTTPConnection(os.environ["AIRBYTE_ADDRESS"], timeout=60)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request(method, f"/api/public/v1{path}", json.dumps(body) if body else None, headers)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        sys.exit(f"{method} {path} answered {answer.status}: {content.decode(errors='replace')}")
    return json.loads(content)


if __name__ == "__main__":
    main(sys.argv[1])
