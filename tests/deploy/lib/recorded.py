"""An HTTP server that records every request, stands in for services, and is the only proxy that clients have."""

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class Request:
    """A request and the status of its answer; `body` is parsed if it is JSON."""

    method: str
    path: str
    target: str
    query: dict[str, str]
    headers: dict[str, str]
    content: bytes
    service: str = ""
    status: int = 0

    @property
    def body(self) -> Any:
        try:
            return json.loads(self.content)
        except ValueError:
            return None

    @property
    def upload(self) -> str:
        """Name of the object that is uploaded; "": none is."""
        if "/upload/" not in self.path:
            return ""
        found = re.search(rb'"name": ?"((?:[^"\\\\]|\\\\.)*)"', self.content[:2000])
        return self.query.get("name") or (json.loads(b'"' + found[1] + b'"') if found else "")

    @property
    def is_change(self) -> bool:
        return self.method != "GET" and not self.path.endswith("/token")

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class Answer:
    status: int
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})

    @classmethod
    def of(cls, content: Any, status: int = 200) -> "Answer":
        return cls(status, json.dumps(content).encode())


def refusal(status: int, kind: str, message: str) -> Answer:
    """An error as Google's services answer."""
    return Answer.of({"error": {"code": status, "status": kind, "message": message}}, status)


class Service(Protocol):
    name: str

    def takes(self, path: str) -> bool: ...

    def answer(self, request: Request) -> Answer: ...


@dataclass
class Rule:
    """What happens to the next `times` requests that match: another answer, or a call before the service answers.

    The pattern is searched in the name of the object that is uploaded, a space, and the path.
    """

    method: str
    pattern: str
    times: int = 1
    answer: Answer | None = None
    before: Callable[[Request], None] | None = None

    def matches(self, request: Request) -> bool:
        text = f"{request.upload} {request.path}"
        return self.times > 0 and self.method == request.method and bool(re.search(self.pattern, text))


class Server:
    """The stand-ins on one port of 127.0.0.1.

    Attributes:
        requests: all requests, in their order.
        outside: what clients wanted from elsewhere; they got nothing.
        rules: applied to requests before the services.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.outside: list[str] = []
        self.rules: list[Rule] = []
        self.services: list[Service] = []
        self._turn = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def __getattr__(self, name: str) -> Callable[[], None]:
                """The method of any verb, do_GET and so on."""
                if not name.startswith("do_"):
                    raise AttributeError(name)
                return lambda: server._serve(self)

        class Http(ThreadingHTTPServer):
            request_queue_size = 128
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                # A client that was killed.
                pass

        self._http = Http(("127.0.0.1", 0), Handler)
        self.port = self._http.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def changes(self, first: int = 0) -> list[Request]:
        """The requests that change something and were answered with a success, from one on."""
        return [each for each in self.requests[first:] if each.is_change and each.status < 400]

    def _serve(self, handler: Any) -> None:
        content = _content(handler)
        if handler.command == "CONNECT" or urlsplit(handler.path).netloc not in ("", f"127.0.0.1:{self.port}"):
            self.outside.append(f"{handler.command} {handler.path}")
            self._send(handler, Answer(502))
            return
        parts = urlsplit(handler.path)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        path = unquote(parts.path)
        request = Request(handler.command, path, target, query, dict(handler.headers), content)
        with self._turn:
            self.requests.append(request)
            rule = next((each for each in self.rules if each.matches(request)), None)
            if rule:
                rule.times -= 1
            service = next((each for each in self.services if each.takes(path)), None)
            request.service = service.name if service else ""
            if rule and rule.before:
                rule.before(request)
            if rule and rule.answer:
                answer = rule.answer
            elif service:
                answer = service.answer(request)
            else:
                answer = refusal(404, "NOT_FOUND", f"no stand-in answers {request}")
            request.status = answer.status
        self._send(handler, answer)

    @staticmethod
    def _send(handler: Any, answer: Answer) -> None:
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        if answer.status not in (204, 304):
            handler.send_header("Content-Length", str(len(answer.content)))
        handler.end_headers()
        handler.wfile.write(answer.content)


def _content(handler: Any) -> bytes:
    if "chunked" not in handler.headers.get("Transfer-Encoding", ""):
        return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    content = b""
    while size := int(handler.rfile.readline().split(b";")[0], 16):
        content += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return content
