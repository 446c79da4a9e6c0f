"""The connector's commands over the Airbyte protocol: `python -m source_files spec|check|discover|read`."""

import argparse
import os
import sys
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

import orjson
from airbyte_protocol.models import (
    AirbyteCatalog,
    AirbyteConnectionStatus,
    AirbyteErrorTraceMessage,
    AirbyteLogMessage,
    AirbyteMessage,
    AirbyteStream,
    AirbyteStreamStatus,
    AirbyteStreamStatusTraceMessage,
    AirbyteTraceMessage,
    ConfiguredAirbyteCatalog,
    ConnectorSpecification,
    FailureType,
    Level,
    Status,
    StreamDescriptor,
    SyncMode,
    TraceType,
    Type,
)

from source_files import config
from source_files.errors import SourceError


def main() -> NoReturn:
    """Run one command of the protocol; the exit status is 1 where it failed."""
    parser = argparse.ArgumentParser(prog="source_files", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("spec")
    for command in ("check", "discover", "read"):
        options = commands.add_parser(command)
        options.add_argument("--config", type=Path, required=True)
        if command == "read":
            options.add_argument("--catalog", type=Path, required=True)
            options.add_argument("--state", type=Path)
    arguments = parser.parse_args()
    try:
        if arguments.command == "spec":
            _say(Type.SPEC, spec=ConnectorSpecification(connectionSpecification=config.Config.model_json_schema()))
        elif arguments.command == "check":
            _check(arguments.config)
        elif arguments.command == "discover":
            _discover(config.load(arguments.config))
        else:
            catalog = ConfiguredAirbyteCatalog.model_validate_json(arguments.catalog.read_bytes())
            _read(config.load(arguments.config), catalog)
    except BrokenPipeError:
        _leave(1)  # nobody reads any more
    except SourceError as error:
        _fail(str(error), error.failure_type)
    except Exception as error:
        _fail(f"source_files failed unexpectedly: {error!r}", FailureType.system_error)
    _leave(0)


def _check(path: Path) -> None:
    from source_files import table  # pyarrow, which spec and discover need not wait for

    try:
        for stream in config.load(path).streams:
            table.header(stream)
    except SourceError as error:
        status = AirbyteConnectionStatus(status=Status.FAILED, message=str(error))
    else:
        status = AirbyteConnectionStatus(status=Status.SUCCEEDED)
    _say(Type.CONNECTION_STATUS, connectionStatus=status)


def _discover(settings: config.Config) -> None:
    streams = [
        AirbyteStream(name=s.name, json_schema=s.json_schema, supported_sync_modes=[SyncMode.full_refresh])
        for s in settings.streams
    ]
    _say(Type.CATALOG, catalog=AirbyteCatalog(streams=streams))


def _read(settings: config.Config, catalog: ConfiguredAirbyteCatalog) -> None:
    from source_files import table  # pyarrow, which spec and discover need not wait for

    known = {stream.name: stream for stream in settings.streams}
    for configured in catalog.streams:
        name = configured.stream.name
        if name not in known:
            raise SourceError(f"the catalog asks for stream {name}; the configuration has {', '.join(known)}")
        _status(name, AirbyteStreamStatus.STARTED)
        for rows in table.read(known[name], warn=_warn):
            _records(name, rows)
        _status(name, AirbyteStreamStatus.COMPLETE)


def _records(stream: str, rows: Iterable[dict]) -> None:
    """Print rows as RECORD messages; made by hand, since this is where the time goes."""
    record = orjson.dumps({"stream": stream, "emitted_at": _now()})
    start, end = b'{"type":"RECORD","record":' + record[:-1] + b',"data":', b"}}\n"
    sys.stdout.buffer.write(b"".join([start + orjson.dumps(row) + end for row in rows]))


def _warn(message: str) -> None:
    _say(Type.LOG, log=AirbyteLogMessage(level=Level.WARN, message=message))


def _status(stream: str, status: AirbyteStreamStatus) -> None:
    descriptor = StreamDescriptor(name=stream)
    status_message = AirbyteStreamStatusTraceMessage(stream_descriptor=descriptor, status=status)
    trace = AirbyteTraceMessage(type=TraceType.STREAM_STATUS, emitted_at=_now(), stream_status=status_message)
    _say(Type.TRACE, trace=trace)


def _fail(message: str, failure_type: FailureType) -> NoReturn:
    error = AirbyteErrorTraceMessage(message=message, failure_type=failure_type, stack_trace=traceback.format_exc())
    try:
        _say(Type.TRACE, trace=AirbyteTraceMessage(type=TraceType.ERROR, emitted_at=_now(), error=error))
    finally:
        _leave(1)


def _leave(status: int) -> NoReturn:
    """End at once: while pyarrow reads ahead, an orderly end may hang (https://github.com/apache/arrow/issues/50482)."""
    os._exit(status)


def _say(kind: Type, **content: object) -> None:
    line = AirbyteMessage(type=kind, **content).model_dump_json(exclude_none=True, by_alias=True)
    sys.stdout.buffer.write(line.encode() + b"\n")
    sys.stdout.buffer.flush()


def _now() -> int:
    return int(time.time() * 1000)


if __name__ == "__main__":
    main()
