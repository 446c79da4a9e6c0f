"""The client of Airflow, with an api-server that restarts or no longer knows the token."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from stack.embedded.settings import load
from stack.runs.airflow_api import AirflowApi


class Server(ThreadingHTTPServer):
    """Answers each request with the next of `answers`, (status, body), once the token is right."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.asked, self.tokens, self.refusal = [], [], 0, 401


class Handler(BaseHTTPRequestHandler):
    def _serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/auth/token":
            self.server.tokens += 1
            return self._answer(201, {"access_token": f"token-{self.server.tokens}"})
        if self.headers["Authorization"] != f"Bearer token-{self.server.tokens}" or not self.server.tokens:
            return self._answer(self.server.refusal, {})
        self.server.asked.append((self.command, self.path, json.loads(body or "{}")))
        return self._answer(*self.server.answers.pop(0))

    do_GET = do_POST = do_PATCH = _serve  # noqa: N815

    def _answer(self, status, content):
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        """Print nothing."""


@pytest.fixture
def server():
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=[0.01]).start()
        yield server
        server.shutdown()


@pytest.fixture
def api(server, tmp_path):
    (tmp_path / "ports.yaml").write_text(f"ports: {{airflow: {server.server_port}}}")
    return AirflowApi.of(load(tmp_path / "var", config=tmp_path / "ports.yaml"))


@pytest.mark.parametrize("refusal", [401, 403])
def test_an_expired_token_or_one_that_is_not_valid_yet_is_replaced(server, api, refusal):
    server.refusal, server.answers = refusal, [(200, {"import_errors": []})] * 2
    api.import_errors()
    server.tokens += 1
    api.import_errors()
    assert (len(server.asked), server.tokens) == (2, 3)


def test_a_request_that_fails_in_the_server_is_repeated(server, api):
    server.answers = [(503, {}), (500, {}), (200, {"state": "running"})]
    assert api.run("dataops", "one") == {"state": "running"}


def test_a_refusal_is_final(server, api):
    server.answers = [(403, {})]
    with pytest.raises(httpx.HTTPStatusError):
        api.run("dataops", "one")


def test_without_patience_a_failure_is_final(server, api):
    api.patience, server.answers = 0, [(503, {}), (200, {})]
    with pytest.raises(httpx.HTTPStatusError):
        api.run("dataops", "one")


def test_an_unknown_token_is_replaced(server, api):
    server.answers = [(200, {"state": "queued"}), (200, {"state": "running"})]
    assert api.run("dataops", "one")["state"] == "queued"
    # As if the server had got another token from somebody, and forgot the first.
    server.tokens = 41
    assert api.run("dataops", "one")["state"] == "running"


def test_a_trigger_whose_answer_was_lost_starts_no_second_run(server, api):
    server.answers = [(502, {}), (409, {})]
    run_id = api.trigger("dataops", note="a test")
    assert [body["dag_run_id"] for _, _, body in server.asked] == [run_id, run_id]


def test_a_dag_is_paused_if_airflow_says_so(server, api):
    server.answers = [(200, {"is_paused": True}), (200, {"is_paused": False})]
    assert api.is_paused("dataops")
    assert not api.is_paused("mlops")
    assert [path for _, path, _ in server.asked] == ["/api/v2/dags/dataops", "/api/v2/dags/mlops"]
