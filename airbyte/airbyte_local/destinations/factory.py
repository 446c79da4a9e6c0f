"""Opens the destination that a configuration describes."""

from airbyte_local import settings
from airbyte_local.destinations.config_models import BigQueryConfiguration, Configuration
from airbyte_local.destinations.contract import Destination
from airbyte_local.destinations.postgres import PostgresDestination


def open_destination(
    configuration: Configuration, *, sync_id: int, bigquery: settings.BigQuery | None = None
) -> Destination:
    """Connect to a destination; raises psycopg.Error, DestinationError or DestinationUnavailableError.

    `bigquery` has the bounds and labels of jobs in BigQuery, and the credentials if the configuration has none; None:
    no bounds and no labels.
    """
    if not isinstance(configuration, BigQueryConfiguration):
        return PostgresDestination(configuration, sync_id=sync_id)
    # Imported only when needed: Google's libraries take 0.7 s and 40 MB.
    from airbyte_local.destinations.bigquery import BigQueryDestination

    return BigQueryDestination(configuration, bigquery, sync_id=sync_id)
