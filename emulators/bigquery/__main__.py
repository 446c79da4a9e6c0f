"""Starts the stand-in for BigQuery: `python -m emulators.bigquery --data DIR --port N --grpc-port N`.

Once it is ready it prints a line of JSON, {"url": REST address, "grpc": host:port of the Storage API}, and answers on
127.0.0.1 until a signal ends it. `GET /healthz` answers 200, also while a query runs.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
from pathlib import Path

from bqemulator.config import LogFormat, LogLevel, PersistenceMode, Settings
from bqemulator.observability.logging_ import configure_logging

# The rest of bqemulator logs when it is imported.
configure_logging(level=LogLevel.ERROR, fmt=LogFormat.CONSOLE)

from bqemulator.server import EmulatorServer  # noqa: E402

from emulators.bigquery import corrections, files, limits, received  # noqa: E402


async def serve(settings: Settings, *, until_stdin_closes: bool) -> None:
    """Serve until SIGTERM, SIGINT, or the end of standard input if that is asked for."""
    server = EmulatorServer(settings)
    await server.start()
    print(json.dumps({"url": server.rest_url, "grpc": server.grpc_endpoint}), flush=True)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    if until_stdin_closes:
        loop.add_reader(sys.stdin.fileno(), lambda: os.read(sys.stdin.fileno(), 1024) or stopped.set())
    await stopped.wait()
    limits.stop(server._engine)
    await server.stop()


def main() -> None:
    """Read the command line, correct the emulator, and serve."""
    parser = argparse.ArgumentParser(prog="python -m emulators.bigquery", description=__doc__)
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of the data; without it they are in memory")
    parser.add_argument("--port", type=int, default=0, help="port of the REST API (default: a free one)")
    parser.add_argument("--grpc-port", type=int, default=0, help="port of the Storage API (default: a free one)")
    parser.add_argument(
        "--storage-root", type=Path, metavar="DIR", help="data of the stand-in for Cloud Storage: gs://"
    )
    parser.add_argument("--until-stdin-closes", action="store_true", help="end with the process that started it")
    parser.add_argument(
        "--statements",
        type=Path,
        metavar="FILE",
        default=os.environ.get("BIGQUERY_EMULATOR_STATEMENTS"),
        help="append each query that is received, as JSON (default: the variable BIGQUERY_EMULATOR_STATEMENTS)",
    )
    options = parser.parse_args()
    corrections.install()
    files.use(options.storage_root and options.storage_root.resolve())
    if options.statements:
        received.write_to(options.statements)
    with tempfile.TemporaryDirectory() as uploads:
        settings = Settings(
            rest_host="127.0.0.1",
            rest_port=options.port,
            grpc_host="127.0.0.1",
            grpc_port=options.grpc_port,
            persistence_mode=PersistenceMode.PERSISTENT if options.data else PersistenceMode.EPHEMERAL,
            data_dir=options.data,
            upload_staging_dir=Path(uploads),
            log_level=LogLevel.ERROR,
            log_format=LogFormat.CONSOLE,
            # DuckDB would download it.
            enable_format_extensions=False,
            metrics_enabled=False,
        )
        asyncio.run(serve(settings, until_stdin_closes=options.until_stdin_closes))


if __name__ == "__main__":
    main()
