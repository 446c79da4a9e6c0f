"""The published tables in BigQuery.

- Tables are read by the Storage Read API: fast, and all rows are of one moment.
- Predictions are loaded into a table of their own, then one MERGE deletes the published rows and inserts these. Of two
  at once, BigQuery lets one wait, or runs it again on what the other has left. A published table with other columns is
  replaced by one statement that creates it with these rows.
- BigQuery has no locks. So the latest time that was given out is the one row of a table of its own; a call takes the
  next time by an UPDATE that names the time from which it started, and starts again if another call came first.
  https://cloud.google.com/bigquery/docs/data-manipulation-language#dml-limitations
"""

# ruff: noqa: D102, S608 - `Tables` documents the methods; names in the SQL are quoted.

import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from google.cloud.bigquery import SchemaField

from tagifai.errors import ServiceError, TagifaiError
from tagifai.settings import BigQuery, Settings
from tagifai.warehouse.bigquery_client import Client
from tagifai.warehouse.contract import T, typed

# Columns of the rows that are loaded: a load would change names with other letters than a to z.
_LOADED = ("key", "label", "probability", "model_version")
_TYPES = {pa.int64(): "INT64", pa.string(): "STRING", pa.float64(): "FLOAT64"}
_MICROSECOND = timedelta(microseconds=1)
# How often others may come first.
_ATTEMPTS = 10


class BigQueryTables:
    """See `Tables`."""

    def __init__(self, settings: Settings, warehouse: BigQuery, *, command: str):
        self._settings = settings
        self._warehouse = warehouse
        self._client = Client(warehouse, command=command)
        # One row: the latest time that was given out.
        self._clock = f"{settings.predictions}_clock"

    @property
    def bytes_billed(self) -> int:
        return self._client.bytes_billed

    def ask(self) -> None:
        self._client.query("select 1")

    def labeled(self, columns: tuple[str, ...]) -> pa.Table:
        return self._read_all(self._settings.labeled, columns)

    def to_predict(self, columns: tuple[str, ...], look: Callable[[], T]) -> tuple[pa.Table, T, datetime]:
        clock = self._client.name(self._clock)
        for _ in range(_ATTEMPTS):
            last, newest = self._last_time(), self._newest()
            rows, looked = self._read_all(self._settings.to_predict, columns), look()
            now = max(datetime.now(UTC), last + _MICROSECOND, (newest or last) + _MICROSECOND)
            taken = self._client.query(
                f"update `{clock}` set predicted_at = {_literal(now)} where predicted_at = {_literal(last)}"
            )
            if taken.num_dml_affected_rows:
                return rows, looked, now
        raise ServiceError(
            f"{_ATTEMPTS} other calls came first, one after the other: run fewer predictions at once on {clock}"
        )

    def replace_predictions(self, predictions: pa.Table, predicted_at: datetime) -> bool:
        key, label = self._settings.columns.key, self._settings.columns.label
        predictions = typed(predictions, self._settings.columns)
        _check_key(predictions, key)
        loaded = predictions.select([key, label, "probability", "model_version"]).rename_columns(_LOADED)
        schema = _schema(_LOADED, loaded)
        columns = (key, label, *_LOADED[2:], "predicted_at")
        wanted = (*_schema(columns[:-1], loaded), SchemaField("predicted_at", "TIMESTAMP", "REQUIRED"))
        published = self._settings.predictions
        names, time = ", ".join(map(_quoted, columns)), _literal(predicted_at)
        values = f"{', '.join(_LOADED)}, {time}"
        self._client.create(published, wanted, clustering_fields=[key])
        candidate = f"{published.replace('marts.', 'candidate.')}_{uuid.uuid4().hex}"
        with self._client.loaded(candidate, loaded, schema):
            source, target = self._client.name(candidate), self._client.name(published)
            if self._client.columns(published) != {each.name: each.field_type for each in wanted}:
                newest = self._newest()
                if newest and newest > predicted_at:
                    return False
                declared = ", ".join(f"{_quoted(each.name)} {each.field_type} not null" for each in wanted)
                self._client.query(f"""
                    create or replace table `{target}` ({declared}) cluster by {_quoted(key)}
                    options (labels = {list(self._client.labels.items())}) as select {values} from `{source}`
                """)
                return True
            merged = self._client.query(f"""
                merge into `{target}` as published using (
                    select {", ".join(_LOADED)} from `{source}`
                    where not exists (select 1 from `{target}` where predicted_at > {time})
                ) as candidate on false
                when not matched by source and published.predicted_at <= {time} then delete
                when not matched by target then insert ({names}) values ({values})
            """)
        return bool(merged.num_dml_affected_rows)

    def _last_time(self) -> datetime:
        """The latest time that was given out."""
        clock = self._client.name(self._clock)
        if not self._client.columns(self._clock):
            self._client.create_dataset(self._clock)
            # Of several at once, one creates it with its row.
            self._client.query(f"""
                create table if not exists `{clock}` (predicted_at timestamp not null) as
                select timestamp '1970-01-01 00:00:00+00' as predicted_at
            """)
        (row,) = self._client.rows(f"select predicted_at from `{clock}`")
        return row.predicted_at

    def _newest(self) -> datetime | None:
        """The time of the published predictions; None if there are none."""
        published = self._settings.predictions
        if self._client.columns(published).get("predicted_at") != "TIMESTAMP":
            return None
        (row,) = self._client.rows(f"select max(predicted_at) as newest from `{self._client.name(published)}`")
        return row.newest

    def _read_all(self, name: str, columns: tuple[str, ...]) -> pa.Table:
        table = self._client.read(name, columns)
        if not table.num_rows:
            raise TagifaiError(f"{name} in {self._warehouse.project} is empty: run dataops on source files first")
        return typed(table, self._settings.columns).sort_by(self._settings.columns.key)


def _check_key(predictions: pa.Table, key: str) -> None:
    """BigQuery has no unique columns."""
    seen = set()
    for each in predictions[key].to_pylist():
        if each in seen:
            raise TagifaiError(f"the predictions have a duplicate key: {key} {each} appears twice; run predict again")
        seen.add(each)


def _schema(names: Sequence[str], rows: pa.Table) -> list[SchemaField]:
    """Fields of these names with the types of the rows' columns."""
    return [SchemaField(name, _TYPES[kind], "REQUIRED") for name, kind in zip(names, rows.schema.types, strict=True)]


def _quoted(column: str) -> str:
    return "`" + column.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _literal(time: datetime) -> str:
    return f"timestamp '{time.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00'"
