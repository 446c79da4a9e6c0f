"""Copies of tables, by jobs and by CREATE TABLE ... COPY and CLONE: all or nothing, with schema and layout.

https://cloud.google.com/bigquery/docs/managing-tables#copy-table
"""

from collections.abc import Sequence
from typing import Any

from bqemulator.catalog.etag import generate_etag
from bqemulator.domain.errors import AlreadyExistsError, UnsupportedFeatureError, ValidationError

from emulators.bigquery import names, tables
from emulators.bigquery.engine import atomic
from emulators.bigquery.names import Name


def run(ctx: Any, project: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Run `configuration.copy` of a job and return its statistics.

    Raises:
        DomainError: the job fails, and the destination is as it was.
    """
    if settings.get("operationType", "COPY") not in ("COPY", "CLONE", "OPERATION_TYPE_UNSPECIFIED"):
        raise UnsupportedFeatureError(f"This stand-in for BigQuery makes no {settings['operationType']}")
    given = settings.get("sourceTables") or [settings.get("sourceTable")]
    sources = [Name.of_resource(source, project) for source in given]
    destination = Name.of_resource(settings.get("destinationTable"), project)
    create = settings.get("createDisposition", "CREATE_IF_NEEDED") == "CREATE_IF_NEEDED"
    with atomic(ctx):
        rows = copy(ctx, sources, destination, how=settings.get("writeDisposition", "WRITE_EMPTY"), create=create)
    return {"copy": {"copiedRows": str(rows)}}


def copy(ctx: Any, sources: Sequence[Name], destination: Name, *, how: str, create: bool = True) -> int:
    """Copy tables into one, inside a transaction.

    Args:
        ctx: the emulator.
        sources: at least one, all with the same columns.
        destination: the table to make, to replace or to append to.
        how: WRITE_EMPTY, WRITE_TRUNCATE or WRITE_APPEND.
        create: whether the destination may be made.

    Returns:
        Rows that were copied.

    Raises:
        NotFoundError: a table or the dataset does not exist.
        AlreadyExistsError: the destination has rows, and `how` is WRITE_EMPTY.
        ValidationError: the columns are not the same.
    """
    metas = [names.get(ctx, source) for source in sources]
    names.require_dataset(ctx, destination)
    found = ctx.catalog.get_table(*destination.parts)
    if found is None and not create:
        raise names.not_found(destination)
    if how == "WRITE_EMPTY" and found is not None and tables.count(ctx, destination):
        raise AlreadyExistsError(f"Already Exists: Table {destination}")
    for source, meta in zip(sources, metas, strict=True):
        if meta.table_type not in ("TABLE", "CLONE", "SNAPSHOT"):
            raise ValidationError(f"{source} is a {meta.table_type}, which a copy job does not copy")
    rows = sum(tables.count(ctx, source) for source in sources)
    if found is None or how != "WRITE_APPEND":
        _same_columns(ctx, sources[1:], sources[0])
        _replace(ctx, sources, destination)
    else:
        _same_columns(ctx, sources, destination)
        for source in sources:
            _append(ctx, source, destination)
    tables.changed(ctx, destination)
    return rows


def _same_columns(ctx: Any, sources: Sequence[Name], wanted: Name) -> None:
    def columns(name: Name) -> dict[str, tuple[str, str]]:
        return {field["name"].lower(): (field["type"], field["mode"]) for field in tables.fields_of(ctx, name)}

    for source in sources:
        if columns(source) != columns(wanted):
            raise ValidationError(f"Provided Schema does not match Table {wanted}: {source} has other columns")


def _replace(ctx: Any, sources: Sequence[Name], destination: Name) -> None:
    """Make the destination like the first source, with the rows of all."""
    first, found = names.get(ctx, sources[0]), ctx.catalog.get_table(*destination.parts)
    # The destination may be a source, too.
    ctx.engine.execute(
        "create or replace temp table copying as "
        + " union all by name ".join(f"select * from {source.quoted}" for source in sources)
    )
    ctx.engine.execute(
        f"create or replace table {destination.quoted} ({tables.columns_of(tables.fields_of(ctx, sources[0]))})"
    )
    ctx.engine.execute(f"insert into {destination.quoted} by name select * from copying")
    ctx.engine.execute("drop table copying")
    now = ctx.clock.now()
    project, dataset, table = destination.parts
    update = {
        **{"project_id": project, "dataset_id": dataset, "table_id": table, "table_type": "TABLE"},
        **{"creation_time": now if found is None else found.creation_time, "expiration_time": None},
        **{"base_table": None, "snapshot_time": None, "etag": generate_etag(project, dataset, table, str(now))},
    }
    meta = first.model_copy(update=update)
    if found is None:
        ctx.catalog.create_table(meta)
    else:
        ctx.catalog.update_table(meta)


def _append(ctx: Any, source: Name, destination: Name) -> None:
    ctx.engine.execute(f"insert into {destination.quoted} by name select * from {source.quoted}")
