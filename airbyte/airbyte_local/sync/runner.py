"""Runs each job in a thread, and ensures that it ends: by itself, by cancel, at the time limit or after a restart."""

import logging
import shutil
import threading
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from airbyte_protocol.models import FailureType

from airbyte_local.connectors.environments import ConnectorInstallError
from airbyte_local.connectors.manager import ConnectorManager
from airbyte_local.connectors.messages import ConnectorError
from airbyte_local.connectors.process import end_orphans
from airbyte_local.connectors.registry import RegistryError
from airbyte_local.destinations.config_models import parse
from airbyte_local.destinations.contract import Destination, DestinationError, DestinationUnavailableError
from airbyte_local.destinations.factory import open_destination
from airbyte_local.jobs import INTERRUPTED, End, Job, JobStore, OtherServiceError, Work
from airbyte_local.settings import BigQuery, Settings
from airbyte_local.store import Connection, SealedError, Store
from airbyte_local.sync.engine import Sync
from airbyte_local.sync.outcome import SyncError, Totals

log = logging.getLogger(__name__)
W = TypeVar("W", bound=Work)

# All in seconds: how long `cancel` waits for a sync to end, the pause before storing something again, and the pauses
# between attempts: the first, which doubles each time, and the longest.
_CANCEL_WAIT = 10
_STORE_RETRY = 1
_BACK_OFF = 1
_LONGEST_BACK_OFF = 60
# Characters of a failure's reason that are stored.
_REASON_LENGTH = 4000
# Size limit of a job's log, in bytes; the previous part is kept in a second file.
_LOG_BYTES = 10 << 20


@dataclass
class _Running:
    job: Job
    connection: Connection
    thread: threading.Thread
    sync: Sync | None = None
    # Of the current attempt.
    totals: Totals = field(default_factory=Totals)
    # How the job ends if the sync was stopped on request.
    verdict: End | None = None
    stopped: threading.Event = field(default_factory=threading.Event)


