"""Start the service: `python -m airbyte_local`, with `airbyte/` on PYTHONPATH."""

import gc
import logging
import sys

import psycopg
import uvicorn

from airbyte_local import settings, web
from airbyte_local.api.app import create_app
from airbyte_local.connectors.manager import ConnectorManager
from airbyte_local.jobs import JobStore, OtherServiceError
from airbyte_local.store import Store
from airbyte_local.sync.runner import Runner


def main() -> int:
    """Serve until SIGTERM or SIGINT; returns 1 if the service cannot start and prints the reason as the last line."""
    # Records are many small objects without reference cycles, so collect garbage less often.
    gc.set_threshold(100_000)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        own = settings.load()
        jobs = JobStore(own.airbyte.database.conninfo())
    except (settings.SettingsError, OtherServiceError, psycopg.Error) as error:
        print("the Airbyte service cannot start:", " ".join(str(error).split()), file=sys.stderr)
        return 1
    store = Store(own.airbyte.database.conninfo(), own.airbyte.signing_key.get_secret_value())
    connectors = ConnectorManager(own)
    runner = Runner(own, store, jobs, connectors)
    app = create_app(own.airbyte, store, jobs, connectors, runner)
    app.include_router(web.router(own.airbyte, store, jobs, runner))
    address = {"host": own.airbyte.host, "port": own.airbyte.port}
    uvicorn.run(app, **address, access_log=False, log_config=None, timeout_graceful_shutdown=5)
    return 0


if __name__ == "__main__":
    sys.exit(main())
