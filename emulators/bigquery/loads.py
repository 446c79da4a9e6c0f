"""Load jobs: by the names of the columns, and all or nothing.

https://cloud.google.com/bigquery/docs/loading-data
"""

from pathlib import Path
from typing import Any

from bqemulator.catalog.models import TableMeta
from bqemulator.domain.errors import AlreadyExistsError, DomainError, ValidationError

from emulators.bigquery import names, sources, tables
from emulators.bigquery.engine import atomic
from emulators.bigquery.files import literal
from emulators.bigquery.files import sources as files_of
from emulators.bigquery.names import Name

# How the text after `table$` is made of a partition's time, by its length.
# https://cloud.google.com/bigquery/docs/managing-partitioned-table-data#partition_decorators
_PARTITIONS = {"HOUR": "%Y%m%d%H", "DAY": "%Y%m%d", "MONTH": "%Y%m", "YEAR": "%Y"}


def run(ctx: Any, project: str, settings: dict[str, Any], *, files: list[str] | None = None) -> dict[str, Any]:
    """Load files into a table.

    Args:
        ctx: the emulator.
        project: the project of the request.
        settings: `configuration.load` of the job.
        files: paths of uploaded files instead of `sourceUris`.

    Returns:
        The job's statistics.

    Raises:
        DomainError: the job fails, and the table is as it was, or is not made.
    """
    destination, partition = _destination(settings, project)
    paths = [Path(file) for file in files] if files else files_of(settings.get("sourceUris") or [])
    if not paths:
        raise ValidationError("Required parameter is missing: sourceUris")
    names.require_dataset(ctx, destination)
    found = ctx.catalog.get_table(*destination.parts)
    if found is None and settings.get("createDisposition") == "CREATE_NEVER":
        raise names.not_found(destination)
    try:
        with atomic(ctx):
            rows = _load(ctx, destination, partition, settings, paths, found)
    except DomainError:
        raise
    except Exception as error:
        raise ValidationError(f"Error while reading data, error message: {error}") from error
    size = sum(path.stat().st_size for path in paths)
    counts = {
        "inputFiles": len(paths),
        "inputFileBytes": size,
        "outputRows": rows,
        "outputBytes": size,
        "badRecords": 0,
    }
    return {"load": {key: str(value) for key, value in counts.items()}}


def _destination(settings: dict[str, Any], project: str) -> tuple[Name, str]:
    """The table, and the partition after `$`, or no text."""
    name = Name.of_resource(settings.get("destinationTable"), project)
    table, _, partition = name.table.partition("$")
    return Name(name.project, name.dataset, table), partition


def _load(
    ctx: Any, name: Name, partition: str, settings: dict[str, Any], paths: list[Path], found: TableMeta | None
) -> int:
    """Load inside a transaction; the number of rows."""
    how = settings.get("writeDisposition", "WRITE_APPEND")
    given = (settings.get("schema") or {}).get("fields")
    detected = bool(settings.get("autodetect")) or settings.get("sourceFormat", "CSV").upper() == "PARQUET"
    have = tables.fields_of(ctx, name) if found is not None else None
    # A file that names its columns is read by itself, since it may have fewer columns than the table.
    source = sources.relation(settings, paths, given or (None if detected else have))
    fields = given or (sources.described(ctx, source) if detected else have)
    if not fields:
        raise ValidationError("No schema specified on job or table.")
    if how == "WRITE_EMPTY" and found is not None and tables.count(ctx, name):
        raise AlreadyExistsError(f"Already Exists: Table {name}")
    if found is None or (how == "WRITE_TRUNCATE" and not partition and (given or detected)):
        tables.replace(ctx, name, fields, settings)
    else:
        tables.extend(ctx, name, fields, settings.get("schemaUpdateOptions"))
    sources.check(ctx, settings, paths, source, tables.fields_of(ctx, name))
    of_partition = _condition(names.get(ctx, name), partition)
    if how == "WRITE_TRUNCATE":
        ctx.engine.execute(f"delete from {name.quoted} where {of_partition}")
    if partition and ctx.engine.execute(f"select 1 from {source} where not ({of_partition}) limit 1").fetchone():
        raise ValidationError(
            f"Some rows belong to different partitions rather than destination partition {name}${partition}"
        )
    before = tables.count(ctx, name)
    columns = ", ".join(tables.quoted(field["name"]) for field in _read(ctx, settings, source, fields))
    ctx.engine.execute(f"insert into {name.quoted} ({columns}) select {columns} from {source}")
    tables.changed(ctx, name)
    return tables.count(ctx, name) - before


def _read(ctx: Any, settings: dict[str, Any], source: str, fields: tables.Fields) -> tables.Fields:
    """The columns that the file has; columns that a Parquet file lacks are null."""
    if settings.get("sourceFormat", "CSV").upper() != "PARQUET":
        return fields
    have = {field["name"].lower() for field in sources.described(ctx, source)}
    return [field for field in fields if field["name"].lower() in have]


def _condition(meta: TableMeta, partition: str) -> str:
    """Whether a row is in the partition, in DuckDB's SQL; no partition is the whole table.

    Raises:
        ValidationError: the table has no such partitions.
    """
    if not partition:
        return "true"
    layout = meta.time_partitioning
    if layout is None or not layout.field:
        raise ValidationError(
            f"Table {meta.dataset_id}.{meta.table_id} has no column of partitions, which ${partition} needs in this"
            " stand-in for BigQuery"
        )
    form = _PARTITIONS[layout.type]
    if len(partition) != {"HOUR": 10, "DAY": 8, "MONTH": 6, "YEAR": 4}[layout.type] or not partition.isdigit():
        raise ValidationError(f"Invalid partition ${partition}: this table is partitioned by {layout.type}")
    return (
        f"coalesce(strftime({tables.quoted(layout.field)}::timestamp, {literal(form)}) = {literal(partition)}, false)"
    )
