"""Starts local-bigquery, in whose environment it runs, until stdin closes; prints {"url": …, "grpc": …}.

It adds the least that our clients need and local-bigquery lacks:

- `/token`, where the key of `emulators.service_account` gets tokens; `/reset`, which forgets all projects, since each
  slows all others down.
- A job of CREATE TABLE AS names the table as its destination, where dbt looks for the number of rows.
- MERGE inside of BEGIN TRANSACTION: its own BEGIN there makes DuckDB abort the transaction.
"""

import json
import os
import shutil
import socket
import sys
import tempfile
import threading
from pathlib import Path

import duckdb
import uvicorn
from local_bigquery import app
from local_bigquery.engine import database
from local_bigquery.grpc import server as grpc
from local_bigquery.jobs import merge, query
from local_bigquery.settings import settings

HOST = "127.0.0.1"
TOKEN = {"access_token": "any", "token_type": "Bearer", "expires_in": 3600}
run_merge, execute = merge.run, query.execute


class InTransaction:
    """A cursor that refuses BEGIN, as DuckDB does, but leaves the transaction alive."""

    def __init__(self, cursor):
        self._cursor = cursor

    def execute(self, sql, *parameters):
        if sql == "BEGIN":
            raise duckdb.TransactionException
        return self._cursor.execute(sql, *parameters)


def merge_in_transaction(cursor, *given):
    # When the transaction began; outside of one, each statement begins its own.
    first, second = (cursor.execute("select epoch_us(now())").fetchone() for _ in range(2))
    return run_merge(InTransaction(cursor) if first == second else cursor, *given)


def execute_with_destination(*given, **more):
    statistics, children, destination = execute(*given, **more)
    if statistics.statementType == "CREATE_TABLE_AS_SELECT":
        destination = statistics.ddlTargetTable
    return statistics, children, destination


def end_with_stdin(folder):
    sys.stdin.read()
    shutil.rmtree(folder, ignore_errors=True)
    # Waits for no query.
    os._exit(0)


def main():
    folder = tempfile.mkdtemp()
    threading.Thread(target=end_with_stdin, args=(folder,)).start()
    # DuckDB keeps its extensions in HOME.
    os.environ["HOME"] = folder
    for extension in Path(sys.prefix).rglob("*.duckdb_extension"):
        duckdb.execute(f"install '{extension}'")

    settings.data_dir = Path(folder, "data")

    def reset():
        # Deletes the folder.
        database.reset()
        settings.data_dir = Path(tempfile.mkdtemp(dir=folder))

    merge.run, query.execute = merge_in_transaction, execute_with_destination
    app.add_api_route("/token", lambda: TOKEN, methods=["POST"])
    app.add_api_route("/reset", reset, methods=["POST"])
    _, port = grpc.start(HOST, 0)
    listening = socket.create_server((HOST, 0))
    url = f"http://{HOST}:{listening.getsockname()[1]}"
    print(json.dumps({"url": url, "grpc": f"{HOST}:{port}"}), flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])


main()
