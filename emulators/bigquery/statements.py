"""Statements that BigQuery refuses and bqemulator would run.

https://cloud.google.com/bigquery/docs/reference/standard-sql/dml-syntax
"""

import re
from typing import Any

import sqlglot
from bqemulator.domain.errors import InvalidQueryError, UnsupportedFeatureError
from bqemulator.jobs import executor
from bqemulator.scripting import interpreter
from bqemulator.sql import inner_query
from bqemulator.storage.engine import DuckDBEngine
from sqlglot import exp

from emulators.bigquery.names import Name, named, not_found

_MATCHING = re.compile(r"\s*(merge|update)\b", re.IGNORECASE)


def check(ctx: Any, project: str, sql: str) -> None:
    """Refuse a statement before it is translated.

    Raises:
        InvalidQueryError: UPDATE or DELETE without WHERE.
        NotFoundError: a table or dataset whose name exists, but in other upper and lower case.
        UnsupportedFeatureError: a new table whose name differs from another one's in upper and lower case only.
    """
    try:
        tree = sqlglot.parse_one(sql, read="bigquery")
    except sqlglot.errors.SqlglotError:
        return
    if isinstance(tree, exp.Update | exp.Delete) and not tree.args.get("where"):
        raise InvalidQueryError(f"{type(tree).__name__.upper()} must have a WHERE clause")
    made = None
    if isinstance(tree, exp.Create) and tree.kind == "TABLE":
        target = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
        made = Name.of_sql(target, project) if isinstance(target, exp.Table) else None
    for name in named(tree, project):
        _check_case(ctx, name, made=name == made)


def _check_case(ctx: Any, name: Name, *, made: bool) -> None:
    if ctx.catalog.get_table(*name.parts) is not None:
        return
    datasets = {dataset.dataset_id for dataset in ctx.catalog.list_datasets(name.project)}
    if name.dataset not in datasets:
        if name.dataset.lower() in {dataset.lower() for dataset in datasets}:
            raise not_found(name)
        return
    tables = {table.table_id.lower(): table.table_id for table in ctx.catalog.list_tables(name.project, name.dataset)}
    if other := tables.get(name.table.lower()):
        if made:
            raise UnsupportedFeatureError(
                f"This stand-in for BigQuery cannot hold {name} beside {other}: only upper and lower case differ"
            )
        raise not_found(name)


def check_matches(engine: DuckDBEngine, sql: str, parameters: list[Any] | None) -> None:
    """Raise InvalidQueryError if a MERGE or UPDATE ... FROM, in DuckDB's SQL, has two source rows for one target row.

    https://cloud.google.com/bigquery/docs/reference/standard-sql/dml-syntax#merge_statement
    """
    tree = sqlglot.parse_one(sql, read="duckdb")
    if isinstance(tree, exp.Merge):
        conditions = _matched(tree)
        source, on = tree.args["using"], tree.args["on"]
        if not conditions:
            return
        where = exp.and_(on, exp.or_(*conditions))
    elif isinstance(tree, exp.Update) and tree.args.get("from_"):
        source, where = tree.args["from_"].this, tree.args["where"].this
    else:
        return
    row = exp.column("rowid", table=tree.this.alias_or_name, quoted=True)
    pairs = exp.select(row).from_(tree.this.copy()).join(source.copy(), join_type="cross").where(where.copy())
    twice = pairs.group_by("1").having("count(*) > 1").limit(1)
    # Parameters are named, and those of the rest of the statement are not in this part of it.
    used = {str(each.this) for each in twice.find_all(exp.Parameter, exp.Placeholder)}
    if parameters and len(used) != len(parameters):
        return
    if engine.execute(twice.sql("duckdb"), parameters).fetchone():
        raise InvalidQueryError("UPDATE/MERGE must match at most one source row for each target row")


def _matched(tree: exp.Merge) -> list[exp.Expr]:
    """Conditions of the clauses WHEN MATCHED; none if there are none."""
    clauses = [clause for clause in tree.args["whens"].expressions if clause.args.get("matched")]
    return [clause.args.get("condition") or exp.true() for clause in clauses]


def install() -> None:
    """Check statements of jobs and of scripts."""
    translate, fetch = inner_query.rewrite_and_translate_statement, DuckDBEngine.fetch_arrow

    async def checked(bq_sql: str, *, project_id: str, ctx: Any, **more: Any) -> str:
        check(ctx, project_id, bq_sql)
        return await translate(bq_sql, project_id=project_id, ctx=ctx, **more)

    def fetch_checked(self: DuckDBEngine, sql: str, parameters: list[Any] | None = None) -> Any:
        if _MATCHING.match(sql):
            check_matches(self, sql, parameters)
        return fetch(self, sql, parameters)

    for module in (inner_query, executor, interpreter):
        module.rewrite_and_translate_statement = checked
    DuckDBEngine.fetch_arrow = fetch_checked
