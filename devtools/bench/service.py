"""The measured Airbyte service: its connections, time and memory of syncs, and checks of the tables."""

import json
import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg

from airbyte_declaration.client import ACTIVE
from devtools.bench import records
from devtools.bench.instance import pss
from devtools.connections import declare, files
from devtools.instance import Instance, running, start
from stack import airbyte
from stack.embedded.services import Service, services
from stack.embedded.supervision import START_TIMEOUT
from stack.embedded.supervisor import STOP_TIMEOUT
from stack.environments import common_environment
from stack.errors import StackError
from stack.settings import Settings

# Records of each file.
FILES = {"million": 1_000_000, "quarter": 250_000, "ten": 10, "ten_million": 10_000_000}
PARTS = ("part_1", "part_2", "part_3", "part_4")
# The file of each connection; its source, stream and table have the connection's name.
CONNECTIONS = {
    **dict.fromkeys(("overwrite", "prepared", "dedup"), "million"),
    **dict.fromkeys(PARTS, "quarter"),
    "ten": "ten",
    "ten_million": "ten_million",
}
MESSAGES = "messages.jsonl"
SCHEMA = "bench"
# COPY makes it of a file.
COPIED = "copied"
CONNECTORS = Path(__file__).with_name("connectors")
# Seconds between two looks at jobs and memory.
POLL = 0.2
BLOCK = 1 << 20  # bytes


@contextmanager
def serving(instance: Instance) -> Generator["MeasuredService"]:
    """Run PostgreSQL, and the service with the measured connections, whose files go to the folder of the instance.

    The service is a child of this process: that of the supervisor would not find the connector of prepared messages.
    """
    folder = instance.folder / "files"
    folder.mkdir()
    register = folder / "connectors.yaml"
    register.write_text(json.dumps({name: {"module": f"source_{name}"} for name in ("files", "prepared")}))
    connections = {name: (_source(name, folder), _stream(name)) for name in CONNECTIONS}
    path = folder / "connections.yaml"
    settings = declare(instance.settings, path, SCHEMA, connections, connectors=str(register))
    service = next(each for each in services(settings, stay=False) if each.name == "airbyte")
    environment = common_environment(settings) | service.environment
    environment["PYTHONPATH"] += f"{os.pathsep}{CONNECTORS}"
    log = instance.folder / "service.log"
    with running(settings, "postgres"), log.open("w") as output:
        process = start(service.command, environment, output)
        try:
            deadline = time.monotonic() + START_TIMEOUT
            while not _is_ready(service):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise StackError(f"the Airbyte service does not start; see {log}\n{log.read_text()[-2000:]}")
                time.sleep(POLL)
            yield MeasuredService(settings, folder, psutil.Process(process.pid))
        finally:
            process.terminate()
            process.wait(STOP_TIMEOUT)


def _source(name: str, folder: Path) -> dict[str, Any]:
    if name != "prepared":
        return files(name, folder / f"{CONNECTIONS[name]}.csv", records.JSON_SCHEMA)
    stream = {"name": name, "json_schema": records.JSON_SCHEMA, "supported_sync_modes": ["full_refresh"]}
    return {"sourceType": "prepared", "catalog": {"streams": [stream]}, "messages": str(folder / MESSAGES)}


def _stream(name: str) -> dict[str, Any]:
    if name != "dedup":
        return {"syncMode": "full_refresh_overwrite"}
    return {"syncMode": "incremental_deduped_history", "cursorField": ["updated"], "primaryKey": [["id"]]}


def _is_ready(service: Service) -> bool:
    with suppress(httpx.HTTPError):
        return service.is_ready()
    return False


class MeasuredService:
    """The running service of an instance, with its `settings`, and the `ids` of its connections by name."""

    def __init__(self, settings: Settings, folder: Path, process: psutil.Process):
        """Make its connections; `folder` is that of the sources' files, `process` the service's."""
        self.settings, self._folder, self._process = settings, folder, process
        self._warehouse = settings.database("warehouse")
        # Of each file.
        self._sums: dict[str, tuple[int, int]] = {}
        self._api = airbyte.local_api(settings)
        self.ids = airbyte.apply(settings)

    def make(self, *files: str) -> None:
        """Make sources' files, and note what tables of their records have to hold."""
        for file in files:
            records.write_csv(self._folder / f"{file}.csv", FILES[file])
            self.copy(file)
            self._sums[file] = self._sum(COPIED)

    def make_messages(self) -> None:
        """Write what the prepared source prints: the records of its connection's file."""
        records.write_messages(self._folder / MESSAGES, FILES[CONNECTIONS["prepared"]], "prepared")

    def touch(self, file: str) -> None:
        """Make an incremental sync read a file again."""
        (self._folder / f"{file}.csv").touch()

    def copy(self, file: str) -> float:
        """Seconds that psycopg takes to COPY a file into a new table."""
        table = f"{SCHEMA}.{COPIED}"
        with psycopg.connect(**self._warehouse) as connection:
            columns = ", ".join(f"{name} {kind}" for name, _, kind in records.COLUMNS)
            emptied = f"create schema if not exists {SCHEMA}; drop table if exists {table}"
            connection.execute(f"{emptied}; create table {table} ({columns})".encode())
        began = time.monotonic()
        statement = f"copy {table} from stdin (format csv, header)"
        with (
            psycopg.connect(**self._warehouse) as connection,
            (self._folder / f"{file}.csv").open("rb") as source,
            connection.cursor().copy(statement) as target,
        ):
            while block := source.read(BLOCK):
                target.write(block)
        return time.monotonic() - began

    def sync(self, *names: str) -> tuple[float, int]:
        """Run syncs, all at once, and check them.

        Returns:
            Seconds from before the first was submitted until all were seen to have ended; and the highest memory use of
            the service and its connectors, in bytes.
        """
        began, peak = time.monotonic(), 0
        jobs = {name: self._api.submit(self.ids[name]) for name in names}
        while any(job["status"] in ACTIVE for job in jobs.values()):
            peak = max(peak, pss((self._process, *self._process.children(recursive=True))))
            time.sleep(POLL)
            jobs = {name: self._api.job(job) for name, job in jobs.items()}
        seconds = time.monotonic() - began
        for name in names:
            self.check(name, jobs[name])
        return seconds, peak

    def check(self, name: str, job: dict[str, Any]) -> None:
        """Check the job of a sync, and that its table is the one that COPY made of the same file."""
        file = CONNECTIONS[name]
        if job["status"] != "succeeded":
            raise StackError(f"the sync {name} {job['status']}: {job.get('failureReason')}; see {job.get('logFile')}")
        if job["rowsSynced"] != FILES[file]:
            raise StackError(
                f"the sync {name} moved {job['rowsSynced']} records, not {FILES[file]}: see {job.get('logFile')}"
            )
        if (found := self._sum(name)) != self._sums[file]:
            rows, wanted = found[0], self._sums[file][0]
            raise StackError(
                f"{SCHEMA}.{name} has {rows} rows, and COPY makes {wanted} of the same file, or their values differ:"
                " the measurement is wrong"
            )

    def _sum(self, table: str) -> tuple[int, int]:
        """Rows of a table, and a sum over all their values that is the same in any order."""
        # The two may write a number with different zeros at its end.
        values = ", ".join(f"trim_scale({name})" if kind == "numeric" else name for name, _, kind in records.COLUMNS)
        query = f"select count(*), sum(hashtextextended(row({values})::text, 0)) from {SCHEMA}.{table}"  # noqa: S608
        with psycopg.connect(**self._warehouse) as connection:
            return connection.execute(query.encode()).fetchone() or (0, 0)
