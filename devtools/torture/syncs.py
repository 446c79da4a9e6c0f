"""Kills during incremental syncs: every record must arrive once, and no state may go back."""

import csv
import random
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import sql

from airbyte_declaration.client import ACTIVE, AirbyteError
from devtools.connections import declare, files
from devtools.instance import Instance, running
from devtools.torture.moments import Outcome
from devtools.torture.runs import kill, named
from stack import airbyte
from stack.errors import StackError

# What is killed.
NAMES = ("airbyte", "connector", "postgres")
# Of each sync: files, and records of a file.
FILES, RECORDS = 20, 10_000
# Each has a folder of files and a table of its own.
MODES = {"append": "incremental_append", "dedup": "incremental_deduped_history"}
SCHEMA = {"type": "object", "properties": {"id": {"type": "integer"}, "text": {"type": "string"}}}
# Seconds: between two looks, and until a sync has to end.
LOOK = 0.05
LIMIT = 300
# Latest moment of a kill, as a share of an untouched sync's time: its end is seen later than it comes.
LATEST = 0.7
READ_FILES = """
    select count(*) from airbyte.states s, json_object_keys(s.message -> 'stream' -> 'stream_state' -> 'files')
    where s.stream = %s
"""


class SyncTorture:
    """A service whose syncs are struck, in the context `serving`."""

    def __init__(self, instance: Instance):
        """Declare the connections of a new instance."""
        self._instance, self._folder = instance, instance.folder / "files"
        self._files = dict.fromkeys(MODES, 0)
        # Of a sync that is not struck.
        self._seconds = 0.0
        connections = {}
        for mode, sync_mode in MODES.items():
            (self._folder / mode).mkdir(parents=True)
            source = files(mode, self._folder / mode / "*.csv", SCHEMA)
            connections[mode] = source, {"syncMode": sync_mode, "primaryKey": [["id"]]}
        self._settings = declare(instance.settings, self._folder / "connections.yaml", "torture", connections)

    @contextmanager
    def serving(self) -> Generator[None]:
        """Context in which the service runs; learns how long a sync takes."""
        with running(self._settings, "postgres", "airbyte"):
            self._ids, self._api = airbyte.apply(self._settings), airbyte.local_api(self._settings)
            for mode in MODES:
                untouched = self._strike(mode, None, 0)
                if untouched.error or untouched.faults:
                    raise StackError(f"a sync fails without a strike: {untouched}")
                self._seconds = untouched.seconds
            yield

    def strike(self, name: str, *, seed: int) -> Outcome:
        """Kill a process of NAMES during a sync of new files, at a moment of a seed; check the table in the end."""
        choose = random.Random(f"{seed} {name}")  # noqa: S311
        return self._strike(choose.choice(list(MODES)), name, choose.uniform(0, LATEST * self._seconds))

    def _strike(self, mode: str, name: str | None, moment: float) -> Outcome:
        self._make_files(mode)
        began, struck, read, faults = time.monotonic(), [], 0, []
        job = self._api.submit(self._ids[mode])
        while job["status"] in ACTIVE:
            age = time.monotonic() - began
            if age > LIMIT:
                raise StackError(f"the sync {mode} did not end within {LIMIT} s; see {job['logFile']}")
            if name and not struck and age >= moment and any(map(kill, named(name, self._instance.processes()))):
                struck.append(f"{name} at {age:.2f} s of the sync {mode}")
            read, before = self._read_files(mode, otherwise=read), read
            if read < before:
                faults.append(f"the state of {mode} went back from {before} files to {read}")
            time.sleep(LOOK)
            with suppress(AirbyteError):  # the service restarts
                job = self._api.job(job)
        error = job["failureReason"] if job["status"] != "succeeded" else None
        if error and self._wait(self._api.submit(self._ids[mode]))["status"] != "succeeded":
            faults.append("the next sync fails too")
        missed = [name] if name and not struck else []
        return Outcome(struck, missed, time.monotonic() - began, error, faults + list(self._wrong(mode)))

    def _make_files(self, mode: str) -> None:
        """Replace the files by new ones, and delete the rows of the old ones: the disk is small."""
        for path in (self._folder / mode).glob("*.csv"):
            path.unlink()
        with psycopg.connect(**self._settings.database("warehouse")) as connection:
            table = sql.Identifier("torture", mode)
            if connection.execute("select 1 where to_regclass(%s) is not null", [f"torture.{mode}"]).fetchone():
                connection.execute(sql.SQL("truncate {}").format(table))
        for _ in range(FILES):
            number = self._files[mode] = self._files[mode] + 1
            # Renamed when complete, so that nobody reads half a file.
            path = self._folder / mode / f"{number:05}.csv"
            with path.with_suffix(".new").open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(("id", "text"))
                writer.writerows((id_, f"record {id_}") for id_ in range((number - 1) * RECORDS, number * RECORDS))
            path.with_suffix(".new").rename(path)

    def _wrong(self, mode: str) -> Iterator[str]:
        """What differs from the files after a sync has ended."""
        first, wanted = (self._files[mode] - FILES) * RECORDS, FILES * RECORDS
        with psycopg.connect(**self._settings.database("warehouse")) as connection:
            query = sql.SQL("select count(*), count(distinct id), min(id), max(id) from {}")
            found = connection.execute(query.format(sql.Identifier("torture", mode))).fetchone() or (0, 0)
        if found != (wanted, wanted, first, first + wanted - 1):
            yield f"the table {mode} has {found[0]} rows with {found[1]} ids, which are not the files' {wanted}"
        if (read := self._read_files(mode, otherwise=0)) != self._files[mode]:
            yield f"the state of {mode} has {read} of {self._files[mode]} files"
        if left := [" ".join(each.info["cmdline"]) for each in named("connector", self._instance.processes())]:
            yield f"left running: {left}"

    def _read_files(self, mode: str, *, otherwise: int) -> int:
        """Number of files in the state; `otherwise` if the database does not answer."""
        with (
            suppress(psycopg.Error),
            psycopg.connect(**self._settings.database("warehouse"), connect_timeout=5) as connection,
        ):
            return (connection.execute(READ_FILES, [mode]).fetchone() or (otherwise,))[0]
        return otherwise

    def _wait(self, job: dict[str, Any]) -> dict[str, Any]:
        while job["status"] in ACTIVE:
            time.sleep(LOOK)
            job = self._api.job(job)
        return job
