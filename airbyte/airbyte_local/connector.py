"""A connector's process: starts it, reads its messages line by line, and ends its whole process group."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
from airbyte_protocol.models import (
    AirbyteCatalog,
    AirbyteErrorTraceMessage,
    AirbyteMessage,
    ConfiguredAirbyteCatalog,
    FailureType,
    Level,
    TraceType,
    Type,
)
from pydantic import ValidationError

from airbyte_local.settings import RUN_VARIABLE, connector_environment

# Last lines of text, kept for the message of a connector that ends without saying why.
_LAST_LINES = 5
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


class Connector:
    """A source connector: a Python module run by this interpreter, in a process group of its own.

    One thread runs commands; `stop` may come from any other.
    """

    def __init__(self, module: str, configuration: dict[str, Any], *, run: str, folder: Path, log: logging.Logger):
        """Nothing is started yet.

        Args:
            module: importable name, such as source_files.
            configuration: what the connector's `--config` file holds.
            run: id that marks every process this connector starts, for `end_orphans`.
            folder: where the files for the connector live while it runs.
            log: takes the connector's log messages and whatever else it prints.
        """
        self._module = module
        self._configuration = configuration
        self._run = run
        self._folder = folder
        self._log = log
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def discover(self) -> AirbyteCatalog:
        """The streams that the source offers.

        Raises:
            ConnectorError: the connector failed or did not say.
        """
        found = [message for message, _ in self._messages("discover") if message["type"] == Type.CATALOG.value]
        if not found:
            raise ConnectorError(f"the connector {self._module} printed no CATALOG message on discover")
        return AirbyteCatalog.model_validate(found[-1]["catalog"])

    def read(self, catalog: ConfiguredAirbyteCatalog) -> Iterator[tuple[dict[str, Any], bytes]]:
        """RECORD and STATE messages in the connector's order, each with the line it came as.

        Raises:
            ConnectorError: at the end, after a TRACE error or an exit status other than 0; or at once, when a message
                is broken.
        """
        return self._messages("read", catalog)

    def stop(self) -> None:
        """End the process group, now and for good."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._kill(self._process)

    def _messages(
        self, command: str, catalog: ConfiguredAirbyteCatalog | None = None
    ) -> Iterator[tuple[dict[str, Any], bytes]]:
        last: deque[str] = deque(maxlen=_LAST_LINES)
        failure = None
        with TemporaryDirectory(dir=self._folder) as folder:
            process = self._start(command, Path(folder), catalog)
            drain = threading.Thread(target=self._drain, args=(process, last), daemon=True)
            drain.start()
            try:
                for line in process.stdout:
                    message = self._parse(line, last)
                    if message is None:
                        continue
                    kind = message["type"]
                    if kind == "RECORD" or kind in ("STATE", "CATALOG"):
                        yield message, line
                    else:
                        error = self._note(message, line, last)
                        failure = failure or error
                # Waits without reaping: until then, no other process can get this group's id.
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            finally:
                self._end(process)
                drain.join()
        if failure:
            raise ConnectorError(failure.message, failure.failure_type)
        if code := process.returncode:
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
            said = "\n".join(last) or "it gave no reason"
            raise ConnectorError(f"the connector {self._module} {how} on {command}: {said}")

    def _start(self, command: str, folder: Path, catalog: ConfiguredAirbyteCatalog | None) -> subprocess.Popen[bytes]:
        files = {"config": orjson.dumps(self._configuration)}
        if catalog:
            files["catalog"] = catalog.model_dump_json(exclude_none=True, by_alias=True).encode()
        arguments = [sys.executable, "-m", self._module, command]
        for name, content in files.items():
            (folder / f"{name}.json").write_bytes(content)
            arguments += [f"--{name}", str(folder / f"{name}.json")]
        with self._lock:
            if self._stopped:
                raise ConnectorError("the connector was stopped")
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=connector_environment(self._run),
                start_new_session=True,
                bufsize=1 << 20,
            )
            return self._process

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._process = None
            self._kill(process)
        process.wait()
        process.stdout.close()

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        os.killpg(process.pid, signal.SIGKILL)
        end_orphans(self._run)  # those that have left the group

    def _drain(self, process: subprocess.Popen[bytes], last: deque[str]) -> None:
        with process.stderr:
            for line in process.stderr:
                self._text(line, last)

    def _parse(self, line: bytes, last: deque[str]) -> dict[str, Any] | None:
        """The message of a line; None for text that is none, which goes to the log."""
        try:
            message = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            if line.startswith(b"{"):
                raise ConnectorError(f"the connector printed a broken message ({error}): {_shown(line)}") from error
            self._text(line, last)
            return None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            self._text(line, last)
            return None
        return message

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
            self._log.info("connector: stream %s is %s", status.stream_descriptor.name, status.status.value)
        elif message.type is Type.CONTROL:
            self._log.warning("connector: asks to store a new configuration; connections.yaml stays as it is")
        return None

    def _text(self, line: bytes, last: deque[str]) -> None:
        text = line.decode(errors="backslashreplace").rstrip()
        last.append(text[:500])
        self._log.info("connector says: %s", text)


def end_orphans(run: str) -> None:
    """Kill every process that a connector of this run left behind; they bear the run's id in their environment."""
    mark = f"{RUN_VARIABLE}={run}".encode()
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in entry.read_bytes().split(b"\0"):
                os.kill(int(entry.parent.name), signal.SIGKILL)
        except OSError:
            continue  # another user's, or gone meanwhile


def _shown(line: bytes) -> str:
    return line[:200].decode(errors="backslashreplace").rstrip()
