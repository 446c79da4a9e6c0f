"""The queries that were received, with the tables that they may name, for an analysis later: `--statements FILE`."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bqemulator.api.routes import tables as pages

_file: int | None = None


def write_to(path: Path) -> None:
    """Append each query that is received from now on to a file."""
    global _file
    _file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


@contextmanager
def noted(ctx: Any, project: str, query: dict[str, Any]) -> Iterator[None]:
    """Append a query to the file, if there is one, when it has ended.

    A line is an object of JSON: `sql`, `project`, `dataset` (the default one, or null), `parameters` (the API's
    QueryParameters without values), `tables` (by dataset.table, the API's fields of each table whose name occurs in the
    SQL, as they were before the query), `error` (message, or null).
    """
    if _file is None:
        yield
        return
    sql = query.get("query", "")
    entry: dict[str, Any] = {
        "sql": sql,
        "project": project,
        "dataset": (query.get("defaultDataset") or {}).get("datasetId"),
        "parameters": [
            {key: each[key] for key in ("name", "parameterType") if key in each}
            for each in query.get("queryParameters") or []
        ],
        "tables": {
            f"{table.dataset_id}.{table.table_id}": [pages._field_to_rest(field) for field in table.schema_.fields]
            for dataset in ctx.catalog.list_datasets(project)
            for table in ctx.catalog.list_tables(project, dataset.dataset_id)
            if table.table_id in sql
        },
        "error": None,
    }
    try:
        yield
    except Exception as error:
        entry["error"] = str(error) or type(error).__name__
        raise
    finally:
        os.write(_file, json.dumps(entry).encode() + b"\n")
