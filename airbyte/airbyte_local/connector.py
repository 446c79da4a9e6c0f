"""A connector's process: starts it, reads its messages, and ends its whole process group."""

import fcntl
import logging
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import orjson
from airbyte_protocol.models import (
    AirbyteCatalog,
    AirbyteErrorTraceMessage,
    AirbyteMessage,
    AirbyteStreamStatus,
    ConfiguredAirbyteCatalog,
    ConnectorSpecification,
    FailureType,
    Level,
    Status,
    TraceType,
    Type,
)
from pydantic import BaseModel, ValidationError

from airbyte_local import long_numbers
from airbyte_local.columns import columns
from airbyte_local.images import Container
from airbyte_local.settings import RUN_VARIABLE, connector_environment, installer_environment

T = TypeVar("T", bound=BaseModel)

# Bytes that are read at once, and of the longest line that is taken.
_READ = 1 << 20
_LINE = 64 << 20
# Last lines of text, kept for the message of a connector that ends without saying why, and characters of each.
_LAST_LINES = 5
_LINE_SHOWN = 500
# Bytes of a line that are logged.
_LOGGED = 10_000
# Kinds of messages that are handed on; the others go to the log.
_HANDED_ON = ("RECORD", "STATE", "SPEC", "CONNECTION_STATUS", "CATALOG")
_LEVELS = {
    Level.FATAL: logging.CRITICAL,
    Level.ERROR: logging.ERROR,
    Level.WARN: logging.WARNING,
    Level.INFO: logging.INFO,
    Level.DEBUG: logging.DEBUG,
    Level.TRACE: logging.DEBUG,
}


class ConnectorError(Exception):
    """The connector failed; the message is its own.

    Args:
        message: for people.
        failure_type: what the connector says of the failure, if it does; a config_error will not pass by itself.
    """

    def __init__(self, message: str, failure_type: FailureType | None = None):
        super().__init__(message)
        self.failure_type = failure_type


@dataclass(frozen=True)
class Messages:
    """Messages of one kind, one after the other as the connector printed them.

    Attributes:
        kind: RECORD, STATE, SPEC, CONNECTION_STATUS or CATALOG.
        contents: what each holds under its kind.
        size: bytes of their lines.
        may_have_nul: whether a text in them may have a NUL character.
    """

    kind: str
    contents: list[dict[str, Any]]
    size: int
    may_have_nul: bool


