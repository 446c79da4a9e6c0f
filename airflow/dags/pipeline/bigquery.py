"""BigQuery's client as the checkpoints use it, behind SQLAlchemy's dialect.

Importing this module imports Google's libraries, which takes a second.
"""

from concurrent.futures import TimeoutError
from typing import Any, ClassVar

import google.auth
from google.auth import impersonated_credentials
from google.auth.credentials import Credentials
from google.cloud import bigquery
from google.cloud.bigquery.table import RowIterator
from google.oauth2 import service_account
from sqlalchemy.dialects import registry
from sqlalchemy.engine import URL
from sqlalchemy_bigquery import BigQueryDialect

from pipeline.settings import BigQuery

_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
# Repeats a failed API call for up to 60 seconds; then Airflow repeats the task.
_RETRY = bigquery.DEFAULT_RETRY.with_timeout(60)
# Seconds that a query may take beyond its own time-out until its end is known.
_GRACE = 60


class Client(bigquery.Client):
    """A client whose queries have our bounds and labels.

    Attributes:
        bytes_billed: bytes that the queries so far were billed for.
    """

    def __init__(self, settings: BigQuery):
        query = bigquery.QueryJobConfig(
            labels={**settings.labels, "app": "mlops", "task": "checkpoint"},
            maximum_bytes_billed=settings.maximum_bytes_billed,
            job_timeout_ms=settings.job_timeout * 1000,
        )
        super().__init__(
            settings.project, _credentials(settings), location=settings.location, default_query_job_config=query
        )
        self.bytes_billed = 0
        self._seconds = settings.job_timeout + _GRACE

    def query_and_wait(self, query: str, *, job_config: Any = None, page_size: Any = None, **_: Any) -> RowIterator:
        """Run a query as a job, whose costs are known at its end; DB-API's cursor calls this."""
        job = self.query(query, job_config=job_config, retry=_RETRY, job_retry=None)
        try:
            rows = job.result(page_size=page_size, retry=_RETRY, timeout=self._seconds)
        except TimeoutError:
            job.cancel(retry=_RETRY)
            raise
        self.bytes_billed += job.total_bytes_billed or 0
        return rows


class Dialect(BigQueryDialect):
    """The dialect of sqlalchemy-bigquery with our client."""

    # Said by each class for itself.
    supports_statement_cache = BigQueryDialect.supports_statement_cache
    client: ClassVar[Client]

    def create_connect_args(self, url: URL) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of a DB-API connection."""
        super().create_connect_args(url)
        return [], {"client": self.client}


def connect(settings: BigQuery) -> Client:
    """Make this process's engines of `bigquery://…?user_supplied_client=true` use a client with these settings."""
    Dialect.client = Client(settings)
    registry.register("bigquery", __name__, Dialect.__name__)
    return Dialect.client


def _credentials(settings: BigQuery) -> Credentials:
    if settings.keyfile:
        found = service_account.Credentials.from_service_account_file(settings.keyfile, scopes=_SCOPES)
    else:
        found, _ = google.auth.default(_SCOPES)
    if settings.impersonate:
        return impersonated_credentials.Credentials(found, settings.impersonate, list(_SCOPES))
    return found
