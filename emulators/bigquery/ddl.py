"""DDL that bqemulator does not know, and the layout of tables that DDL makes.

https://cloud.google.com/bigquery/docs/reference/standard-sql/data-definition-language
"""

from dataclasses import dataclass
from typing import Any

import sqlglot
from bqemulator.catalog import ddl_sync
from bqemulator.catalog.models import Clustering, TableMeta, TableSchema, TimePartitioning
from bqemulator.domain.errors import AlreadyExistsError
from bqemulator.jobs import executor
from bqemulator.scripting import interpreter
from bqemulator.versioning import ddl
from sqlglot import exp

from emulators.bigquery import names, tables
from emulators.bigquery.copies import copy
from emulators.bigquery.names import Name


@dataclass(frozen=True)
class Copy:
    """CREATE TABLE destination COPY or CLONE source."""

    tree: exp.Create
    source: Name
    destination: Name

    def run(self, ctx: Any) -> None:
        """Copy inside the transaction of the statement; raises DomainError."""
        if ctx.catalog.get_table(*self.destination.parts) is not None and not self.tree.args.get("replace"):
            if self.tree.args.get("exists"):
                return
            raise AlreadyExistsError(f"Already Exists: Table {self.destination}")
        copy(ctx, [self.source], self.destination, how="WRITE_TRUNCATE")
        meta = names.get(ctx, self.destination)
        ctx.catalog.update_table(meta.model_copy(update=_options(self.tree, meta)))


@dataclass(frozen=True)
class Rename:
    """ALTER TABLE source RENAME TO a name in the same dataset."""

    source: Name
    destination: Name

    def run(self, ctx: Any) -> None:
        """Rename inside the transaction of the statement; raises DomainError."""
        meta = names.get(ctx, self.source)
        if ctx.catalog.get_table(*self.destination.parts) is not None:
            raise AlreadyExistsError(f"Already Exists: Table {self.destination}")
        ctx.engine.execute(f"alter table {self.source.quoted} rename to {tables.quoted(self.destination.table)}")
        ctx.catalog.delete_table(*self.source.parts)
        ctx.catalog.create_table(meta.model_copy(update={"table_id": self.destination.table}))


def parse(sql: str, project: str) -> Copy | Rename | None:
    """A statement of this module, or None."""
    try:
        tree = sqlglot.parse_one(sql, read="bigquery")
    except sqlglot.errors.SqlglotError:
        return None
    if isinstance(tree, exp.Create) and tree.kind == "TABLE" and (clone := tree.args.get("clone")):
        source, destination = Name.of_sql(clone.this, project), Name.of_sql(tree.this, project)
        if source and destination:
            return Copy(tree, source, destination)
    if isinstance(tree, exp.Alter) and len(tree.args["actions"]) == 1:
        action, source = tree.args["actions"][0], Name.of_sql(tree.this, project)
        if isinstance(action, exp.AlterRename) and source:
            return Rename(source, Name(source.project, source.dataset, action.this.name))
    return None


def sync_altered(sql: str, project: str, ctx: Any) -> None:
    """Note columns that ALTER TABLE has added, dropped or changed."""
    try:
        tree = sqlglot.parse_one(sql, read="bigquery")
    except sqlglot.errors.SqlglotError:
        return
    if not isinstance(tree, exp.Alter) or tree.args.get("kind") != "TABLE":
        return
    name = Name.of_sql(tree.this, project)
    meta = ctx.catalog.get_table(*name.parts) if name else None
    if name and meta is not None and meta.table_type == "TABLE":
        now = {field.name: field for field in ddl_sync._introspect_schema(*name.parts, ctx).fields}
        kept = [field for field in meta.schema_.fields if field.name in now and field.type == now[field.name].type]
        known = {field.name: field for field in kept}
        fields = tuple(known.get(column, field) for column, field in now.items())
        ctx.catalog.update_table(meta.model_copy(update={"schema_": TableSchema(fields=fields)}))