class Runner:
    """The jobs of this process."""

    def __init__(self, settings: Settings, store: Store, jobs: JobStore, connectors: ConnectorManager):
        """Continue the jobs that an earlier process of this service left unfinished; ends its connectors first."""
        self._store = store
        self._jobs = jobs
        self._connectors = connectors
        self._bigquery = settings.warehouse if isinstance(settings.warehouse, BigQuery) else None
        self._job_timeout = settings.airbyte.job_timeout
        self._attempts = settings.airbyte.attempts
        self._logs = settings.var.resolve() / "logs" / "airbyte"
        self._lock = threading.Lock()
        self._running: dict[int, _Running] = {}
        self._closing = threading.Event()
        left = jobs.unfinished()
        for job in left:
            end_orphans(str(job.run))
        shutil.rmtree(settings.connector_files, ignore_errors=True)
        settings.connector_files.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        for job in left:
            if connection := store.connection(job.connection_id):
                self._start(job, connection)
            else:
                jobs.finish(job.job_id, End("failed", "its connection was removed", FailureType.config_error.value))

    def open_destination(self, configuration: dict[str, Any], *, sync_id: int = 0) -> Destination:
        """Connect to the destination of a valid configuration; raises as `factory.open_destination`."""
        return open_destination(parse(configuration), sync_id=sync_id, bigquery=self._bigquery)

    def log_file(self, job_id: int) -> Path:
        """Path of a job's log."""
        return self._logs / f"job-{job_id}.log"

    def submit(self, connection: Connection, job_type: str) -> Job:
        """Start a job; raises RunningJobError as `JobStore.create`, and OtherServiceError as `JobStore.hold`."""
        self._jobs.hold()
        job = self._jobs.create(connection.connection_id, job_type)
        self._start(job, connection)
        return job

    def live(self, work: W) -> W:
        """A job or an attempt, with what the current attempt has read so far."""
        with self._lock:
            running = self._running.get(work.job_id) if work.is_active else None
        if running is None:
            return work
        rows, size = running.totals.rows, running.totals.bytes
        return replace(work, rows_synced=work.rows_synced + rows, bytes_synced=work.bytes_synced + size)

    def cancel(self, job_id: int) -> None:
        """Stop a job and wait until it has ended; a job that has ended or is just committing is not affected."""
        if running := self._stop(job_id, End("cancelled", "the job was cancelled")):
            running.thread.join(_CANCEL_WAIT)

    def close(self) -> None:
        """Stop all jobs and wait until they have stopped; the next process of the service continues them."""
        self._closing.set()
        with self._lock:
            running = dict(self._running)
        for job_id in running:
            self._stop(job_id, End("failed", INTERRUPTED))
        for each in running.values():
            each.thread.join(_CANCEL_WAIT)

    def _start(self, job: Job, connection: Connection) -> None:
        thread = threading.Thread(target=self._run, args=(job, connection), name=f"job-{job.job_id}", daemon=True)
        with self._lock:
            self._running[job.job_id] = _Running(job, connection, thread)
        thread.start()

    def _stop(self, job_id: int, verdict: End) -> _Running | None:
        with self._lock:
            running = self._running.get(job_id)
            if running and not running.verdict:
                running.verdict = verdict
        if running:
            running.stopped.set()
            if running.sync:
                running.sync.stop()
            else:
                end_orphans(str(running.job.run))  # its connector may be being installed
        return running

    def _run(self, job: Job, connection: Connection) -> None:
        limit = f"the sync took longer than airbyte.job_timeout, {self._job_timeout:g} s, and was ended"
        # Not from the start of the job, since the service may have been stopped for some time.
        timer = threading.Timer(self._job_timeout, self._stop, (job.job_id, End("failed", limit)))
        timer.daemon = True
        timer.start()
        running = self._running[job.job_id]
        try:
            with self._log_of(job) as job_log:
                job_log.info("job %d syncs the connection %s", job.job_id, connection.name)
                end = self._try(running, job_log)
                level = logging.INFO if end.status == "succeeded" else logging.ERROR
                text = f": {end.reason}" if end.reason else ""
                job_log.log(level, "%s%s", end.status, text)
                log.log(level, "job %d (%s) %s%s", job.job_id, connection.name, end.status, text)
        except Exception as error:
            log.exception("job %d", job.job_id)
            end = End("failed", f"unexpected failure of the service: {error!r}")
        timer.cancel()
        if end.reason != INTERRUPTED:
            self._keep(self._jobs.finish, job.job_id, end)
        with self._lock:
            del self._running[job.job_id]

    def _try(self, running: _Running, job_log: logging.Logger) -> End:
        """Make attempts until one succeeds or another would not help."""
        job = running.job
        while True:
            number = self._keep(self._jobs.start_attempt, job.job_id)
            if number is None:
                return End("failed", INTERRUPTED)
            totals = running.totals = Totals()
            end = self._attempt(running, job_log)
            with self._lock:
                verdict = running.verdict
            if verdict and end.status != "succeeded":
                end = verdict
            counts = {"rows": totals.committed, "size": totals.bytes, "nulled": totals.nulled.total()}
            counts["truncated"] = totals.truncated.total()
            self._keep(self._jobs.end_attempt, job.job_id, number, end, **counts)
            if end.status == "succeeded":
                job_log.info("attempt %d: %s", number, totals)
            is_final = end.failure_type == FailureType.config_error.value or number >= self._attempts
            if end.status == "succeeded" or verdict or is_final:
                return end
            pause = min(_BACK_OFF << (number - 1), _LONGEST_BACK_OFF)
            job_log.warning("attempt %d failed: %s; the next one starts in %d s", number, end.reason, pause)
            self._keep(self._jobs.pause, job.job_id)
            if running.stopped.wait(pause) and running.verdict:
                return running.verdict

    def _attempt(self, running: _Running, job_log: logging.Logger) -> End:
        try:
            self._jobs.hold()
            self._sync(running, job_log)
        except (SyncError, ConnectorError, DestinationError, ConnectorInstallError) as error:
            kind = error.failure_type
            return _failed(str(error), kind and kind.value)
        except (RegistryError, SealedError) as error:
            return _failed(str(error), FailureType.config_error.value)
        except (psycopg.Error, DestinationUnavailableError) as error:
            return _failed(f"the destination failed: {str(error).strip()}")
        except OtherServiceError as error:
            return _failed(str(error))
        except Exception as error:
            job_log.exception("unexpected failure of the service")
            return _failed(f"unexpected failure of the service: {error!r}", FailureType.system_error.value)
        return End("succeeded")

    def _sync(self, running: _Running, job_log: logging.Logger) -> None:
        job, connection = running.job, running.connection
        source = self._store.actor("source", connection.source_id)
        destination = self._store.actor("destination", connection.destination_id)
        assert source
        assert destination
        configuration = self._store.whole_configuration(source)
        connector = self._connectors.connector(configuration, run=str(job.run), log=job_log)
        whole = self._store.whole_configuration(destination)
        target = partial(self.open_destination, whole, sync_id=job.job_id)
        sync = Sync(connection, connector, target, running.totals, job_log, sync_id=job.job_id, run_id=str(job.run))
        with self._lock:
            running.sync = sync
        if running.verdict:
            sync.stop()
        sync.run()

    def _keep(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Store data of a job, retrying until the database answers; returns None if the service ends before."""
        while True:
            try:
                return call(*args, **kwargs)
            except psycopg.Error as error:
                log.error("the progress of job %d could not be stored: %s", args[0], error)
                if self._closing.wait(_STORE_RETRY):
                    return None  # the next process of the service continues the job

    @contextmanager
    def _log_of(self, job: Job) -> Generator[logging.Logger, None, None]:
        """The log of a job, separate from the service's log; if it grows too large, the oldest lines are dropped."""
        handler = RotatingFileHandler(
            self.log_file(job.job_id), maxBytes=_LOG_BYTES, backupCount=1, encoding="utf-8", errors="backslashreplace"
        )
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        job_log = logging.Logger(f"job-{job.job_id}")  # not registered, so that it is freed with its job
        job_log.addHandler(handler)
        with closing(handler):
            yield job_log


def _failed(reason: str, failure_type: str | None = None) -> End:
    return End("failed", reason.replace("\0", "\N{REPLACEMENT CHARACTER}")[:_REASON_LENGTH], failure_type)
