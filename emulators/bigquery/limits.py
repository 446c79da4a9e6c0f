"""The time that a job may take: https://cloud.google.com/bigquery/docs/running-queries (jobTimeoutMs)."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from bqemulator.domain.errors import DomainError
from bqemulator.storage.engine import DuckDBEngine

_expired = threading.Event()


class TimedOutError(DomainError):
    """The job has used up its time."""

    http_status = 400
    bq_reason = "timeout"
    grpc_status_name = "DEADLINE_EXCEEDED"


@contextlib.contextmanager
def time_limit(ctx: Any, milliseconds: str | int | None) -> Iterator[None]:
    """Stop the work inside after this time, with TimedOutError; None and 0 are no limit."""
    limit = int(milliseconds or 0) / 1000
    if not limit:
        yield
        return

    def expire() -> None:
        _expired.set()
        ctx.engine.connection.interrupt()

    timer = threading.Timer(limit, expire)
    timer.start()
    try:
        yield
    except Exception as error:
        if _expired.is_set():
            raise TimedOutError(f"Job timed out after {limit:g} s (jobTimeoutMs)") from error
        raise
    finally:
        timer.cancel()
        timer.join()
        _expired.clear()


def stop(engine: DuckDBEngine) -> None:
    """Stop the work that is being done, for good."""
    _expired.set()
    engine.connection.interrupt()


def install() -> None:
    """Let no further statement of a script begin once its time is up."""
    execute = DuckDBEngine.execute

    def in_time(self: DuckDBEngine, sql: str, parameters: list[Any] | None = None) -> Any:
        if _expired.is_set() and sql != "rollback":
            raise TimedOutError("Job timed out")
        return execute(self, sql, parameters)

    DuckDBEngine.execute = in_time
