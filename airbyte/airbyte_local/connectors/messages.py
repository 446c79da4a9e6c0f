"""Reads what a connector prints: messages of the Airbyte protocol, and text for the log."""

import logging
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from airbyte_protocol import models as protocol
from pydantic import ValidationError

import exact_json

# Bytes of a line that are logged.
LOGGED = 10_000
# Number of last lines that are quoted if a connector ends without an error message, and characters of each.
_LAST_LINES = 5
_LINE_SHOWN = 500
# Kinds of messages that are returned; all others are logged.
RETURNED = ("RECORD", "STATE", "SPEC", "CONNECTION_STATUS", "CATALOG")
_LEVELS = logging.getLevelNamesMapping() | {"TRACE": logging.DEBUG}


class ConnectorError(Exception):
    """The connector failed; the message is the connector's own if it gave one."""

    def __init__(self, message: str, failure_type: protocol.FailureType | None = None):
        super().__init__(message)
        self.failure_type = failure_type


@dataclass(frozen=True)
class Messages:
    """Successive messages of one kind, one of RETURNED."""

    kind: str
    # The object that each message holds for its kind.
    contents: list[dict[str, Any]]
    # Bytes of their lines.
    size: int
    # Whether a text in them may contain a NUL character.
    may_have_nul: bool


class Output:
    """The output of one run of a connector."""

    def __init__(self, name: str, log: logging.Logger):
        self._name = name
        self._log = log
        self._last: deque[str] = deque(maxlen=_LAST_LINES)
        self._errors: list[protocol.AirbyteErrorTraceMessage] = []
        # Streams that the connector has started and not completed.
        self._open_streams: set[str] = set()

    def parse(self, lines: list[bytes]) -> Iterator[Messages]:
        """The messages of some lines; text and other kinds of messages are logged; a broken one is a ConnectorError."""
        together = b",".join(lines)
        loads = exact_json.loader(together)
        try:
            # Parsing all lines at once takes half the time.
            parsed = loads(b"[%b]" % together)
            if len(parsed) == len(lines) and {message["type"] for message in parsed} == {"RECORD"}:
                yield self._group("RECORD", parsed, together)
                return
        except (ValueError, TypeError, KeyError):
            pass
        found = [(message, line) for line in lines if (message := self._message(line, loads))]
        for kind, group in groupby(found, key=lambda each: each[0]["type"]):
            messages, printed = zip(*group, strict=True)
            if kind in RETURNED:
                yield self._group(kind, messages, b",".join(printed))
                continue
            for message, line in zip(messages, printed, strict=True):
                self._note(message, line)

    def text(self, line: bytes) -> None:
        """Log a line that is not a message."""
        text = line[:LOGGED].decode(errors="backslashreplace").rstrip()
        self._last.append(text[:_LINE_SHOWN])
        self._log.info("connector output: %s", text)

    def check(self, command: str, code: int) -> None:
        """Raise ConnectorError after a TRACE error, an exit status other than 0, or if a stream was not completed."""
        if self._errors:
            raise ConnectorError(_explained(self._errors[0]), self._errors[0].failure_type)
        if code:
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
            last = "\n".join(self._last) or "it printed no reason"
            raise ConnectorError(f"the connector {self._name} {how} on {command}: {last}")
        if self._open_streams:
            streams = ", ".join(sorted(self._open_streams))
            raise ConnectorError(f"the connector {self._name} did not complete the stream {streams}; see the log")

    def _group(self, kind: str, messages: Sequence[dict[str, Any]], printed: bytes) -> Messages:
        key = "connectionStatus" if kind == "CONNECTION_STATUS" else kind.lower()
        contents = [content for message in messages if type(content := message.get(key)) is dict]
        if len(contents) < len(messages):
            broken = shown(exact_json.dumps(next(each for each in messages if type(each.get(key)) is not dict)))
            raise ConnectorError(f"the connector {self._name} printed a broken {kind}: {broken}")
        return Messages(kind, contents, len(printed) + 1, b"\\u0000" in printed)

    def _message(self, line: bytes, loads: Callable[[bytes], Any]) -> dict[str, Any] | None:
        """The message of a line, or None for text, which is logged."""
        if not line:
            return None
        try:
            message = loads(line)
        except ValueError as error:
            if line.startswith(b"{"):
                raise ConnectorError(f"the connector printed a broken message ({error}): {shown(line)}") from error
            message = None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            self.text(line)
            return None
        return message

    def _note(self, raw: dict[str, Any], line: bytes) -> None:
        """Log a message, and keep the error or the stream status that it holds."""
        try:
            message = protocol.AirbyteMessage.model_validate(raw)
        except ValidationError:
            self.text(line)  # a kind that this version of the protocol does not have
            return
        if message.log:
            self._log.log(_LEVELS[message.log.level.value], "connector: %s", message.log.message)
        elif message.trace and (error := message.trace.error):
            self._log.error("connector: %s\n%s", error.message, error.stack_trace or error.internal_message or "")
            self._errors.append(error)
        elif message.trace and (status := message.trace.stream_status):
            name = status.stream_descriptor.name
            self._log.info("connector: stream %s is %s", name, status.status.value)
            if status.status is protocol.AirbyteStreamStatus.COMPLETE:
                self._open_streams.discard(name)
            else:
                self._open_streams.add(name)
        elif message.type is protocol.Type.CONTROL:
            self._log.warning("connector: wants to change its configuration; connections.yaml is not changed")


def shown(line: bytes) -> str:
    """The beginning of a line, for error messages."""
    return line[:200].decode(errors="backslashreplace").rstrip()


def _explained(error: protocol.AirbyteErrorTraceMessage) -> str:
    """The connector's error message; for an unexpected failure, only the internal message is specific."""
    internal = error.internal_message
    return error.message if not internal or internal in error.message else f"{error.message} ({internal})"
