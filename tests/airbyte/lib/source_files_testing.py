"""Helpers for tests of the connector for files: the connector as a process, and a real HTTP server.

PYTEST_DONT_REWRITE: imported before pytest collects its fixtures, so that pytest does not warn.
"""

import http.server
import json
import os
import threading

import pytest
from airbyte_protocol.models import AirbyteMessage
from airbyte_testing import FORKS, PYTHONPATH

SCHEMA = {"type": "object", "properties": {"id": {"type": "integer"}, "text": {"type": "string"}}}
HEADER = b"id,text\n"


@pytest.fixture
def connector(tmp_path):
    """Runs a command of the connector on a URL; returns its exit status and its messages as Airbyte's models.

    The stream's other settings are keywords. `columns` is the JSON schema of the configured catalog, `sync_mode` its
    mode, `state` what the file of the state holds, and `access` further sections of the configuration.
    """

    def run(command, url, *, columns=SCHEMA, sync_mode="full_refresh", state=None, access=None, **stream):
        stream = {"name": "texts", "url": str(url), "json_schema": SCHEMA, **stream}
        config = {"streams": [{key: value for key, value in stream.items() if value is not None}], **(access or {})}
        configured = {
            "stream": {"name": "texts", "json_schema": columns, "supported_sync_modes": [sync_mode]},
            "sync_mode": sync_mode,
            "destination_sync_mode": "append",
        }
        files = {"check": ["config"], "discover": ["config"], "read": ["config", "catalog", "state"]}.get(command, [])
        arguments = [command]
        for name, content in {"config": config, "catalog": {"streams": [configured]}, "state": state}.items():
            if name in files and content is not None:
                (tmp_path / f"{name}.json").write_text(json.dumps(content))
                arguments += [f"--{name}", str(tmp_path / f"{name}.json")]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(PYTHONPATH)}
        printed, complained = tmp_path / "connector.out", tmp_path / "connector.err"
        printed.unlink(missing_ok=True)
        where = {"folder": os.getcwd(), "stdout": printed, "stderr": complained}
        status = FORKS.start("source_files", *arguments, environment=environment, wait=True, **where)
        assert complained.read_bytes() == b""
        return status, [AirbyteMessage.model_validate_json(line) for line in printed.read_bytes().split(b"\n")[:-1]]

    return run


@pytest.fixture
def server():
    """A web server on 127.0.0.1; `answers[path]` is a function that writes the answer."""
    answers = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            answers[self.path](self)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.answers = answers
        running.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def answer(status, content=b"", *, length=None, **headers):
    """A function that sends this response; `length` overrides the declared length."""

    def write(handler):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content) if length is None else length))
        handler.end_headers()
        handler.wfile.write(content)

    return write


def rows_of(messages):
    """The records' values."""
    return [tuple(m.record.data.values()) for m in messages if m.record]


def error_of(messages):
    """The message of the TRACE error."""
    (error,) = [m.trace.error for m in messages if m.trace and m.trace.error]
    return error


def states_of(messages):
    """The states, in the format of a connector's --state file."""
    return [m.state.model_dump(mode="json", exclude_none=True) for m in messages if m.state]


def warnings_of(messages):
    """The messages of the LOG warnings."""
    return [m.log.message for m in messages if m.log]
