"""A throw-away BigQuery for tests, in the environment bqemulator: `python bigquery_emulator.py DIRECTORY`.

After lines of the emulator's own it prints its address as a line of JSON, and lives until its standard input closes,
however its parent ended. Its data is in its memory.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

import duckdb
import duckdb_extension_spatial
from bqemulator.api.routes import upload
from bqemulator.config import LogFormat, LogLevel, Settings
from bqemulator.server import EmulatorServer
from bqemulator.storage import type_map
from sqlglot import exp
from sqlglot.generators.duckdb import DuckDBGenerator


async def serve(folder: Path) -> None:
    """Serve until standard input closes."""
    settings = Settings(
        rest_port=0,
        grpc_port=0,
        log_level=LogLevel.ERROR,
        log_format=LogFormat.CONSOLE,
        upload_staging_dir=folder / "uploads",
        # It would be downloaded.
        enable_format_extensions=False,
    )
    server = EmulatorServer(settings)
    await server.start()
    print(json.dumps({"url": server.rest_url}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop()


def main() -> None:
    """Make ready what the emulator expects, then serve."""
    folder = Path(sys.argv[1])
    # DuckDB keeps its extensions there.
    os.environ["HOME"] = str(folder)
    (extension,) = Path(duckdb_extension_spatial.__file__).parent.rglob("spatial.duckdb_extension")
    duckdb.connect().execute(f"install '{extension}'")
    # google-cloud-bigquery uploads files as this.
    upload._PERMITTED_MEDIA_CONTENT_TYPES += ("*/*",)
    # DuckDB has no decimals of 76 digits, and of 38 digits these leave enough on both sides of the point.
    type_map._BQ_TO_DUCKDB["BIGNUMERIC"] = "DECIMAL(38, 18)"
    DuckDBGenerator.TYPE_PARAM_SETTINGS[exp.DType.BIGDECIMAL] = ((38, 18), (38, 38))
    asyncio.run(serve(folder))


if __name__ == "__main__":
    main()