class Connector:
    """A source connector: a program that speaks the Airbyte protocol, in a process group of its own.

    One thread runs commands; `stop` may come from any other.
    """

    def __init__(
        self,
        program: Sequence[str],
        configuration: dict[str, Any],
        *,
        is_ours: bool,
        run: str,
        folder: Path,
        log: logging.Logger,
        container: Container | None = None,
    ):
        """Nothing is started yet.

        Args:
            program: what is run, without the protocol's own arguments; an image, where there is a container.
            configuration: what the connector's `--config` file holds.
            is_ours: whether it is a module beside this one.
            run: id that marks every process this connector starts, for `end_orphans`.
            folder: where the files for the connector live while it runs.
            log: takes the connector's log messages and whatever else it prints.
            container: in which it is run.
        """
        self._program = list(program)
        self._name = Path(program[-1]).name
        self._configuration = configuration
        self._is_ours = is_ours
        self._run = run
        self._folder = folder
        self._log = log
        self._container = container
        # Those that were not read to their end, by what the connector says itself.
        self._open_streams: set[str] = set()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def spec(self) -> ConnectorSpecification:
        """What the connector's configuration has to be.

        Raises:
            ConnectorError: the connector failed or did not say.
        """
        return self._described(ConnectorSpecification, "spec", "SPEC")

    def check(self) -> str | None:
        """Why the source cannot be read with this configuration; None: it can.

        Raises:
            ConnectorError: the connector failed or did not say.
        """
        answer = self._answer("check", "CONNECTION_STATUS")
        return None if answer.get("status") == Status.SUCCEEDED.value else str(answer.get("message"))

    def discover(self) -> AirbyteCatalog:
        """The streams that the source offers.

        Raises:
            ConnectorError: the connector failed or did not say.
        """
        catalog = self._described(AirbyteCatalog, "discover", "CATALOG")
        for stream in catalog.streams:
            try:
                columns(stream.json_schema)
            except (AttributeError, TypeError):
                schema = _shown(orjson.dumps(stream.json_schema))
                raise ConnectorError(
                    f"the connector {self._name} printed a broken schema of the stream {stream.name}: {schema}"
                ) from None
        return catalog

    def read(
        self, catalog: ConfiguredAirbyteCatalog, state: Any = None, *, take: Callable[[bytes], bool] = lambda _: False
    ) -> Iterator[Messages]:
        """RECORD and STATE messages in the connector's order.

        Args:
            catalog: what to read.
            state: from where to go on, as a connector's `--state` file holds it; None: from the beginning.
            take: is offered lines as they were printed, without the last one's end; whether it takes them, and no
                messages are made of them.

        Raises:
            ConnectorError: at the end, after a TRACE error or an exit status other than 0; or at once, when a message
                is broken or a line has no end.
        """
        files = {"catalog": catalog.model_dump(mode="json", exclude_none=True), "state": state}
        return self._messages("read", take, **files)

    def stop(self) -> None:
        """End the process group, now and for good."""
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
        self, command: str, take: Callable[[bytes], bool] = lambda _: False, **files: Any
    ) -> Iterator[Messages]:
        last: deque[str] = deque(maxlen=_LAST_LINES)
        errors: list[AirbyteErrorTraceMessage] = []
        self._open_streams.clear()
        with TemporaryDirectory(dir=self._folder) as folder:
            process = self._start(command, Path(folder), files)
            drain = threading.Thread(target=self._drain, args=(process, last), daemon=True)
            drain.start()
            watch = threading.Thread(target=self._watch, args=(process,), daemon=True)
            watch.start()
            try:
                for chunk in self._chunks(process):
                    if not take(chunk):
                        yield from self._parse(chunk.split(b"\n"), last, errors)
                # Waits without reaping: until then, no other process can get this group's id.
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            finally:
                self._end(process)
                drain.join()
                watch.join()
        if errors:
            raise ConnectorError(_said(errors[0]), errors[0].failure_type)
        if code := process.returncode:
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
            said = "\n".join(last) or "it gave no reason"
            raise ConnectorError(f"the connector {self._name} {how} on {command}: {said}")
        if self._open_streams:
            streams = ", ".join(sorted(self._open_streams))
            raise ConnectorError(
                f"the connector {self._name} did not come to the end of the stream {streams}; see the log"
            )

    def _start(self, command: str, folder: Path, files: dict[str, Any]) -> subprocess.Popen[bytes]:
        given = []
        if command != "spec":
            files = {"config": self._configuration} | files
        for name, content in files.items():
            if content is not None:
                (folder / f"{name}.json").write_bytes(orjson.dumps(content))
                given += [f"--{name}", str(folder / f"{name}.json")]
        container = self._container.command(folder) if self._container else []
        # What the docker client is told, its container is not.
        environment = (
            installer_environment(self._run)
            if container
            else connector_environment(self._run, folder, is_ours=self._is_ours)
        )
        with self._lock:
            if self._stopped:
                raise ConnectorError("the connector was stopped")
            self._process = subprocess.Popen(
                [*container, *self._program, command, *given],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,
                bufsize=0,
            )
            with suppress(OSError):  # more than this user may have
                fcntl.fcntl(self._process.stdout, fcntl.F_SETPIPE_SZ, _READ)
            return self._process

    def _chunks(self, process: subprocess.Popen[bytes]) -> Iterator[bytes]:
        """Lines without the last one's end, as many at once as were printed meanwhile."""
        pieces: list[bytes] = []  # of a line whose end has not come
        size = 0
        while piece := process.stdout.read(_READ):
            end = piece.rfind(b"\n") + 1
            if end:
                yield b"".join((*pieces, piece[: end - 1]))
                pieces, size = [], 0
            pieces.append(piece[end:])
            size += len(pieces[-1])
            if size > _LINE:
                shown = _shown(next(filter(None, pieces)))
                raise ConnectorError(f"the connector {self._name} printed a line of over {_LINE >> 20} MB: {shown}")
        if size:
            yield b"".join(pieces)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._process = None
            self._kill(process)
        process.wait()
        process.stdout.close()

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        os.killpg(process.pid, signal.SIGKILL)
        end_orphans(self._run)  # those that have left the group
        if self._container:
            self._container.end()

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """End what the connector leaves behind when it ends, since that may hold its output open for ever."""
        with suppress(ChildProcessError):  # it was ended, and waited for, meanwhile
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            with self._lock:
                if self._process is process:
                    self._kill(process)

    def _drain(self, process: subprocess.Popen[bytes], last: deque[str]) -> None:
        with process.stderr, open(process.stderr.fileno(), "rb", closefd=False) as lines:
            while line := lines.readline(_LOGGED):
                self._text(line, last)

    def _parse(
        self, lines: list[bytes], last: deque[str], errors: list[AirbyteErrorTraceMessage]
    ) -> Iterator[Messages]:
        """The messages of some lines; what is none, or of another kind, goes to the log."""
        together = b",".join(lines)
        try:
            # One call for all of them takes half the time.
            parsed = _loads(b"[%b]" % together)
            if len(parsed) == len(lines) and {message["type"] for message in parsed} == {"RECORD"}:
                yield self._group("RECORD", parsed, together)
                return
        except (orjson.JSONDecodeError, TypeError, KeyError):
            pass
        found = [(message, line) for line in lines if (message := self._message(line, last))]
        for kind, group in groupby(found, key=lambda each: each[0]["type"]):
            messages, printed = zip(*group, strict=True)
            if kind in _HANDED_ON:
                yield self._group(kind, messages, b",".join(printed))
                continue
            for message, line in zip(messages, printed, strict=True):
                if error := self._note(message, line, last):
                    errors.append(error)

    def _group(self, kind: str, messages: Sequence[dict[str, Any]], printed: bytes) -> Messages:
        key = "connectionStatus" if kind == "CONNECTION_STATUS" else kind.lower()
        contents = [message.get(key) for message in messages]
        if set(map(type, contents)) != {dict}:
            broken = next(each for each, content in zip(messages, contents, strict=True) if type(content) is not dict)
            raise ConnectorError(f"the connector {self._name} printed a broken {kind}: {_shown(orjson.dumps(broken))}")
        return Messages(kind, contents, len(printed) + 1, b"\\u0000" in printed)

    def _message(self, line: bytes, last: deque[str]) -> dict[str, Any] | None:
        """The message of a line; None for text that is none, which goes to the log."""
        if not line:
            return None
        try:
            message = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            if line.startswith(b"{"):
                raise ConnectorError(f"the connector printed a broken message ({error}): {_shown(line)}") from error
            message = None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            self._text(line, last)
            return None
        # The connector would get it back as a text of a state.
        return _loads(line) if message["type"] == "RECORD" else message

    def _note(self, raw: dict[str, Any], line: bytes, last: deque[str]) -> AirbyteErrorTraceMessage | None:
        """Log a message that is neither record nor state; the error where it is one."""
        try:
            message = AirbyteMessage.model_validate(raw)
        except ValidationError:
            self._text(line, last)  # a kind that this version of the protocol does not know
            return None
        if message.log:
            self._log.log(_LEVELS[message.log.level], "connector: %s", message.log.message)
        elif message.trace and message.trace.type is TraceType.ERROR:
            error = message.trace.error
            self._log.error("connector: %s\n%s", error.message, error.stack_trace or error.internal_message or "")
            return error
        elif message.trace and message.trace.type is TraceType.STREAM_STATUS:
            status = message.trace.stream_status
            name = status.stream_descriptor.name
            self._log.info("connector: stream %s is %s", name, status.status.value)
            if status.status is AirbyteStreamStatus.COMPLETE:
                self._open_streams.discard(name)
            else:
                self._open_streams.add(name)
        elif message.type is Type.CONTROL:
            self._log.warning("connector: asks to store a new configuration; connections.yaml stays as it is")
        return None

    def _text(self, line: bytes, last: deque[str]) -> None:
        text = line[:_LOGGED].decode(errors="backslashreplace").rstrip()
        last.append(text[:_LINE_SHOWN])
        self._log.info("connector says: %s", text)


def end_orphans(run: str) -> None:
    """Kill every process that a connector of this run left behind; they bear the run's id in their environment.

    Args:
        run: id of one run, or what the ids of several begin with.
    """
    mark = f"{RUN_VARIABLE}={run}".encode()
    # glob("[0-9]*/environ") would fail where a process ends meanwhile.
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(variable.startswith(mark) for variable in (process / "environ").read_bytes().split(b"\0")):
                os.kill(int(process.name), signal.SIGKILL)
        except OSError:
            continue  # another user's, or gone meanwhile


def _loads(text: bytes) -> Any:
    return long_numbers.loads(text) if long_numbers.has_any(text) else orjson.loads(text)


def _said(error: AirbyteErrorTraceMessage) -> str:
    """What the connector says went wrong; for a failure that it did not expect, only the internal message says what."""
    internal = error.internal_message
    return error.message if not internal or internal in error.message else f"{error.message} ({internal})"


def _shown(line: bytes) -> str:
    return line[:200].decode(errors="backslashreplace").rstrip()
