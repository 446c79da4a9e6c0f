"""Runs jobs, a thread each, and sees to it that every job ends: by itself, by cancel, by time limit or at a restart."""

import logging
import shutil
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg
from airbyte_protocol.models import FailureType

from airbyte_local.connector import Connector, ConnectorError, end_orphans
from airbyte_local.declaration import Connection, Declaration
from airbyte_local.jobs import Job, JobStore, Status
from airbyte_local.postgres import DestinationError, PostgresDestination
from airbyte_local.sync import Sync, SyncError, Totals

log = logging.getLogger(__name__)

INTERRUPTED = "the service was stopped while the job ran; start the sync again"
# Seconds that `cancel` waits for a sync to end, and between attempts to store a job's end.
_CANCEL_WAIT = 10
_STORE_RETRY = 1
# Characters of a failure's reason that are stored.
_REASON_LENGTH = 4000


@dataclass
class _Running:
    thread: threading.Thread
    sync: Sync | None = None
    # Why the sync was told to stop: the job's status and reason.
    verdict: tuple[Status, str] | None = None


class Runner:
    """The jobs of this process."""

    def __init__(self, declaration: Declaration, jobs: JobStore, *, var: Path, job_timeout: float):
        """Fail what a former process of this service left running and end its connectors.

        Args:
            declaration: the connections.
            jobs: the store.
            var: folder for logs and the connectors' files.
            job_timeout: seconds after which a sync is ended and fails.
        """
        self._declaration = declaration
        self._jobs = jobs
        self._job_timeout = job_timeout
        self._logs = var / "logs" / "airbyte"
        self._folder = var / "airbyte"
        self._lock = threading.Lock()
        self._running: dict[int, _Running] = {}
        self._closing = threading.Event()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        for job in jobs.interrupt(INTERRUPTED):
            end_orphans(str(job.run))
            with self._log_of(job) as job_log:
                self._report(job_log, job, "failed", INTERRUPTED)

    def log_file(self, job_id: int) -> Path:
        """Where a job's log is."""
        return self._logs / f"job-{job_id}.log"

    def submit(self, connection: Connection, job_type: str) -> Job:
        """Start a job.

        Raises:
            RunningJobError: the connection has a running one.
        """
        job = self._jobs.create(connection.id, job_type)
        thread = threading.Thread(target=self._run, args=(job, connection), name=f"job-{job.job_id}", daemon=True)
        with self._lock:
            self._running[job.job_id] = _Running(thread)
        thread.start()
        return job

    def cancel(self, job_id: int) -> None:
        """Stop a job and wait until it has ended; one that has ended, or is about to commit, ends as it would."""
        running = self._stop(job_id, "cancelled", "the job was cancelled")
        if running:
            running.thread.join(_CANCEL_WAIT)

    def close(self) -> None:
        """Fail every job that runs, and wait for their ends."""
        self._closing.set()
        with self._lock:
            threads = [(job_id, running.thread) for job_id, running in self._running.items()]
        for job_id, _ in threads:
            self._stop(job_id, "failed", INTERRUPTED)
        for _, thread in threads:
            thread.join(_CANCEL_WAIT)

    def _stop(self, job_id: int, status: Status, reason: str) -> _Running | None:
        with self._lock:
            running = self._running.get(job_id)
            if running and not running.verdict:
                running.verdict = status, reason
        if running and running.sync:
            running.sync.stop()
        return running

    def _run(self, job: Job, connection: Connection) -> None:
        limit = f"the sync took longer than airbyte.job_timeout, {self._job_timeout:g} s, and was ended"
        timer = threading.Timer(self._job_timeout, self._stop, (job.job_id, "failed", limit))
        timer.daemon = True
        timer.start()
        totals = Totals()
        status: Status = "failed"
        reason: str | None = None
        failure_type: FailureType | None = None
        try:
            with self._log_of(job) as job_log:
                job_log.info("job %d syncs the connection %s", job.job_id, connection.name)
                try:
                    self._sync(job, connection, totals, job_log)
                    status = "succeeded"
                except (SyncError, ConnectorError, DestinationError) as error:
                    reason, failure_type = str(error), error.failure_type
                except psycopg.Error as error:
                    reason = f"the destination {connection.destination} failed: {str(error).strip()}"
                with self._lock:
                    verdict = self._running[job.job_id].verdict
                if verdict and status != "succeeded":
                    (status, reason), failure_type = verdict, None
                self._report(job_log, job, status, reason or str(totals))
        except Exception as error:
            log.exception("job %d", job.job_id)
            status, reason = "failed", f"unexpected failure of the service: {error!r}"
        timer.cancel()
        self._store(job, totals, status, reason, failure_type)
        with self._lock:
            del self._running[job.job_id]

    def _sync(self, job: Job, connection: Connection, totals: Totals, job_log: logging.Logger) -> None:
        source = self._declaration.source(connection)
        configuration = self._declaration.destination(connection).configuration
        run, folder = str(job.run), self._folder
        connector = Connector(source.module, source.connector_configuration, run=run, folder=folder, log=job_log)
        destination = partial(PostgresDestination, configuration, sync_id=job.job_id)
        sync = Sync(connection, connector, destination, totals, job_log)
        with self._lock:
            running = self._running[job.job_id]
            running.sync = sync
        if running.verdict:
            sync.stop()
        sync.run()

    def _store(
        self, job: Job, totals: Totals, status: Status, reason: str | None, failure_type: FailureType | None
    ) -> None:
        """Store a job's end, however long the database is away: a job must not look running for ever."""
        counts = {"rows": totals.rows, "size": totals.bytes, "nulled": sum(totals.nulled.values())}
        kind = failure_type and failure_type.value
        if reason:
            reason = reason.replace("\0", "\N{REPLACEMENT CHARACTER}")[:_REASON_LENGTH]
        while True:
            try:
                self._jobs.finish(job.job_id, status, **counts, reason=reason, failure_type=kind)
                return
            except psycopg.Error as error:
                log.error("the end of job %d could not be stored: %s", job.job_id, error)
                if self._closing.wait(_STORE_RETRY):
                    return  # the next start of the service fails it

    @contextmanager
    def _log_of(self, job: Job) -> Iterator[logging.Logger]:
        """The job's log, whose lines do not go to the service's log."""
        handler = logging.FileHandler(self.log_file(job.job_id), encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        job_log = logging.Logger(f"job-{job.job_id}")  # not of the tree of loggers, so it goes with its job
        job_log.addHandler(handler)
        with closing(handler):
            yield job_log

    def _report(self, job_log: logging.Logger, job: Job, status: Status, text: str) -> None:
        """Write a job's end to its own log and to the service's."""
        level = logging.INFO if status == "succeeded" else logging.ERROR
        connection = self._declaration.connection(job.connection_id)
        job_log.log(level, "%s: %s", status, text)
        log.log(level, "job %d (%s) %s: %s", job.job_id, connection.name if connection else "removed", status, text)
