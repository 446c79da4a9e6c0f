"""Files of load jobs as relations of DuckDB: CSV, JSON Lines and Parquet, with the columns that BigQuery would read."""

from pathlib import Path
from typing import Any

from bqemulator.domain.errors import UnsupportedFeatureError, ValidationError
from bqemulator.storage.type_map import bq_schema_to_duckdb_columns, duckdb_type_to_bq_field

from emulators.bigquery.files import literal
from emulators.bigquery.tables import Fields

_DELIMITERS = {"tab": "\t", "\\t": "\t"}
# Types that a Parquet file may have for a column of another one; the same type is always right.
# https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet#parquet_conversions
_FROM_PARQUET = {
    ("STRING", "JSON"),
    ("STRING", "GEOGRAPHY"),
    ("STRING", "BYTES"),
    ("BYTES", "STRING"),
    ("DATETIME", "TIMESTAMP"),
    ("TIMESTAMP", "DATETIME"),
    ("NUMERIC", "BIGNUMERIC"),
    ("NUMERIC", "STRING"),
}
_STANDARD = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "RECORD": "STRUCT"}


def relation(settings: dict[str, Any], files: list[Path], columns: Fields | None) -> str:
    """A relation in DuckDB's SQL.

    Args:
        settings: `configuration.load` of the job.
        files: at least one.
        columns: columns of the job's schema, or else of the table; None if there are neither.

    Raises:
        UnsupportedFeatureError: a format that this emulator does not read.
    """
    paths = "[" + ", ".join(literal(file) for file in files) + "]"
    kind = settings.get("sourceFormat", "CSV").upper()
    if kind == "PARQUET":
        return f"read_parquet({paths}, union_by_name=true)"
    if kind == "CSV":
        return f"read_csv({paths}, {_csv_options(settings, columns)})"
    if kind == "NEWLINE_DELIMITED_JSON":
        given = f", columns={_typed(columns)}" if columns else ""
        return f"read_json({paths}, format='newline_delimited'{given})"
    raise UnsupportedFeatureError(
        f"This stand-in for BigQuery loads CSV, NEWLINE_DELIMITED_JSON and PARQUET, not {kind}"
    )


def described(ctx: Any, source: str) -> Fields:
    """Columns of a relation."""
    rows = ctx.engine.execute(f"describe select * from {source}").fetchall()
    return [duckdb_type_to_bq_field(name, kind) for name, kind, *_ in rows]


def check(ctx: Any, settings: dict[str, Any], files: list[Path], source: str, columns: Fields) -> None:
    """Refuse files that BigQuery would not read into these columns.

    Raises:
        ValidationError: a Parquet column has another type; a JSON record has a field that is no column, and
            `ignoreUnknownValues` is not set.
    """
    kinds = {field["name"].lower(): field for field in columns}
    kind = settings.get("sourceFormat", "CSV").upper()
    if kind == "PARQUET":
        for field in described(ctx, source):
            column = kinds.get(field["name"].lower())
            pair = (_standard(field), _standard(column or field))
            if pair[0] != pair[1] and pair not in _FROM_PARQUET:
                raise ValidationError(
                    f"Error while reading data, error message: Parquet column '{field['name']}' has type {pair[0]}"
                    f" which does not match the target type {pair[1]}"
                )
    elif kind == "NEWLINE_DELIMITED_JSON" and not settings.get("ignoreUnknownValues"):
        paths = "[" + ", ".join(literal(file) for file in files) + "]"
        for (name,) in ctx.engine.execute(
            f"select distinct unnest(json_keys(json)) as name from read_ndjson_objects({paths}) order by name"
        ).fetchall():
            if name.lower() not in kinds:
                raise ValidationError(
                    f"Error while reading data, error message: JSON parsing error: No such field: {name}."
                )


def _standard(field: dict[str, Any]) -> str:
    kind = field["type"].upper()
    return _STANDARD.get(kind, kind)


def _typed(columns: Fields) -> str:
    pairs = bq_schema_to_duckdb_columns(columns)
    return "{" + ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in pairs) + "}"


def _csv_options(settings: dict[str, Any], columns: Fields | None) -> str:
    """Options of read_csv: https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-csv#csv-options."""
    delimiter = settings.get("fieldDelimiter") or ","
    options = {
        "delim": literal(_DELIMITERS.get(delimiter, delimiter)),
        "quote": literal(settings.get("quote", '"')),
        "escape": literal(settings.get("quote", '"')),
        # Without a marker an empty text is the null of an unquoted field.
        "nullstr": literal(settings.get("nullMarker", "")),
        "null_padding": "true" if settings.get("allowJaggedRows") else "false",
        "ignore_errors": "true" if int(settings.get("maxBadRecords") or 0) else "false",
    }
    skipped = int(settings.get("skipLeadingRows") or 0)
    if columns:
        options |= {"auto_detect": "false", "header": "false", "skip": str(skipped), "columns": _typed(columns)}
    else:
        options |= {"header": "true", "skip": str(max(0, skipped - 1))}
    return ", ".join(f"{name}={value}" for name, value in options.items())
