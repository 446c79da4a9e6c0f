"""Opens the destination that a configuration describes."""

from airbyte_local.destinations.config_models import BigQueryConfiguration, Configuration
from airbyte_local.destinations.contract import Destination
from airbyte_local.destinations.postgres import PostgresDestination


def open_destination(configuration: Configuration, *, sync_id: int) -> Destination:
    """Connect to a destination; raises psycopg.Error, DestinationError or DestinationUnavailableError."""
    if not isinstance(configuration, BigQueryConfiguration):
        return PostgresDestination(configuration, sync_id=sync_id)
    # Imported only when needed: Google's libraries take 0.7 s and 40 MB.
    from airbyte_local.destinations.bigquery import BigQueryDestination

    return BigQueryDestination(configuration, sync_id=sync_id)
