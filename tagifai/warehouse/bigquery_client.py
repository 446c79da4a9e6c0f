"""BigQuery's APIs as tagifai uses them: queries, load jobs and fast reads, with our bounds and labels on each.

Importing this module imports Google's libraries, which takes a second.
"""

import io
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, TimeoutError
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import google.auth
import grpc
import pyarrow as pa
import pyarrow.parquet
from google.api_core.exceptions import BadRequest, Forbidden, GoogleAPIError, NotFound, Unauthorized
from google.auth import impersonated_credentials
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import BigQueryReadClient, types
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport
from google.oauth2 import service_account
from requests import RequestException

from tagifai.errors import ServiceError, TagifaiError
from tagifai.google_errors import may_pass
from tagifai.settings import BigQuery

_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
# Repeats a failed API call for up to 60 seconds; then Airflow repeats the whole task.
_RETRY = bigquery.DEFAULT_RETRY.with_timeout(60)
# Seconds that a job may take beyond its own time-out until its end is known.
_GRACE = 60
# How long a table of a killed command is kept.
_LIFE = timedelta(days=1)
# Threads that read the streams of a table.
_STREAMS = 4
# Refusals that another try may pass.
_PASSING = {"rateLimitExceeded", "quotaExceeded", "backendError", "internalError", "jobRateLimitExceeded"}
# What SQL calls the types of fields that the API answers.
_SQL_TYPES = {"INTEGER": "INT64", "FLOAT": "FLOAT64"}


@contextmanager
def reported(settings: BigQuery) -> Generator[None]:
    """Raise TagifaiError for what BigQuery refuses, and ServiceError for what another try may pass."""
    try:
        yield
    except (GoogleAPIError, GoogleAuthError, RequestException, TimeoutError, OSError, ValueError) as error:
        reason = " ".join(str(getattr(error, "message", None) or error or type(error).__name__).split())
        kind, remedy = _judged(error)
        raise kind(f"BigQuery, project {settings.project} in {settings.location}: {reason}. {remedy}") from error


def _judged(error: Exception) -> tuple[type[TagifaiError], str]:
    """Whether another try may help, and what to do."""
    reasons = {str(each.get("reason")) for each in getattr(error, "errors", []) if isinstance(each, dict)}
    if reasons & _PASSING:
        return ServiceError, "It may pass by itself; if not, ask for a higher quota."
    if isinstance(error, NotFound):
        return TagifaiError, "Check warehouse.project, warehouse.location and warehouse.prefix."
    if "stopped" in reasons or isinstance(error, TimeoutError):
        return ServiceError, "Raise warehouse.job_timeout if such a job needs longer."
    if "bytesBilledLimitExceeded" in reasons:
        return TagifaiError, "Raise warehouse.maximum_bytes_billed if such a query is meant to run."
    if isinstance(error, Forbidden):
        return TagifaiError, (
            "Give the account the roles BigQuery Data Editor, BigQuery Job User and BigQuery Read Session User."
        )
    is_local = isinstance(error, GoogleAuthError | ValueError | OSError) and not isinstance(error, RequestException)
    if isinstance(error, Unauthorized) or (is_local and not may_pass(error)):
        return TagifaiError, (
            "Log in with `gcloud auth application-default login`, or set warehouse.keyfile to the key of an account."
        )
    if isinstance(error, BadRequest):
        return TagifaiError, "Check the table's columns and warehouse.location."
    return ServiceError, "Check the network and https://status.cloud.google.com."


