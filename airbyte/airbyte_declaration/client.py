"""Airbyte's public API over plain HTTP: the same against the local service, Airbyte OSS and Airbyte Cloud."""

import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import Any

import httpx

# States of a job that has not ended.
ACTIVE = ("pending", "running", "incomplete")
# Things a page.
_PAGE = 100
# Seconds: a check may install a connector first, and Airbyte makes its clients wait where they ask too often.
_TIMEOUT = 900
_PATIENCE = 60
# RFC 7240: take what is asked as it is. The local service makes no check then; others pass over it.
LENIENT = {"Prefer": "handling=lenient"}


class AirbyteError(Exception):
    """Airbyte refused or does not answer; the message says what it said."""


class AirbyteUnavailableError(AirbyteError):
    """Airbyte does not answer; it may later."""


class AirbyteApi:
    """A client that logs in when it has to; tokens of Airbyte Cloud last for minutes only."""

    def __init__(self, url: str, client_id: str, client_secret: str):
        """Nothing is asked yet.

        Args:
            url: base of the API, such as https://api.airbyte.com/v1 or http://localhost:8000/api/public/v1.
            client_id: of the application.
            client_secret: of the application.
        """
        # With patience of half a minute, should the service be restarting; and past any proxy where it is on this host.
        self.url = url.rstrip("/")
        is_local = httpx.URL(url).host in ("127.0.0.1", "localhost")
        transport = httpx.HTTPTransport(retries=7) if is_local else None
        self._http = httpx.Client(
            base_url=self.url,
            auth=_Login(f"{self.url}/applications/token", client_id, client_secret),
            transport=transport,
            timeout=httpx.Timeout(_TIMEOUT, connect=20),
            trust_env=not is_local,
        )

    def list(self, kind: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """All things of a kind.

        Args:
            kind: workspaces, sources, destinations, connections or jobs.
            parameters: of the query, such as workspaceIds.

        Raises:
            AirbyteError: Airbyte refused or does not answer.
        """
        offset = 0
        while True:
            # The links of a page lead past a proxy in front of Airbyte.
            found = self.call("GET", f"/{kind}", params=parameters | {"limit": _PAGE, "offset": offset})["data"]
            yield from found
            if len(found) < _PAGE:
                return
            offset += _PAGE

    def submit(self, connection_id: str) -> dict[str, Any]:
        """Start a sync of a connection; the job as Airbyte tells it.

        Raises:
            AirbyteError: Airbyte refused or does not answer.
        """
        return self.call("POST", "/jobs", json={"connectionId": connection_id, "jobType": "sync"})

    def job(self, job: dict[str, Any]) -> dict[str, Any]:
        """A job as it is now."""
        return self.call("GET", f"/jobs/{job['jobId']}")

    def call(self, method: str, path: str, **request: Any) -> Any:
        """What Airbyte answers, from JSON; None where it has no words.

        Raises:
            AirbyteError: Airbyte refused or does not answer.
        """
        deadline = time.monotonic() + _PATIENCE
        try:
            while (answer := self._http.request(method, path, **request)).status_code == 429:
                if time.monotonic() > deadline:
                    break
                time.sleep(_pause(answer))
        except httpx.HTTPError as error:
            raise AirbyteUnavailableError(f"{method} {self.url}{path}: {error!r}; does Airbyte run there?") from error
        if answer.is_success:
            return _content(answer) if answer.content else None
        kind = AirbyteUnavailableError if answer.status_code == 503 else AirbyteError
        raise kind(f"{method} {self.url}{path}: {_said(answer)}")


class _Login(httpx.Auth):
    requires_response_body = True

    def __init__(self, url: str, client_id: str, client_secret: str):
        self._url = url
        # Airbyte names the last one with a hyphen.
        self._body = {"client_id": client_id, "client_secret": client_secret, "grant-type": "client_credentials"}
        self._token = ""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
            if (yield request).status_code != 401:
                return
        answer = yield httpx.Request("POST", self._url, json=self._body)
        if not answer.is_success:
            raise AirbyteError(f"POST {self._url}: {_said(answer)}; are client id and client secret right?")
        self._token = _content(answer, "access_token")["access_token"]
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


def _pause(answer: httpx.Response) -> float:
    """Seconds that Airbyte asks to wait; a moment, the header's other form, counts as one."""
    try:
        return min(max(0.0, float(answer.headers.get("Retry-After", 1))), _PATIENCE)
    except ValueError:
        return 1.0


def _content(answer: httpx.Response, key: str | None = None) -> Any:
    """What a success says, with this key if one is given."""
    with suppress(ValueError):
        content = answer.json()
        if key is None or (isinstance(content, dict) and key in content):
            return content
    raise AirbyteError(
        f"{answer.request.method} {answer.request.url}: {answer.status_code}, but not in the words of Airbyte's API, as"
        " another program or a page to log in would; correct the address, such as http://HOST:8000/api/public/v1"
    )


def _said(answer: httpx.Response) -> str:
    """Airbyte's own words for what is wrong."""
    try:
        problem = answer.json()
        detail = problem.get("detail") or problem.get("message") or (problem.get("data") or {}).get("message")
    except (ValueError, AttributeError):
        detail = None
    return f"{answer.status_code} {detail or answer.reason_phrase}"
