"""BigQuery's API as the destination uses it: queries, load jobs, datasets and tables of one project."""

import json
from collections.abc import Generator
from concurrent.futures import TimeoutError
from contextlib import contextmanager, suppress
from datetime import datetime
from threading import Event
from typing import IO, Any

from google.api_core.exceptions import GoogleAPIError, NotFound
from google.auth import default, impersonated_credentials
from google.auth.credentials import Credentials
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery
from google.oauth2 import service_account
from requests import RequestException

from airbyte_local.destinations.bigquery_tables import columns_of
from airbyte_local.destinations.config_models import BigQueryConfiguration
from airbyte_local.destinations.contract import DestinationError, DestinationUnavailableError
from airbyte_local.destinations.fitting import Existing
from airbyte_local.settings import BigQuery

_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
_ERRORS = (GoogleAPIError, GoogleAuthError, RequestException)
# Repeats a failed API call for up to 60 seconds; then the runner repeats the whole attempt.
_RETRY = bigquery.DEFAULT_RETRY.with_timeout(60)
_ONCE = bigquery.DEFAULT_RETRY.with_predicate(lambda _: False)


@contextmanager
def reported() -> Generator[None, None, None]:
    """Raise DestinationUnavailableError for errors of Google's libraries; also a decorator."""
    try:
        yield
    except _ERRORS as error:
        raise DestinationUnavailableError(str(error)) from error


class Project:
    """A project; methods raise the errors of Google's libraries."""

    def __init__(self, configuration: BigQueryConfiguration, settings: BigQuery | None = None):
        """Does not connect yet; raises DestinationError for an invalid key, DestinationUnavailableError for none.

        `settings` has bounds and labels of jobs, and the credentials if the configuration has none.
        """
        self._name = configuration.project_id
        self._location = configuration.dataset_location
        self._job: bigquery.QueryJob | bigquery.LoadJob | None = None
        self._stopped = Event()
        self._labels = {**settings.labels, "app": "mlops"} if settings else {}
        # Seconds until the end of a job is known, if it has a time-out: BigQuery itself ends it, a minute before.
        self._seconds = settings.job_timeout + 60 if settings else None
        query, load = bigquery.QueryJobConfig(), bigquery.LoadJobConfig()
        if settings:
            query.maximum_bytes_billed = settings.maximum_bytes_billed
            for config in (query, load):
                config.labels = {**self._labels, "task": "airbyte"}
                config.job_timeout_ms = settings.job_timeout * 1000
        with reported():
            credentials = _credentials(configuration, settings)
            self.client = bigquery.Client(
                self._name,
                credentials,
                location=self._location,
                default_query_job_config=query,
                default_load_job_config=load,
            )

    def cancel(self) -> None:
        """Cancel the running job, if any, and every later one."""
        self._stopped.set()
        if job := self._job:
            with suppress(*_ERRORS):
                job.cancel(retry=_RETRY)

    def query(self, statement: str) -> Any:
        """Run a statement or script; returns its rows."""
        return self._wait(self.client.query(statement, retry=_RETRY, job_retry=None))

    def load(self, file: IO[bytes], table: bigquery.TableReference) -> None:
        """Append the rows of a Parquet file, positioned at its end, to a table."""
        how = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
            write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
        )
        self._wait(self.client.load_table_from_file(file, table, rewind=True, size=file.tell(), job_config=how))

    def create_dataset(self, name: str) -> None:
        """Create a dataset if it is missing."""
        try:
            # A user who may write to a dataset may lack the right to create one.
            self.client.get_dataset(f"{self._name}.{name}", retry=_RETRY)
        except NotFound:
            dataset = bigquery.Dataset(f"{self._name}.{name}")
            dataset.location = self._location
            dataset.labels = self._labels
            self.client.create_dataset(dataset, exists_ok=True, retry=_RETRY)

    def create_table(
        self, dataset: str, name: str, types: dict[str, str], *, expires: datetime | None = None
    ) -> bigquery.TableReference:
        """Create a table, if it is missing, with columns of these names and types."""
        fields = [bigquery.SchemaField(column, kind) for column, kind in types.items()]
        table = bigquery.Table(f"{self._name}.{dataset}.{name}", fields)
        table.expires = expires
        table.labels = self._labels
        self.client.create_table(table, exists_ok=True, retry=_RETRY)
        return table.reference

    def drop_table(self, table: bigquery.TableReference) -> None:
        """Drop a table; ignores errors."""
        with suppress(*_ERRORS):
            self.client.delete_table(table, retry=_ONCE, timeout=10, not_found_ok=True)

    def columns(self, dataset: str, name: str) -> dict[str, Existing] | None:
        """A table's columns, or None if the table does not exist."""
        with suppress(NotFound):
            return columns_of(self.client.get_table(f"{self._name}.{dataset}.{name}", retry=_RETRY))
        return None

    def rows(self, dataset: str, name: str) -> list[Any]:
        """All rows of a table, none if it does not exist; unlike a query, this is free of charge."""
        with suppress(NotFound):
            return [*self.client.list_rows(f"{self._name}.{dataset}.{name}", retry=_RETRY)]
        return []

    def quoted(self, dataset: str, name: str) -> str:
        """Name of a table in SQL."""
        return f"`{self._name}.{dataset}.{name}`"

    def _wait(self, job: bigquery.QueryJob | bigquery.LoadJob) -> Any:
        self._job = job
        # `cancel` may have been called before the job existed.
        if self._stopped.is_set():
            job.cancel(retry=_RETRY)
        try:
            return job.result(retry=_RETRY, timeout=self._seconds)
        except TimeoutError:
            job.cancel(retry=_RETRY)
            raise DestinationUnavailableError(f"job {job.job_id} takes longer than warehouse.job_timeout") from None
        finally:
            self._job = None


def _credentials(configuration: BigQueryConfiguration, settings: BigQuery | None) -> Credentials | None:
    """The declared credentials, or those of the settings; None: the default credentials."""
    if configuration.credentials_json is None:
        return _own_credentials(settings) if settings else None
    try:
        key = json.loads(configuration.credentials_json.get_secret_value())
        return service_account.Credentials.from_service_account_info(key)
    except (ValueError, AttributeError):
        raise DestinationError(
            "credentials_json is not the key of a service account; set it to the content of the key file, or remove it"
            " to use the default credentials"
        ) from None


def _own_credentials(settings: BigQuery) -> Credentials:
    if settings.keyfile:
        try:
            found = service_account.Credentials.from_service_account_file(str(settings.keyfile), scopes=_SCOPES)
        except (OSError, ValueError) as error:
            raise DestinationError(
                f"the key {settings.keyfile} cannot be read ({error}); correct warehouse.keyfile, or remove it to use"
                " the default credentials"
            ) from None
    else:
        found, _ = default(_SCOPES)
    if settings.impersonate:
        return impersonated_credentials.Credentials(found, settings.impersonate, list(_SCOPES))
    return found
