"""The connector's commands over the Airbyte protocol: `python -m source_files spec|check|discover|read`."""

import argparse
import os
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from airbyte_protocol import models as protocol

from source_files import config, content, reading, state
from source_files.errors import SourceError
from source_files.records import now


def main() -> NoReturn:
    """Run one command of the protocol; the exit status is 1 if it failed."""
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
            _spec()
        elif arguments.command == "check":
            _check(arguments.config)
        elif arguments.command == "discover":
            _discover(_load(arguments.config))
        else:
            catalog = protocol.ConfiguredAirbyteCatalog.model_validate_json(arguments.catalog.read_bytes())
            _read(_load(arguments.config), catalog, state.load(arguments.state))
    except BrokenPipeError:
        _leave(1)  # the reader has gone
    except SourceError as error:
        _fail(str(error), error.failure_type)
    except Exception as error:
        _fail(f"source_files failed unexpectedly: {error!r}", protocol.FailureType.system_error)
    _leave(0)


def _load(path: Path) -> config.Config:
    settings = config.load(path)
    if any(content.is_bucket(stream.url) for stream in settings.streams):
        from source_files import buckets  # slow to import

        buckets.connect(settings)
    return settings


def _spec() -> None:
    _say("SPEC", spec={"connectionSpecification": config.Config.model_json_schema(), "supportsIncremental": True})


def _check(path: Path) -> None:
    try:
        for stream in _load(path).streams:
            reading.check(stream)
    except SourceError as error:
        status = {"status": "FAILED", "message": str(error)}
    else:
        status = {"status": "SUCCEEDED"}
    _say("CONNECTION_STATUS", connectionStatus=status)


def _discover(settings: config.Config) -> None:
    streams = [
        {
            "name": stream.name,
            "json_schema": reading.discover(stream),
            "supported_sync_modes": ["full_refresh", "incremental"],
            "source_defined_cursor": True,
            "source_defined_primary_key": [[name] for name in stream.primary_key or []] or None,
        }
        for stream in settings.streams
    ]
    _say("CATALOG", catalog={"streams": streams})


def _read(settings: config.Config, catalog: protocol.ConfiguredAirbyteCatalog, states: dict[str, state.State]) -> None:
    known = {stream.name: stream for stream in settings.streams}
    for configured in catalog.streams:
        name = configured.stream.name
        if name not in known:
            raise SourceError(f"the catalog asks for stream {name}; the configuration has {', '.join(known)}")
        incremental = configured.sync_mode is protocol.SyncMode.incremental
        _trace("STREAM_STATUS", stream_status={"stream_descriptor": {"name": name}, "status": "STARTED"})
        _read_stream(known[name], configured, states.get(name, state.State()) if incremental else None)
        _trace("STREAM_STATUS", stream_status={"stream_descriptor": {"name": name}, "status": "COMPLETE"})


def _read_stream(stream: config.Stream, configured: protocol.ConfiguredAirbyteStream, done: state.State | None) -> None:
    def save(done: state.State) -> None:
        stream_state = done.model_dump(exclude_none=True)
        described = {"stream_descriptor": {"name": stream.name}, "stream_state": stream_state}
        _say("STATE", state={"type": "STREAM", "stream": described})

    columns = list(configured.stream.json_schema.get("properties", {}))
    if not columns:
        raise SourceError(f"the catalog has no columns for stream {stream.name}; discover it again")
    for lines in reading.read(stream, columns, done, warn=_warn, save=save):
        sys.stdout.buffer.write(lines)


def _warn(message: str) -> None:
    _say("LOG", log={"level": "WARN", "message": message})


def _fail(message: str, failure_type: protocol.FailureType) -> NoReturn:
    error = {"message": message, "failure_type": failure_type, "stack_trace": traceback.format_exc()}
    try:
        _trace("ERROR", error=error)
    finally:
        _leave(1)


def _leave(status: int) -> NoReturn:
    """Exit immediately: all output is flushed, and a normal exit would report a broken pipe again."""
    os._exit(status)


def _trace(kind: str, **content: Any) -> None:
    _say("TRACE", trace={"type": kind, "emitted_at": now(), **content})


def _say(kind: str, **content: Any) -> None:
    message = protocol.AirbyteMessage.model_validate({"type": kind, **content})
    sys.stdout.buffer.write(message.model_dump_json(exclude_none=True, by_alias=True).encode() + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
