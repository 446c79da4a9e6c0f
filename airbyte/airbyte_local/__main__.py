"""Start the service: `python -m airbyte_local`, with `airbyte/` on PYTHONPATH."""

import gc
import logging
import sys

import psycopg
import uvicorn

from airbyte_local import api, declaration, settings
from airbyte_local.jobs import JobStore, OtherServiceError
from airbyte_local.runner import Runner


def main() -> int:
    """Serve until SIGTERM or SIGINT; 1 where the service cannot start, with the reason as the last line."""
    # Records are many small objects that never refer to each other in a circle.
    gc.set_threshold(100_000)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        own = settings.load()
        declared = declaration.load(own.airbyte.connections, settings.variables())
        jobs = JobStore(own.warehouse.conninfo())
    except (settings.SettingsError, declaration.DeclarationError, OtherServiceError, psycopg.Error) as error:
        print("the Airbyte service cannot start:", " ".join(str(error).split()), file=sys.stderr)
        return 1
    runner = Runner(
        declared,
        jobs,
        var=own.var.resolve(),
        uv=own.runner.root / "uv" / "bin" / "uv",
        job_timeout=own.airbyte.job_timeout,
        attempts=own.airbyte.attempts,
    )
    declared_at = int(own.airbyte.connections.stat().st_mtime)
    app = api.create_app(own.airbyte, declared, jobs, runner, declared_at=declared_at)
    address = {"host": own.airbyte.host, "port": own.airbyte.port}
    uvicorn.run(app, **address, access_log=False, log_config=None, timeout_graceful_shutdown=5)
    return 0


if __name__ == "__main__":
    sys.exit(main())
