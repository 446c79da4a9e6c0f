"""Names of tables: their parts, and which tables of a statement there are."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bqemulator.catalog.models import TableMeta
from bqemulator.domain.errors import NotFoundError, ValidationError
from bqemulator.storage.sql_identifiers import quoted_table_ref
from sqlglot import exp


@dataclass(frozen=True)
class Name:
    """A table's full name."""

    project: str
    dataset: str
    table: str

    def __str__(self) -> str:
        """As BigQuery's messages have it."""
        return f"{self.project}:{self.dataset}.{self.table}"

    @property
    def parts(self) -> tuple[str, str, str]:
        """Project, dataset and table."""
        return self.project, self.dataset, self.table

    @property
    def quoted(self) -> str:
        """The table in DuckDB's SQL."""
        return quoted_table_ref(*self.parts)

    @classmethod
    def of_resource(cls, reference: dict[str, str] | None, project: str) -> "Name":
        """From a TableReference of the REST API; raises ValidationError if a part is missing."""
        reference = reference or {}
        if not (reference.get("datasetId") and reference.get("tableId")):
            raise ValidationError("Required parameter is missing: a table needs datasetId and tableId")
        return cls(reference.get("projectId") or project, reference["datasetId"], reference["tableId"])

    @classmethod
    def of_sql(cls, table: exp.Table, project: str) -> "Name | None":
        """From a statement in BigQuery's dialect; None without a dataset (a CTE or a temporary table)."""
        parts = ".".join(part.name for part in table.parts).split(".")
        if len(parts) == 2:
            parts = [project, *parts]
        return cls(*parts) if len(parts) == 3 else None


def named(tree: exp.Expr, project: str) -> Iterator[Name]:
    """The tables that a statement names with their dataset, each once."""
    found = dict.fromkeys(Name.of_sql(table, project) for table in tree.find_all(exp.Table))
    return (name for name in found if name is not None)


def get(ctx: Any, name: Name) -> TableMeta:
    """The catalogue's entry; raises NotFoundError if there is none."""
    meta = ctx.catalog.get_table(*name.parts)
    if meta is None:
        raise not_found(name)
    return meta


def not_found(name: Name) -> NotFoundError:
    """BigQuery's error for a table that does not exist."""
    return NotFoundError(f"Not found: Table {name} was not found")


def require_dataset(ctx: Any, name: Name) -> None:
    """Raise NotFoundError if the table's dataset does not exist."""
    if ctx.catalog.get_dataset(name.project, name.dataset) is None:
        raise NotFoundError(f"Not found: Dataset {name.project}:{name.dataset}")
