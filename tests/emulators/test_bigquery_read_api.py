"""The Storage Read API: https://cloud.google.com/bigquery/docs/reference/storage."""

import json
import subprocess
import threading

import pytest

from tests.conftest import ENVIRONMENTS

# The client is in the environment of the emulators.
READ = """
import json, sys
import grpc
from google.cloud.bigquery_storage_v1 import BigQueryReadClient, types
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

address, project, fields, condition = json.loads(sys.argv[1])
client = BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=grpc.insecure_channel(address)))
options = types.ReadSession.TableReadOptions(selected_fields=fields, row_restriction=condition)
table = f"projects/{project}/datasets/data/tables/t"
session = types.ReadSession(table=table, data_format=types.DataFormat.ARROW, read_options=options)
session = client.create_read_session(parent=f"projects/{project}", read_session=session, max_stream_count=2)
print("session", flush=True)
sys.stdin.readline()
rows = [row for stream in session.streams for row in client.read_rows(stream.name).to_arrow(session).to_pylist()]
print(json.dumps(sorted(rows, key=str)))
"""


@pytest.fixture
def read(bigquery_server, client):
    """Reads `data.t`; calls a function between the session's start and its rows."""

    def run(fields, condition="", between=lambda: None):
        given = json.dumps([bigquery_server["grpc"], client.project, fields, condition])
        command = [ENVIRONMENTS / "emulators" / "bin" / "python", "-c", READ, given]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, **pipes) as process:
            assert process.stdout.readline() == "session\n"
            between()
            rows, _ = process.communicate("\n")
        return json.loads(rows)

    return run


def test_chosen_columns_of_rows_that_match_are_read(read, sql):
    sql("create table data.t as select id, concat('text ', cast(id as string)) as text from unnest([1, 2, 3]) id")
    assert read(["text"], "id > 1") == [{"text": "text 2"}, {"text": "text 3"}]


def test_a_session_reads_the_table_as_it_was_at_its_start(read, sql):
    sql("create table data.t as select 1 as id")
    assert read(["id"], between=lambda: sql("truncate table data.t")) == [{"id": 1}]


def test_sessions_and_queries_at_once_wait_for_each_other_and_end(read, sql):
    sql("create table data.t as select 1 as id")
    started = threading.Event()

    def query():
        while not started.is_set():
            sql("select sum(a) from unnest(generate_array(1, 1000000)) a")

    running = threading.Thread(target=query)
    running.start()
    try:
        assert read(["id"], between=started.set) == [{"id": 1}]
    finally:
        started.set()
        running.join()