class Client:
    """A project of BigQuery; a table's name is DATASET.TABLE without the prefix. Methods raise as `reported` says."""

    def __init__(self, settings: BigQuery, *, command: str):
        self._settings = settings
        self.bytes_billed = 0
        self.labels = {**settings.labels, "app": "mlops", "task": command}
        bounds = {"labels": self.labels, "job_timeout_ms": settings.job_timeout * 1000}
        query = bigquery.QueryJobConfig(maximum_bytes_billed=settings.maximum_bytes_billed, **bounds)
        load = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
            write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
            **bounds,
        )
        with reported(settings):
            self._credentials = _credentials(settings)
            self._client = bigquery.Client(
                settings.project,
                self._credentials,
                location=settings.location,
                default_query_job_config=query,
                default_load_job_config=load,
            )

    def name(self, table: str) -> str:
        """Full name of a table, for SQL in backquotes."""
        return f"{self._settings.project}.{self._settings.prefix}{table}"

    def columns(self, table: str) -> dict[str, str]:
        """Columns of a table with their types; none if it is missing.

        A query on a table in a dataset that is missing would be answered as forbidden.
        """
        with reported(self._settings):
            try:
                found = self._client.get_table(self.name(table), retry=_RETRY)
            except NotFound:
                return {}
            return {field.name: _SQL_TYPES.get(field.field_type, field.field_type) for field in found.schema}

    def query(self, sql: str) -> bigquery.QueryJob:
        """Run a statement to its end."""
        with reported(self._settings):
            job = self._client.query(sql, retry=_RETRY, job_retry=None)
            self._finished(job)
            self.bytes_billed += job.total_bytes_billed or 0
            return job

    def rows(self, sql: str) -> list[Any]:
        """The rows of a small result."""
        job = self.query(sql)
        with reported(self._settings):
            return list(job.result(retry=_RETRY, job_retry=None))

    def create(self, table: str, schema: Sequence[bigquery.SchemaField], **more: Any) -> None:
        """Create a table and its dataset, if missing; `more` are attributes of the table."""
        self.create_dataset(table)
        with reported(self._settings):
            created = bigquery.Table(self.name(table), schema)
            created.labels = self.labels
            for name, value in more.items():
                setattr(created, name, value)
            self._client.create_table(created, exists_ok=True, retry=_RETRY)

    def create_dataset(self, table: str) -> None:
        """Create the dataset of a table, if missing."""
        with reported(self._settings):
            reference = bigquery.TableReference.from_string(self.name(table))
            try:
                # Who may write to a dataset may lack the right to create one.
                self._client.get_dataset(reference.dataset_id, retry=_RETRY)
            except NotFound:
                dataset = bigquery.Dataset(bigquery.DatasetReference(reference.project, reference.dataset_id))
                dataset.location = self._settings.location
                dataset.labels = {name: each for name, each in self.labels.items() if name != "task"}
                self._client.create_dataset(dataset, exists_ok=True, retry=_RETRY)

    @contextmanager
    def loaded(self, table: str, rows: pa.Table, schema: Sequence[bigquery.SchemaField]) -> Generator[None]:
        """A new table of these rows, by a load job; it is dropped at the end of the block, or after a day."""
        self.create(table, schema, expires=datetime.now(UTC) + _LIFE)
        try:
            content = io.BytesIO()
            pyarrow.parquet.write_table(rows.select([field.name for field in schema]), content)
            with reported(self._settings):
                self._finished(self._client.load_table_from_file(content, self.name(table), rewind=True))
            yield
        finally:
            with reported(self._settings):
                self._client.delete_table(self.name(table), not_found_ok=True, retry=_RETRY)

    def read(self, table: str, columns: Sequence[str]) -> pa.Table:
        """Columns of all rows of a table, in any order, by the Storage Read API.

        All are of one moment. Reading is not part of `bytes_billed`: it has a price of its own, and no job.

        Raises:
            TagifaiError: the table is missing, or more than `maximum_bytes_billed` would be read.
        """
        if not self.columns(table):
            raise TagifaiError(
                f"{table} does not exist ({self.name(table)}): run dataops, which publishes the tables (make run), or "
                "check warehouse.project and warehouse.prefix"
            )
        project, dataset, name = self.name(table).split(".")
        wanted = types.ReadSession(
            table=f"projects/{project}/datasets/{dataset}/tables/{name}",
            data_format=types.DataFormat.ARROW,
            read_options=types.ReadSession.TableReadOptions(selected_fields=list(columns)),
        )
        most = self._settings.maximum_bytes_billed
        with reported(self._settings):
            reader = self._reader()
            session = reader.create_read_session(
                parent=f"projects/{project}", read_session=wanted, max_stream_count=_STREAMS
            )
            if session.estimated_total_bytes_scanned > most:
                raise TagifaiError(
                    f"reading {table} would take {session.estimated_total_bytes_scanned:,} bytes, more than "
                    f"warehouse.maximum_bytes_billed ({most:,}): raise it if that is meant to be"
                )
            schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))

            def batches(stream: types.ReadStream) -> list[pa.RecordBatch]:
                buffers = (each.arrow_record_batch.serialized_record_batch for each in reader.read_rows(stream.name))
                return [pa.ipc.read_record_batch(pa.py_buffer(buffer), schema) for buffer in buffers]

            with ThreadPoolExecutor(_STREAMS) as pool:
                parts = [batch for found in pool.map(batches, session.streams) for batch in found]
            found = pa.Table.from_batches(parts, schema).select(list(columns))
        # Without BigQuery's notes on the columns.
        return pa.table(found.columns, names=found.column_names)

    def _reader(self) -> BigQueryReadClient:
        if self._settings.storage_api:
            channel = grpc.insecure_channel(self._settings.storage_api)
            return BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))
        return BigQueryReadClient(credentials=self._credentials)

    def _finished(self, job: bigquery.QueryJob | bigquery.LoadJob) -> None:
        try:
            job.result(retry=_RETRY, timeout=self._settings.job_timeout + _GRACE)
        except TimeoutError:
            job.cancel(retry=_RETRY)
            raise TimeoutError(f"job {job.job_id} takes longer than warehouse.job_timeout") from None


def _credentials(settings: BigQuery) -> google.auth.credentials.Credentials:
    if settings.keyfile:
        found = service_account.Credentials.from_service_account_file(settings.keyfile, scopes=_SCOPES)
    else:
        found, _ = google.auth.default(_SCOPES)
    if settings.impersonate:
        return impersonated_credentials.Credentials(found, settings.impersonate, list(_SCOPES))
    return found
