"""Query jobs: dry runs that run nothing, limits of bytes and time, and results that go to a table."""

import asyncio
from typing import Any

from bqemulator.api.routes import jobs as pages
from bqemulator.catalog.models import JobMeta
from bqemulator.domain.errors import AlreadyExistsError, DomainError, InvalidQueryError
from bqemulator.jobs import executor
from bqemulator.jobs.error_mapper import translate_runtime_error
from bqemulator.scripting import interpreter
from bqemulator.scripting.ast import SqlStmt
from bqemulator.sql.rewriter.legacy_sql import rewrite_legacy_to_standard

from emulators.bigquery import billing, names, received, tables
from emulators.bigquery.engine import atomic
from emulators.bigquery.limits import time_limit
from emulators.bigquery.literals import unescaped
from emulators.bigquery.names import Name


def run(ctx: Any, project: str, job_id: str, configuration: dict[str, Any], *, caller: Any) -> dict[str, Any]:
    """Run a query, a statement or a script; adds the destination to the configuration.

    A statement and the table that it fills are one transaction; in a script each statement is one, if the script begins
    none itself.

    Returns:
        The job's statistics.

    Raises:
        DomainError: the job fails; a statement has then changed nothing.
    """
    query = configuration["query"]
    sql = _sql(project, query)
    session = pages._maybe_mint_session(query)
    estimate = billing.estimate(ctx, project, sql)
    billing.refuse_above(query.get("maximumBytesBilled"), estimate)
    destination = query.get("destinationTable")
    with received.noted(ctx, project, query), time_limit(ctx, configuration.get("jobTimeoutMs")):
        if _is_script(sql):
            meta = _execute(ctx, project, job_id, sql, query, caller=caller)
        else:
            with atomic(ctx):
                meta = _execute(ctx, project, job_id, sql, query, caller=caller)
                if destination and executor.classify_statement_type(sql) in ("SELECT", ""):
                    _write(ctx, job_id, Name.of_resource(destination, project), query)
    # Clients ask for this table next.
    configuration["query"] = {**meta.configuration["query"], **query}
    sizes = {"totalBytesProcessed": str(estimate.processed), "totalBytesBilled": str(estimate.billed)}
    statistics: dict[str, Any] = {**meta.statistics, "totalBytesProcessed": str(estimate.processed)}
    statistics["query"] = statistics["query"] | sizes
    pages._attach_session_info(statistics, session)
    return statistics


def dry_run(ctx: Any, project: str, job_id: str, configuration: dict[str, Any], *, caller: Any) -> dict[str, Any]:
    """Statistics of a query that is checked and not run: `totalBytesProcessed` is what it would read.

    https://cloud.google.com/bigquery/docs/running-queries#dry-run

    Raises:
        DomainError: the statement is wrong. A script is not checked any further than its syntax.
    """
    query = configuration["query"]
    with received.noted(ctx, project, query):
        return _dry_statistics(ctx, project, job_id, query, caller=caller)


def _dry_statistics(ctx: Any, project: str, job_id: str, query: dict[str, Any], *, caller: Any) -> dict[str, Any]:
    sql = _sql(project, query)
    estimate = billing.estimate(ctx, project, sql)
    details: dict[str, Any] = {
        "totalBytesProcessed": str(estimate.processed),
        "totalBytesBilled": "0",
        "cacheHit": False,
    }
    if _is_script(sql):
        details["statementType"] = "SCRIPT"
    else:
        details["statementType"] = kind = executor.classify_statement_type(sql) or "SELECT"
        if kind == "SELECT":
            details["schema"] = {"fields": _columns(ctx, project, job_id, sql, query, caller=caller)}
        elif kind in ("INSERT", "UPDATE", "DELETE", "MERGE"):
            _explain(ctx, project, sql, query, caller=caller)
    return {"totalBytesProcessed": str(estimate.processed), "query": details}


def _sql(project: str, query: dict[str, Any]) -> str:
    """The statement or script, with the tables of the default dataset named in full."""
    pages._validate_session_id(query)
    sql = query.get("query", "")
    if not sql.strip():
        raise InvalidQueryError("Syntax error: Unexpected end of statement")
    sql = pages._apply_default_dataset(sql, query, request_project_id=project)
    return rewrite_legacy_to_standard(sql) if query.get("useLegacySql") else unescaped(sql)


def _is_script(sql: str) -> bool:
    if interpreter._classify_txn_statement(sql):
        raise InvalidQueryError("Transaction control statements are supported only in scripts or sessions")
    statements = executor._parse_script_or_raise(sql).statements
    return len(statements) != 1 or not isinstance(statements[0], SqlStmt)


def _execute(ctx: Any, project: str, job_id: str, sql: str, query: dict[str, Any], *, caller: Any) -> JobMeta:
    parameters = query.get("queryParameters")
    return asyncio.run(executor.execute_query_job(project, job_id, sql, parameters, ctx, caller=caller))


def _columns(
    ctx: Any, project: str, job_id: str, sql: str, query: dict[str, Any], *, caller: Any
) -> list[dict[str, Any]]:
    """Columns of a query's result, of which no row is computed."""
    # A line of its own: the query may end with a comment.
    none = f"select * from (\n{sql.strip().rstrip(';')}\n) limit 0"
    _execute(ctx, project, job_id, none, query, caller=caller)
    executor.JOB_RESULTS.pop(job_id)
    return executor.JOB_SCHEMAS.pop(job_id)


def _explain(ctx: Any, project: str, sql: str, query: dict[str, Any], *, caller: Any) -> None:
    """Raise the error of a statement that names what does not exist."""
    translation = executor.rewrite_and_translate_statement(
        sql, project_id=project, ctx=ctx, caller=caller, translator=executor._translator
    )
    translated = executor.rewrite_table_refs(asyncio.run(translation), project)
    bound, values = executor.bind_parameters(translated, query.get("queryParameters"))
    try:
        ctx.engine.execute(f"explain {bound}", values or None)
    except DomainError:
        raise
    except Exception as error:
        raise translate_runtime_error(error, duckdb_sql=bound) from error


def _write(ctx: Any, job_id: str, destination: Name, query: dict[str, Any]) -> None:
    """Write a query's result to its destination table, by the names of the columns."""
    names.require_dataset(ctx, destination)
    how = query.get("writeDisposition", "WRITE_EMPTY")
    found = ctx.catalog.get_table(*destination.parts)
    if found is None and query.get("createDisposition") == "CREATE_NEVER":
        raise names.not_found(destination)
    if how == "WRITE_EMPTY" and found is not None and tables.count(ctx, destination):
        raise AlreadyExistsError(f"Already Exists: Table {destination}")
    fields = executor.JOB_SCHEMAS[job_id]
    replaced = found is None or how == "WRITE_TRUNCATE"
    if replaced:
        tables.replace(ctx, destination, fields, query)
    else:
        tables.extend(ctx, destination, fields, query.get("schemaUpdateOptions"))
    ctx.engine.connection.register("query_result", executor.JOB_RESULTS[job_id])
    try:
        columns = ", ".join(tables.quoted(field["name"]) for field in fields)
        ctx.engine.execute(f"insert into {destination.quoted} ({columns}) select {columns} from query_result")
    finally:
        ctx.engine.connection.unregister("query_result")
    tables.changed(ctx, destination)
