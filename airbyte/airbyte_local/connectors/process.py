"""Runs a source connector: starts its process, reads its messages, and ends its whole process group."""

import fcntl
import logging
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, TypeVar

import orjson
from airbyte_protocol.models import AirbyteCatalog, ConfiguredAirbyteCatalog, ConnectorSpecification, Status
from pydantic import BaseModel, ValidationError

import exact_json
from airbyte_local.columns import columns
from airbyte_local.connectors.images import Container
from airbyte_local.connectors.messages import LOGGED, ConnectorError, Messages, Output, shown
from airbyte_local.settings import RUN_VARIABLE, connector_environment, installer_environment

T = TypeVar("T", bound=BaseModel)

# Bytes that are read at once, which fit into a processor's cache; those that a connector may print ahead; and the size
# limit of a line.
_READ = 1 << 19
_PIPE = 1 << 20
_LINE = 64 << 20


@dataclass(eq=False, repr=False)
class Connector:
    """A program that speaks the Airbyte protocol, run in a process group of its own.

    Commands are run by one thread; `stop` may be called from another. They raise ConnectorError if the connector fails
    or does not answer.
    """

    # Command line without the arguments of the protocol, or the image to run in `container`.
    program: Sequence[str]
    # Content of the connector's `--config` file.
    configuration: dict[str, Any]
    # Whether it is one of our own modules.
    is_ours: bool
    # Marks every process of this connector, for `end_orphans`.
    run: str
    # For temporary files.
    folder: Path
    # Gets the connector's log messages and any other output.
    log: logging.Logger
    container: Container | None = None

    def __post_init__(self) -> None:
        """Does not start it yet."""
        self._name = Path(self.program[-1]).name
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def spec(self) -> ConnectorSpecification:
        """The specification of the connector's configuration."""
        return self._described(ConnectorSpecification, "spec", "SPEC")

    def check(self) -> str | None:
        """Explain why the source cannot be read with this configuration, or return None if it can."""
        answer = self._answer("check", "CONNECTION_STATUS")
        return None if answer.get("status") == Status.SUCCEEDED.value else str(answer.get("message"))

    def discover(self) -> AirbyteCatalog:
        """The streams that the source offers."""
        catalog = self._described(AirbyteCatalog, "discover", "CATALOG")
        for stream in catalog.streams:
            try:
                columns(stream.json_schema)
            except (AttributeError, TypeError):
                schema = shown(orjson.dumps(stream.json_schema))
                raise ConnectorError(
                    f"the connector {self._name} printed a broken schema of the stream {stream.name}: {schema}"
                ) from None
        return catalog

    def read(
        self,
        catalog: ConfiguredAirbyteCatalog,
        state: Any = None,
        *,
        meanwhile: Callable[[], None] = lambda: None,
        take: Callable[[bytes], bool] = lambda _: False,
    ) -> Iterator[Messages]:
        """RECORD and STATE messages in the order in which the connector prints them.

        Args:
            catalog: the streams to read.
            state: content of the connector's `--state` file, from which it continues; None: read from the beginning.
            meanwhile: called once, while the connector starts.
            take: called with lines as they were printed, without the last line break; if it returns True, the lines
                are not parsed here.
        """
        files = {"catalog": catalog.model_dump(mode="json", exclude_none=True), "state": state}
        return self._messages("read", meanwhile, take, **files)

    def stop(self) -> None:
        """End the process group, and start no other."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._kill(self._process)

    def _described(self, model: type[T], command: str, kind: str) -> T:
        answer = self._answer(command, kind)
        try:
            return model.model_validate(answer)
        except ValidationError as error:
            faults = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors(include_input=False)]
            raise ConnectorError(f"the connector {self._name} printed a broken {kind}: {'; '.join(faults)}") from None

    def _answer(self, command: str, kind: str) -> dict[str, Any]:
        found = [each for group in self._messages(command) if group.kind == kind for each in group.contents]
        if not found:
            raise ConnectorError(f"the connector {self._name} printed no {kind} message on {command}")
        return found[-1]

    def _messages(
        self,
        command: str,
        meanwhile: Callable[[], None] = lambda: None,
        take: Callable[[bytes], bool] = lambda _: False,
        **files: Any,
    ) -> Iterator[Messages]:
        output = Output(self._name, self.log)
        with TemporaryDirectory(dir=self.folder) as folder:
            process, stdout, stderr = self._start(command, Path(folder), files)
            drain = threading.Thread(target=_drain, args=(stderr, output), daemon=True)
            drain.start()
            watch = threading.Thread(target=self._watch, args=(process,), daemon=True)
            watch.start()
            try:
                meanwhile()
                for chunk in self._chunks(stdout):
                    if not take(chunk):
                        yield from output.parse(chunk.split(b"\n"))
                # Waits without reaping, so that no other process can get this group's id.
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            finally:
                with self._lock:
                    self._process = None
                    self._kill(process)
                process.wait()
                stdout.close()
                drain.join()
                watch.join()
        output.check(command, process.returncode)

    def _start(
        self, command: str, folder: Path, files: dict[str, Any]
    ) -> tuple[subprocess.Popen[bytes], FileIO, IO[bytes]]:
        given = []
        if command != "spec":
            files = {"config": self.configuration} | files
        for name, content in files.items():
            if content is not None:
                (folder / f"{name}.json").write_bytes(exact_json.dumps(content))
                given += [f"--{name}", str(folder / f"{name}.json")]
        if self.container:
            container = self.container.command(folder)
            # The docker client gets this environment, the container does not.
            environment = installer_environment(self.run)
        else:
            container, environment = [], connector_environment(self.run, folder, is_ours=self.is_ours)
        with self._lock:
            if self._stopped:
                raise ConnectorError("the connector was stopped")
            process = subprocess.Popen(
                [*container, *self.program, command, *given],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,
                bufsize=0,
            )
            self._process, stdout, stderr = process, process.stdout, process.stderr
        assert isinstance(stdout, FileIO)  # bufsize is 0
        assert stderr
        with suppress(OSError):  # the limit of this user may be lower
            fcntl.fcntl(stdout, fcntl.F_SETPIPE_SZ, _PIPE)
        return process, stdout, stderr

    def _chunks(self, stdout: FileIO) -> Iterator[bytes]:
        """As many whole lines at once as are available, without the last line break."""
        pieces: list[bytes] = []  # of an incomplete line
        size, buffer = 0, bytearray(_READ)
        while count := stdout.readinto(buffer):
            piece, end = memoryview(buffer)[:count], buffer.rfind(b"\n", 0, count) + 1
            if end:
                yield b"".join((*pieces, piece[: end - 1]))
                pieces, size = [], 0
            pieces.append(bytes(piece[end:]))
            size += len(pieces[-1])
            if size > _LINE:
                start = shown(next(filter(None, pieces)))
                raise ConnectorError(f"the connector {self._name} printed a line of over {_LINE >> 20} MB: {start}")
        if size:
            yield b"".join(pieces)

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        os.killpg(process.pid, signal.SIGKILL)
        end_orphans(self.run)  # processes that have left the group
        if self.container:
            self.container.end()

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """End the processes that the connector leaves behind, since they may hold its output open for ever."""
        with suppress(ChildProcessError):  # it has been ended and reaped already
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            with self._lock:
                if self._process is process:
                    self._kill(process)


def end_orphans(run: str) -> None:
    """Kill every process that connectors left behind in runs whose id starts with `run`."""
    mark = f"\0{RUN_VARIABLE}={run}".encode()
    # glob("[0-9]*/environ") would fail if a process ends at the same time.
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in b"\0" + (process / "environ").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)
        except OSError:
            continue  # belongs to another user, or has ended


def _drain(stderr: IO[bytes], output: Output) -> None:
    with stderr, open(stderr.fileno(), "rb", closefd=False) as lines:
        while line := lines.readline(LOGGED):
            output.text(line)
