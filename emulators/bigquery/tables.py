"""Tables: made of BigQuery's schemas, extended, counted."""

from typing import Any

from bqemulator.api.routes import tables as pages
from bqemulator.catalog.etag import generate_etag
from bqemulator.catalog.models import TableSchema
from bqemulator.domain.errors import ValidationError
from bqemulator.domain.events import TableDataChanged
from bqemulator.storage.type_map import bq_schema_to_duckdb_columns

from emulators.bigquery.names import Name, get

_LAYOUT = ("timePartitioning", "clustering")
_PROPERTIES = ("description", "friendlyName", "labels")
# Fields of the REST API, each {"name", "type", "mode", ...}.
Fields = list[dict[str, Any]]


def quoted(column: str) -> str:
    """A column's name in DuckDB's SQL."""
    return '"' + column.replace('"', '""') + '"'


def count(ctx: Any, name: Name) -> int:
    """Rows of a table."""
    return ctx.engine.execute(f"select count(*) from {name.quoted}").fetchone()[0]


def fields_of(ctx: Any, name: Name) -> Fields:
    """Columns of a table; raises NotFoundError."""
    return [pages._field_to_rest(field) for field in get(ctx, name).schema_.fields]


def columns_of(fields: Fields) -> str:
    """Definitions of columns in DuckDB's SQL."""
    return ", ".join(
        f"{quoted(column)} {kind}" + (" not null" if field.get("mode", "").upper() == "REQUIRED" else "")
        for (column, kind), field in zip(bq_schema_to_duckdb_columns(fields), fields, strict=True)
    )


def replace(ctx: Any, name: Name, fields: Fields, settings: dict[str, Any]) -> None:
    """Make a table, empty, in place of one that may be there.

    Partitioning and clustering are those of the settings (of a job), or else those of the table that was there; it
    stays clustered only if it still has the columns.

    Raises:
        ValidationError: the table is there with another partitioning, or a view is there.
    """
    found = ctx.catalog.get_table(*name.parts)
    if found is not None and found.table_type not in ("TABLE", "CLONE"):
        raise ValidationError(f"{name} is not allowed for this operation because it is currently a {found.table_type}")
    ctx.engine.execute(f"create or replace table {name.quoted} ({columns_of(fields)})")
    body: dict[str, Any] = {"tableReference": {"tableId": name.table}, "schema": {"fields": fields}}
    body |= {key: settings[key] for key in _LAYOUT if settings.get(key)}
    properties = settings.get("destinationTableProperties") or {}
    body |= {key: properties[key] for key in _PROPERTIES if properties.get(key)}
    meta = pages._rest_to_table_meta(name.project, name.dataset, body, ctx.clock, found)
    if found is not None and found.time_partitioning != meta.time_partitioning:
        raise ValidationError(
            f"Incompatible table partitioning specification. Table {name} is partitioned otherwise than the job says"
        )
    layout = meta.time_partitioning
    columns = {field["name"].lower() for field in fields}
    if layout and layout.field and layout.field.lower() not in columns:
        raise ValidationError("The field specified for partitioning cannot be found in the schema.")
    missing = [field for field in (meta.clustering.fields if meta.clustering else ()) if field.lower() not in columns]
    if missing and settings.get("clustering"):
        raise ValidationError(
            f"The field specified for clustering cannot be found in the schema. Invalid field: {missing[0]}"
        )
    if missing:
        meta = meta.model_copy(update={"clustering": None})
    if found is None:
        ctx.catalog.create_table(meta)
    else:
        ctx.catalog.update_table(meta)


def extend(ctx: Any, name: Name, fields: Fields, options: list[str] | None) -> None:
    """Add columns that a table lacks, if the options (`schemaUpdateOptions`) allow it.

    Raises:
        ValidationError: a column is missing and may not be added, or it is REQUIRED.
    """
    found = get(ctx, name)
    have = {field.name.lower() for field in found.schema_.fields}
    new = [field for field in fields if field["name"].lower() not in have]
    if not new:
        return
    if "ALLOW_FIELD_ADDITION" not in (options or ()):
        raise ValidationError(
            f"Provided Schema does not match Table {name}. Cannot add fields (field: {new[0]['name']})"
        )
    for field in new:
        if field.get("mode", "").upper() == "REQUIRED":
            raise ValidationError(
                f"Provided Schema does not match Table {name}. Cannot add required fields to an existing schema."
                f" (field: {field['name']})"
            )
    add_columns(ctx, name, new)
    schema = TableSchema(fields=(*found.schema_.fields, *pages._parse_schema_fields(new)))
    ctx.catalog.update_table(found.model_copy(update={"schema_": schema}))


def add_columns(ctx: Any, name: Name, fields: Fields) -> None:
    """Add columns to the stored table; the catalogue is the caller's."""
    for column, kind in bq_schema_to_duckdb_columns(fields):
        ctx.engine.execute(f"alter table {name.quoted} add column {quoted(column)} {kind}")


def changed(ctx: Any, name: Name) -> None:
    """Note in the catalogue that a table's rows are others now."""
    now = ctx.clock.now()
    update = {
        "num_rows": count(ctx, name),
        "last_modified_time": now,
        "etag": generate_etag(*name.parts, str(now)),
    }
    ctx.catalog.update_table(get(ctx, name).model_copy(update=update))
    ctx.events.publish(TableDataChanged(*name.parts))
