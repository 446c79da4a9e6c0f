"""The local Airbyte service's public API, as the launcher, the benchmarks and torture use it."""

from typing import Any

import httpx

from stack.services import AIRBYTE_CLIENT_ID
from stack.settings import Settings

# States of a job that has not ended.
ACTIVE = ("pending", "running", "incomplete")


class AirbyteApi:
    """The service of an instance, which runs.

    Attributes:
        ids: of its connections, by name.
    """

    def __init__(self, settings: Settings):
        """Log in.

        Raises:
            httpx.HTTPError: the service does not answer, or refuses.
        """
        # With patience of half a minute, should the service be restarting; and past any proxy of the machine.
        transport = httpx.HTTPTransport(retries=7)
        address = f"{settings.url('airbyte')}/api/public/v1"
        self._client = httpx.Client(base_url=address, transport=transport, timeout=60, trust_env=False)
        client = {"client_id": AIRBYTE_CLIENT_ID, "client_secret": settings.secrets["airbyte_client_secret"]}
        token = self._call("POST", "/applications/token", {"grant_type": "client_credentials", **client})
        self._client.headers["Authorization"] = f"Bearer {token['access_token']}"
        self.ids: dict[str, str] = {
            each["name"]: each["connectionId"] for each in self._call("GET", "/connections?limit=100")["data"]
        }

    def submit(self, name: str) -> dict[str, Any]:
        """Start a sync of a connection; the job as the service tells it.

        Raises:
            httpx.HTTPError: the service does not answer, or refuses.
        """
        return self._call("POST", "/jobs", {"connectionId": self.ids[name], "jobType": "sync"})

    def job(self, job: dict[str, Any]) -> dict[str, Any]:
        """A job as it is now.

        Raises:
            httpx.HTTPError: the service does not answer, or refuses.
        """
        return self._call("GET", f"/jobs/{job['jobId']}")

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        return self._client.request(method, path, json=body).raise_for_status().json()
