"""Bytes that a query reads and is billed for, by the sizes of BigQuery's types.

https://cloud.google.com/bigquery/docs/data-types-sizes (sizes)
https://cloud.google.com/bigquery/pricing#on_demand_pricing (10 MB at least a table, rounded up to a MB)
"""

import contextlib
from dataclasses import dataclass
from typing import Any

import sqlglot
from bqemulator.catalog.models import TableFieldSchema, TableMeta
from bqemulator.domain.errors import DomainError
from sqlglot import exp

from emulators.bigquery.names import Name, named
from emulators.bigquery.tables import quoted

_MB = 1 << 20
_LEAST = 10 * _MB
_WIDTHS = {
    **dict.fromkeys(("INT64", "INTEGER", "FLOAT64", "FLOAT", "DATE", "DATETIME", "TIME", "TIMESTAMP"), 8),
    **dict.fromkeys(("BOOL", "BOOLEAN"), 1),
    **{"NUMERIC": 16, "BIGNUMERIC": 32, "INTERVAL": 16},
}


@dataclass(frozen=True)
class Estimate:
    """Bytes of the columns that a query names, in all rows, and the bytes that it is billed for."""

    processed: int = 0
    billed: int = 0


class BytesLimitError(DomainError):
    """The query would be billed for more than its limit."""

    http_status = 400
    bq_reason = "bytesBilledLimitExceeded"
    grpc_status_name = "RESOURCE_EXHAUSTED"


def estimate(ctx: Any, project: str, sql: str) -> Estimate:
    """What a statement or script reads; partitions and clusters make it no smaller, unlike in BigQuery."""
    try:
        trees = [tree for tree in sqlglot.parse(sql, read="bigquery") if tree is not None]
    except sqlglot.errors.SqlglotError:
        return Estimate()
    sizes: dict[Name, int] = {}
    for tree in trees:
        _add(ctx, project, tree, sizes)
    billed = sum(max(_LEAST, -(-size // _MB) * _MB) for size in sizes.values())
    return Estimate(sum(sizes.values()), billed)


def refuse_above(limit: str | int | None, estimate: Estimate) -> None:
    """Raise BytesLimitError if the estimate is above the limit; None is no limit.

    https://cloud.google.com/bigquery/docs/best-practices-costs#restrict-bytes-billed
    """
    if limit is not None and estimate.billed > int(limit):
        raise BytesLimitError(f"Query exceeded limit for bytes billed: {limit}. {estimate.billed} or higher required.")


def _add(ctx: Any, project: str, tree: exp.Expr, sizes: dict[Name, int]) -> None:
    everything = isinstance(tree, exp.Merge) or next(tree.find_all(exp.Star), None) is not None
    wanted = None if everything else {column.name.lower() for column in tree.find_all(exp.Column)}
    # The table that these fill is not read, unless their query names it, too.
    read = tree.args.get("expression") if isinstance(tree, exp.Insert | exp.Create) else tree
    for name in named(read, project) if read is not None else ():
        meta = ctx.catalog.get_table(*name.parts)
        if meta is None:
            continue
        if meta.view_query and meta.table_type == "VIEW":
            with contextlib.suppress(sqlglot.errors.SqlglotError):
                _add(ctx, name.project, sqlglot.parse_one(meta.view_query, read="bigquery"), sizes)
        else:
            sizes[name] = max(sizes.get(name, 0), _size(ctx, name, meta, wanted))


def _size(ctx: Any, name: Name, meta: TableMeta, wanted: set[str] | None) -> int:
    """Bytes of a table's columns, of those with the wanted names, or of all."""
    columns = [_bytes_of(field) for field in meta.schema_.fields if wanted is None or field.name.lower() in wanted]
    if not columns:
        return 0
    return int(ctx.engine.execute(f"select {' + '.join(columns)} from {name.quoted}").fetchone()[0])


def _bytes_of(field: TableFieldSchema) -> str:
    column = quoted(field.name)
    width = _WIDTHS.get(field.type.upper()) if field.mode != "REPEATED" else None
    if width:
        return f"{width} * count({column})"
    # Texts take two bytes more than their UTF-8; arrays and structures are measured as their text.
    return f"coalesce(sum(2 + strlen({column}::varchar)), 0)"
