"""The published tables in BigQuery.

- Tables are read by the Storage Read API: fast, and all rows are of one moment.
- Predictions are loaded into a table of their own, then one MERGE deletes the published rows and inserts these. Of two
  at once, BigQuery lets one wait, or runs it again on what the other has left.
- BigQuery has no locks. So the latest time that was given out is the one row of a table of its own; a call takes the
  next time by an UPDATE that names the time from which it started, and starts again if another call came first.
  https://cloud.google.com/bigquery/docs/data-manipulation-language#dml-limitations
"""

# ruff: noqa: D102, S608 - `Tables` documents the methods; the SQL has names and times only.

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from google.cloud.bigquery import SchemaField

from tagifai.errors import ServiceError, TagifaiError
from tagifai.settings import BigQuery
from tagifai.warehouse.bigquery_client import Client
from tagifai.warehouse.contract import LABELED_PROJECTS, PREDICTIONS, PROJECTS_TO_PREDICT, T

# One row: the latest time that was given out.
_CLOCK = f"{PREDICTIONS}_clock"
_CANDIDATE = "candidate.predictions"
_LOADED = tuple(
    SchemaField(name, kind, "REQUIRED")
    for name, kind in (("id", "INT64"), ("tag", "STRING"), ("probability", "FLOAT64"), ("model_version", "STRING"))
)
_PUBLISHED = (*_LOADED, SchemaField("predicted_at", "TIMESTAMP", "REQUIRED"))
_MICROSECOND = timedelta(microseconds=1)
# How often others may come first.
_ATTEMPTS = 10


class BigQueryTables:
    """See `Tables`."""

    def __init__(self, settings: BigQuery, *, command: str):
        self._settings = settings
        self._client = Client(settings, command=command)

    @property
    def bytes_billed(self) -> int:
        return self._client.bytes_billed

    def ask(self) -> None:
        self._client.query("select 1")

    def labeled_projects(self, columns: tuple[str, ...]) -> pa.Table:
        return self._read_all(LABELED_PROJECTS, columns)

    def projects_to_predict(self, columns: tuple[str, ...], look: Callable[[], T]) -> tuple[pa.Table, T, datetime]:
        clock = self._client.name(_CLOCK)
        for _ in range(_ATTEMPTS):
            last, newest = self._last_time(), self._newest()
            projects, looked = self._read_all(PROJECTS_TO_PREDICT, columns), look()
            now = max(datetime.now(UTC), last + _MICROSECOND, (newest or last) + _MICROSECOND)
            taken = self._client.query(
                f"update `{clock}` set predicted_at = {_literal(now)} where predicted_at = {_literal(last)}"
            )
            if taken.num_dml_affected_rows:
                return projects, looked, now
        raise ServiceError(
            f"{_ATTEMPTS} other calls came first, one after the other: run fewer predictions at once on {clock}"
        )

    def replace_predictions(self, predictions: pa.Table, predicted_at: datetime) -> bool:
        _check_key(predictions)
        candidate = f"{_CANDIDATE}_{uuid.uuid4().hex}"
        self._client.create(PREDICTIONS, _PUBLISHED, clustering_fields=["id"])
        with self._client.loaded(candidate, predictions, _LOADED):
            names, time = ", ".join(field.name for field in _LOADED), _literal(predicted_at)
            published = self._client.name(PREDICTIONS)
            merged = self._client.query(f"""
                merge into `{published}` as published using (
                    select {names} from `{self._client.name(candidate)}`
                    where not exists (select 1 from `{published}` where predicted_at > {time})
                ) as candidate on false
                when not matched by source and published.predicted_at <= {time} then delete
                when not matched by target then insert ({names}, predicted_at) values ({names}, {time})
            """)
        return bool(merged.num_dml_affected_rows)

    def _last_time(self) -> datetime:
        """The latest time that was given out."""
        clock = self._client.name(_CLOCK)
        if not self._client.exists(_CLOCK):
            self._client.create(PREDICTIONS, _PUBLISHED, clustering_fields=["id"])
            # Of several at once, one creates it with its row.
            self._client.query(f"""
                create table if not exists `{clock}` (predicted_at timestamp not null) as
                select timestamp '1970-01-01 00:00:00+00' as predicted_at
            """)
        (row,) = self._client.rows(f"select predicted_at from `{clock}`")
        return row.predicted_at

    def _newest(self) -> datetime | None:
        """The time of the published predictions; None if there are none."""
        if not self._client.exists(PREDICTIONS):
            return None
        (row,) = self._client.rows(f"select max(predicted_at) as newest from `{self._client.name(PREDICTIONS)}`")
        return row.newest

    def _read_all(self, name: str, columns: tuple[str, ...]) -> pa.Table:
        table = self._client.read(name, columns)
        if not table.num_rows:
            raise TagifaiError(f"{name} in {self._settings.project} is empty: run dataops on source files first")
        return table.sort_by("id") if "id" in columns else table


def _check_key(predictions: pa.Table) -> None:
    """BigQuery has no unique columns."""
    seen = set()
    for each in predictions["id"].to_pylist():
        if each in seen:
            raise TagifaiError(f"the predictions have a duplicate key: id {each} appears twice; run predict again")
        seen.add(each)


def _literal(time: datetime) -> str:
    return f"timestamp '{time.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00'"
