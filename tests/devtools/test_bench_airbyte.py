"""`make bench ONLY=airbyte`: its records, its connector, its checks of tables, and its rows."""

import csv
import json
import subprocess
import sys
from contextlib import contextmanager

import psycopg
import pytest
from rich.console import Console

from devtools.__main__ import GROUPS
from devtools.bench import airbyte, records, service
from devtools.bench.table import Options
from devtools.instance import Instance
from stack.errors import StackError

SPECIAL = {'"yes", twice', "Ünïcødé, 数据", '"quoted"', "a, b, c", "naïve 😀"}


def messages_of(text):
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def few():
    """Files of few records, so that syncs are quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service, "FILES", dict.fromkeys(service.FILES, 1000) | {"ten": 10})
        yield


@pytest.fixture(scope="module")
def running(few, tmp_path_factory):
    """The real service with the file `million` and as many prepared messages."""
    with service.serving(Instance(tmp_path_factory.mktemp("bench") / "b", source=None, config=None)) as measured:
        measured.make("million")
        measured.make_messages()
        yield measured


@pytest.fixture
def execute(running):
    """Runs SQL in the warehouse; returns its rows, if any."""
    with psycopg.connect(**running.settings.database("warehouse"), autocommit=True) as connection:

        def run(statement):
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else None

        yield run


def test_a_file_is_the_same_each_time_and_has_82_bytes_per_record(tmp_path):
    for name, count in {"one.csv": 100_000, "other.csv": 100_000, "longer.csv": 100_100}.items():
        records.write_csv(tmp_path / name, count)
    one, other, longer = ((tmp_path / name).read_bytes() for name in ("one.csv", "other.csv", "longer.csv"))
    assert one == other
    assert longer.startswith(one)
    assert 82 <= len(one) / 100_000 < 83


def test_a_file_has_eight_columns_unique_ids_and_a_fifth_of_texts_that_are_hard_to_read(tmp_path):
    count = records.PERIOD + 1000
    records.write_csv(tmp_path / "file.csv", count)
    with (tmp_path / "file.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "quantity", "price", "active", "released", "updated", "name", "note"]
    assert len({row["id"] for row in rows}) == count
    for column in ("name", "note"):
        hard = sum(row[column].rpartition(" ")[0] in SPECIAL for row in rows)
        assert 0.19 < hard / count < 0.21


def test_messages_have_the_records_of_the_file_and_the_name_of_the_stream(tmp_path):
    records.write_csv(tmp_path / "file.csv", 1000)
    records.write_messages(tmp_path / "messages.jsonl", 1000, "numbers")
    with (tmp_path / "file.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    started, *found, complete = messages_of((tmp_path / "messages.jsonl").read_text())
    assert [each["trace"]["stream_status"]["status"] for each in (started, complete)] == ["STARTED", "COMPLETE"]
    assert {each["record"]["stream"] for each in found} == {"numbers"}
    told = [each["record"]["data"] for each in found]
    assert {type(value) for value in told[0].values()} == {int, float, bool, str}
    assert [{k: json.dumps(v) if not isinstance(v, str) else v for k, v in each.items()} for each in told] == rows


def test_the_prepared_connector_follows_the_protocol_and_prints_its_messages_unchanged(tmp_path):
    def run(command, *more):
        program = [sys.executable, service.CONNECTORS / "source_prepared.py", command, *more]
        return subprocess.run(program, capture_output=True, check=True).stdout

    catalog = {"streams": [{"name": "numbers", "json_schema": {}, "supported_sync_modes": ["full_refresh"]}]}
    # More than a pipe holds, and than is sent at once.
    messages = b'{"type": "RECORD"}\n' * 200_000
    (tmp_path / "messages.jsonl").write_bytes(messages)
    config = {"catalog": catalog, "messages": str(tmp_path / "messages.jsonl")}
    (tmp_path / "config.json").write_text(json.dumps(config))
    given = ["--config", str(tmp_path / "config.json")]
    assert messages_of(run("spec"))[0]["spec"]["connectionSpecification"]["required"] == ["catalog", "messages"]
    assert messages_of(run("check", *given))[0]["connectionStatus"] == {"status": "SUCCEEDED"}
    assert messages_of(run("discover", *given)) == [{"type": "CATALOG", "catalog": catalog}]
    assert run("read", *given, "--catalog", "catalog.json") == messages


@pytest.mark.parametrize("name", ["overwrite", "prepared", "dedup"])
def test_repeated_syncs_are_measured_and_leave_the_table_that_copy_makes(running, execute, name):
    for _ in range(2):
        running.touch("million")
        seconds, peak = running.sync(name)
        assert seconds > 0
        assert peak > 10_000_000
    columns = ", ".join(records.NAMES)
    difference = f"(select {columns} from bench.{name} except select {columns} from bench.copied)"
    assert execute(f"select count(*) from {difference} as difference") == [(0,)]
    assert execute(f"select count(*) from bench.{name}") == [(1000,)]


@pytest.mark.parametrize(
    "change",
    ["delete from {} where id = (select min(id) from {})", "update {} set note = note || '!' where id % 1000 = 7"],
)
def test_a_table_that_differs_from_that_of_copy_is_an_error(running, execute, change):
    running.sync("overwrite")
    execute(change.replace("{}", "bench.overwrite"))
    with pytest.raises(StackError, match=r"bench.overwrite has .* rows, and COPY makes 1000 of the same file"):
        running.check("overwrite", {"status": "succeeded", "rowsSynced": 1000})


def test_a_failed_sync_or_a_wrong_number_of_records_is_an_error(running):
    with pytest.raises(StackError, match=r"the sync dedup moved 0 records, not 1000: see /the/log"):
        running.check("dedup", {"status": "succeeded", "rowsSynced": 0, "logFile": "/the/log"})
    with pytest.raises(StackError, match=r"the sync dedup failed: no such file; see /the/log"):
        running.check("dedup", {"status": "failed", "failureReason": "no such file", "logFile": "/the/log"})


def test_the_operator_of_the_dag_is_timed_from_its_start_to_the_end_of_its_job(running, execute, tmp_path):
    running.make("ten")
    # It waits a second before its first look.
    assert airbyte.operate(running, tmp_path) > 1
    assert execute("select count(*) from bench.ten") == [(10,)]


class Measured:
    """Replaces the service: every sync takes a second per connection, and the n-th uses n MB."""

    def __init__(self):
        self.synced = []

    def make(self, *files):
        pass

    def make_messages(self):
        pass

    def touch(self, file):
        pass

    def copy(self, file):
        return 0.5

    def sync(self, *names):
        self.synced.append(names)
        return len(names), len(self.synced) * 1e6


def test_the_group_yields_these_rows_again_after_each_round(tmp_path, monkeypatch):
    measured = Measured()

    @contextmanager
    def serving(instance):
        yield measured

    monkeypatch.setattr(airbyte, "serving", serving)
    monkeypatch.setattr(airbyte, "operate", lambda service, folder: 3)
    rows = list(GROUPS["embedded"]["airbyte"](Options(tmp_path, Console(), rounds=2)))
    round_of = ["overwrite", "prepared", "dedup", "memory", "four", "operator"]
    assert [row.name for row in rows] == [*round_of, *round_of, "memory_ten_million"]
    facts = {row.name: row.facts("airbyte") for row in rows}
    assert {name: (each["ratio"] or each["value"], each["bound"]) for name, each in facts.items()} == {
        **{name: (2, bound) for name, bound in airbyte.RATIOS.items()},
        # Of the syncs of a million only, without the first ones of each connection.
        "memory": (13, airbyte.PEAK_MEMORY_MB),
        "four": (2, airbyte.FOUR),
        "operator": (3, airbyte.OPERATOR_SECONDS),
        "memory_ten_million": (16, airbyte.PEAK_MEMORY_MB),
    }
    assert {each["rival"] for each in facts.values()} == {"psycopg COPY", "two connections", None}
    assert [row.rounds for row in rows] == [1] * 6 + [2] * 6 + [None]
    assert measured.synced[:5] == [("overwrite",), ("prepared",), ("dedup",), service.PARTS, ("ten",)]
    # Real files would take gigabytes.
    assert not (tmp_path / "bench" / "airbyte").exists()
