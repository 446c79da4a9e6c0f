"""One request at a time: the emulator has one connection to its database, and a transaction belongs to the connection.

Jobs run in a thread of their own, so the pages that need no database (health, tokens) answer while a query runs.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bqemulator.grpc_api.read_servicer import BigQueryReadHandler
from bqemulator.grpc_api.write_servicer import BigQueryWriteHandler

from emulators.bigquery.engine import atomic

# Held by whoever uses the database.
_database = threading.Lock()
_jobs = ThreadPoolExecutor(max_workers=1, thread_name_prefix="jobs")
_WITHOUT_DATABASE = frozenset({"/healthz", "/token"})


async def in_thread(function: Callable[[], Any]) -> Any:
    """Result of the function, which runs beside the server's loop; only for requests whose turn it is."""
    return await asyncio.get_running_loop().run_in_executor(_jobs, function)


class Turns:
    """ASGI middleware: the next request's turn begins when the one before has been answered.

    A request that changes a dataset or table is one transaction.

    A request waits for its turn only once its body is here, so a client that stops in the middle blocks nobody.
    """

    def __init__(self, application: Callable[..., Any], context: Any):
        self._application = application
        self._context = context
        self._turn = asyncio.Lock()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] in _WITHOUT_DATABASE:
            await self._application(scope, receive, send)
            return
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        messages = [{"type": "http.request", "body": bytes(body), "more_body": False}]
        del body

        async def replay() -> Any:
            return messages.pop() if messages else await receive()

        async with self._turn:
            # Reads of the Storage API hold it for the time of a query.
            await asyncio.to_thread(_database.acquire)
            # Jobs have transactions of their own.
            changes = scope["method"] != "GET" and "/datasets" in scope["path"]
            try:
                with atomic(self._context) if changes else contextlib.nullcontext():
                    await self._application(scope, replay, send)
            finally:
                _database.release()


def install() -> None:
    """Make calls of the Storage API wait for their turn, too; the HTTP application is wrapped in `pages`."""
    BigQueryReadHandler._handle_create_read_session = _when_free(BigQueryReadHandler._handle_create_read_session)
    BigQueryWriteHandler._flush_to_target = _in_turn(BigQueryWriteHandler._flush_to_target)


def _when_free(method: Callable[..., Any]) -> Callable[..., Any]:
    """For a method that is called on the server's loop, which the request whose turn it is needs to go on."""

    async def wrapped(*arguments: Any) -> Any:
        await asyncio.to_thread(_database.acquire)
        try:
            return method(*arguments)
        finally:
            _database.release()

    return wrapped


def _in_turn(method: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*arguments: Any) -> Any:
        with _database:
            return method(*arguments)

    return wrapped