def sync_schema(sql: str, project: str, ctx: Any) -> None:
    """Note a dataset that CREATE SCHEMA has made, with its location, labels and texts."""
    made = ddl_sync._detect_create_schema(sql, project)
    if made is None or not made[1] or ctx.catalog.get_dataset(*made) is not None:
        return
    ddl_sync._ensure_dataset(*made, ctx)
    tree = sqlglot.parse_one(sql, read="bigquery")
    assert isinstance(tree, exp.Create)
    ctx.catalog.update_dataset(ctx.catalog.get_dataset(*made).model_copy(update=_options(tree)))


def _options(tree: exp.Create, meta: TableMeta | None = None) -> dict[str, Any]:
    """Entries of the catalogue that the statement's clauses say; `meta` is that of a table."""
    found: dict[str, Any] = {}
    for each in tree.args["properties"].expressions if tree.args.get("properties") else ():
        if isinstance(each, exp.ClusterProperty):
            found["clustering"] = Clustering(fields=tuple(column.name for column in each.expressions))
        elif isinstance(each, exp.PartitionedByProperty):
            if partitioning := _partitioning(each.this, meta.time_partitioning if meta else None):
                found["time_partitioning"] = partitioning
        elif isinstance(each, exp.LocationProperty):
            found["location"] = each.this.name
        elif isinstance(each, exp.Property) and each.this is not None:
            key, value = each.this.name.lower(), each.args.get("value")
            if key == "labels" and value is not None:
                pairs = [pair for pair in value.expressions if len(pair.expressions) == 2]
                found["labels"] = {pair.expressions[0].name: pair.expressions[1].name for pair in pairs}
            elif key in ("description", "friendly_name") and isinstance(value, exp.Literal):
                found[key] = value.name
    return found


def _partitioning(clause: exp.Expr, options: TimePartitioning | None) -> TimePartitioning | None:
    """PARTITION BY a column or a function of one; None for integer ranges, which bqemulator does not keep."""
    column = clause if isinstance(clause, exp.Identifier) else clause.find(exp.Column)
    if column is None or "range_bucket" in clause.sql("bigquery").lower():
        return None
    unit = clause.args.get("unit") if not isinstance(clause, exp.Identifier) else None
    body = {**(options.model_dump() if options else {}), "field": column.name}
    return TimePartitioning.model_validate(body | {"type": unit.name.upper() if unit is not None else "DAY"})


def install() -> None:
    """Run this module's statements, alone and in scripts, and note the layout of tables."""
    is_versioning, router, run = ddl.is_versioning_ddl, ddl.VersioningDDLRouter.parse, ddl.execute_versioning_ddl
    sync = ddl_sync.sync_created_table

    def is_ours(sql: str) -> bool:
        return is_versioning(sql) or " COPY " in " ".join(sql.upper().split()) or "RENAME" in sql.upper()

    def parse_first(self: ddl.VersioningDDLRouter, sql: str) -> Any:
        return parse(sql, self._project_id) or router(self, sql)

    async def run_first(ddl: Any, ctx: Any) -> None:
        if isinstance(ddl, Copy | Rename):
            ddl.run(ctx)
        else:
            await run(ddl, ctx)

    def sync_with_layout(bq_sql: str, project_id: str, ctx: Any) -> None:
        sync_altered(bq_sql, project_id, ctx)
        target = ddl_sync._detect_plain_create_table(bq_sql)
        name = Name.of_sql(target, project_id) if target is not None else None
        existed = name is not None and ctx.catalog.get_table(*name.parts) is not None
        tree = sqlglot.parse_one(bq_sql, read="bigquery") if target is not None else None
        if existed and tree is not None and tree.args.get("exists"):
            return
        sync(bq_sql, project_id, ctx)
        if name is not None and isinstance(tree, exp.Create):
            meta = names.get(ctx, name)
            ctx.catalog.update_table(meta.model_copy(update=_options(tree, meta)))

    for module in (executor, interpreter):
        module.is_versioning_ddl = is_ours
        module.execute_versioning_ddl = run_first
        module.sync_created_table = sync_with_layout
        module.sync_created_schema = sync_schema
    ddl.VersioningDDLRouter.parse = parse_first
