"""Client of Airbyte's public API: for the local service, Airbyte OSS and Airbyte Cloud."""

import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import Any

import httpx

# Statuses of a job that has not ended.
ACTIVE = ("pending", "queued", "running", "incomplete")
# Items per page.
_PAGE = 100
# Seconds. The timeout is long since a check may first install a connector. The second is the total time of retries when
# Airbyte is busy.
_TIMEOUT = 900
_PATIENCE = 60
# RFC 7240: the local service then accepts configurations without a check; other Airbytes ignore the header.
LENIENT = {"Prefer": "handling=lenient"}


class AirbyteError(Exception):
    """Airbyte refused a request or does not answer; the message contains its answer."""


class AirbyteUnavailableError(AirbyteError):
    """Airbyte does not answer; another attempt may succeed."""


class AirbyteApi:
    """A client that logs in when necessary, since tokens of Airbyte Cloud are valid for a few minutes only.

    Methods raise AirbyteError if Airbyte refuses or does not answer.
    """

    def __init__(self, url: str, client_id: str, client_secret: str):
        """Does not connect yet; `url` is the API's base, e.g. https://api.airbyte.com/v1, http://HOST:8000/api/public/v1."""
        # For a service on this machine: retry for half a minute, since it may be restarting, and use no proxy.
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
        """List all workspaces, sources, destinations, connections or jobs that match the query parameters."""
        offset = 0
        while True:
            # The links of a page would bypass a proxy in front of Airbyte.
            found = self.call("GET", f"/{kind}", params=parameters | {"limit": _PAGE, "offset": offset})["data"]
            yield from found
            if len(found) < _PAGE:
                return
            offset += _PAGE

    def submit(self, connection_id: str) -> dict[str, Any]:
        """Start a sync of a connection; returns the job."""
        return self.call("POST", "/jobs", json={"connectionId": connection_id, "jobType": "sync"})

    def job(self, job: dict[str, Any]) -> dict[str, Any]:
        """The current state of a job."""
        return self.call("GET", f"/jobs/{job['jobId']}")

    def call(self, method: str, path: str, **request: Any) -> Any:
        """Send a request; returns the parsed JSON of the answer, or None if it is empty."""
        deadline = time.monotonic() + _PATIENCE
        try:
            answer = self._http.request(method, path, **request)
            while _is_busy(answer) and time.monotonic() <= deadline:
                time.sleep(_pause(answer))
                answer = self._http.request(method, path, **request)
        except httpx.HTTPError as error:
            raise AirbyteUnavailableError(f"{method} {self.url}{path}: {error!r}; is Airbyte running there?") from error
        if answer.is_success:
            return _content(answer) if answer.content else None
        raise _refused(answer)


class _Login(httpx.Auth):
    requires_response_body = True

    def __init__(self, url: str, client_id: str, client_secret: str):
        self._url = url
        # Airbyte spells grant-type with a hyphen.
        self._body = {"client_id": client_id, "client_secret": client_secret, "grant-type": "client_credentials"}
        self._token = ""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
            if (yield request).status_code != 401:
                return
        answer = yield httpx.Request("POST", self._url, json=self._body)
        if not answer.is_success:
            # Becomes the answer of the request.
            return
        self._token = _content(answer, "access_token")["access_token"]
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


def _is_busy(answer: httpx.Response) -> bool:
    """Whether Airbyte has done nothing, and may answer another time."""
    is_change = answer.request.method != "GET" and not _is_login(answer)
    return answer.status_code == 429 or (answer.status_code == 503 and not is_change)


def _is_login(answer: httpx.Response) -> bool:
    return answer.url.path.endswith("/applications/token")


def _pause(answer: httpx.Response) -> float:
    """Seconds that Airbyte asks to wait; 1 if the header is missing or is a date."""
    try:
        return min(max(0.0, float(answer.headers.get("Retry-After", 1))), _PATIENCE)
    except ValueError:
        return 1.0


def _content(answer: httpx.Response, key: str | None = None) -> Any:
    """The JSON of a successful answer; it must contain `key`, if given."""
    with suppress(ValueError):
        content = answer.json()
        if key is None or (isinstance(content, dict) and key in content):
            return content
    raise AirbyteError(
        f"{answer.request.method} {answer.request.url}: {answer.status_code}, but not an answer of Airbyte's API;"
        " it may be another program or a login page; correct the address, for example http://HOST:8000/api/public/v1"
    )


def _refused(answer: httpx.Response) -> AirbyteError:
    kind = AirbyteUnavailableError if answer.status_code == 503 else AirbyteError
    remedy = ""
    if _is_login(answer):
        if answer.status_code == 404:
            remedy = "; correct the address, for example http://HOST:8000/api/public/v1"
        elif answer.status_code < 500 and answer.status_code != 429:
            remedy = "; check the client id and the client secret"
    return kind(f"{answer.request.method} {answer.url.copy_with(query=None)}: {_said(answer)}{remedy}")


def _said(answer: httpx.Response) -> str:
    detail = None
    with suppress(ValueError, AttributeError):
        problem = answer.json()
        detail = problem.get("detail") or problem.get("message") or (problem.get("data") or {}).get("message")
    return f"{answer.status_code} {detail or answer.reason_phrase}"
