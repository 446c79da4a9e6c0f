"""`make bench`: the rows that groups yield, and the tools of the group `run`."""

import csv
import fcntl
import io
import json
import os
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner
from rich.console import Console

from devtools.__main__ import GROUPS, main
from devtools.bench import instance, table
from devtools.bench.run import SCRIPT
from devtools.bench.table import Options, Row
from devtools.instance import renewed
from stack.errors import StackError
from stack.settings import ROOT

TASKS = (
    *("extract_and_load_projects", "extract_and_load_tags", "validate_projects", "validate_tags"),
    *("transform", "validate_transforms", "validate_projects_to_predict", "publish"),
    *("extract_data", "validate", "optimize-0", "optimize-1", "train", "evaluate", "promote"),
    *("predict", "validate_predictions", "publish_predictions"),
)


@pytest.fixture
def measure(tmp_path):
    """Measures groups; returns whether all rows are ok, and the text on the screen."""

    def call(groups, **kwargs):
        screen = io.StringIO()
        options = Options(tmp_path, Console(file=screen, width=200))
        return table.measure(groups, options, **kwargs), screen.getvalue()

    return call


@pytest.fixture
def rows(tmp_path):
    """Returns the content of bench.json."""
    return lambda: json.loads((tmp_path / "bench.json").read_text())


def group(*rows):
    return lambda options: (row for row in rows)


def test_a_stored_row_has_these_keys_and_its_group_in_its_name(measure, rows):
    measure({"a": group(Row("speed", 1.234, "s", 2))})
    expected = {"name": "a/speed", "value": 1.23, "unit": "s", "rival": None, "ratio": None, "bound": 2, "ok": True}
    assert rows() == [expected]


def test_rows_that_are_not_measured_again_are_kept(measure, rows):
    measure({"a": group(Row("x", 1, "s", 2), Row("y", 1, "s", 2)), "b": group(Row("x", 1, "s", 2))})
    measure({"a": group(Row("y", 1.5, "s", 2), Row("z", 1, "s", 2)), "b": group(Row("x", 9, "s", 2))}, only="a")
    assert [(row["name"], row["value"]) for row in rows()] == [("a/x", 1), ("a/y", 1.5), ("b/x", 1), ("a/z", 1)]


def test_a_row_that_is_yielded_again_replaces_the_earlier_one_in_the_file_and_in_the_table(measure, rows):
    _, screen = measure({"a": group(Row("x", 1, "s", 2, rounds=1), Row("x", 1.5, "s", 2, rounds=2))})
    assert [(row["value"], row["rounds"]) for row in rows()] == [(1.5, 2)]
    lines = screen.partition("bound")[2].splitlines()
    assert ["a/x", "1.50", "s", "2", "✓", "2"] in [line.split() for line in lines]
    assert screen.partition("bound")[2].count("a/x") == 1


@pytest.mark.parametrize(
    ("row", "ratio", "ok"),
    [
        (Row("x", 2.0, "s", 2), None, True),
        (Row("x", 2.01, "s", 2), None, False),
        (Row("x", 26, "s", 1.3, "a rival", 20), 1.3, True),
        (Row("x", 26.2, "s", 1.3, "a rival", 20), 1.31, False),
    ],
)
def test_the_bound_applies_to_the_ratio_or_without_a_rival_to_the_value(measure, rows, row, ratio, ok):
    all_ok, _ = measure({"a": group(row)})
    assert [(row["ratio"], row["ok"]) for row in rows()] == [(ratio, ok)]
    assert all_ok is ok


def test_the_error_for_an_unknown_group_lists_the_known_ones(measure):
    with pytest.raises(StackError, match=r"unknown group c; .* takes one of: a, b$"):
        measure({"a": group(), "b": group()}, only="c")


def test_the_file_is_replaced_in_one_step(tmp_path, monkeypatch):
    path = tmp_path / "bench.json"
    table.merge(Row("x", 1, "s", 2).facts("a"), path)
    before = path.read_text()

    def full(self, target):
        raise OSError("disk full")

    monkeypatch.setattr(type(path), "replace", full)
    with pytest.raises(OSError, match="disk full"):
        table.merge(Row("x", 9, "s", 2).facts("a"), path)
    assert path.read_text() == before


def test_an_interrupted_bench_keeps_and_shows_its_rows_and_its_group_cleans_up(tmp_path, rows, monkeypatch):
    ended = []

    def measured(options):
        try:
            yield Row("x", 1, "s", 2)
            yield Row("y", 1, "s", 2)
        finally:
            ended.append("services")

    def interrupted(facts, path):
        if facts["name"] == "a/y":
            raise KeyboardInterrupt
        merge(facts, path)

    merge, screen = table.merge, io.StringIO()
    monkeypatch.setattr(table, "merge", interrupted)
    # Keeping the exception keeps the generator alive, so that only the bench can have closed it.
    with pytest.raises(KeyboardInterrupt) as error:
        table.measure({"a": measured}, Options(tmp_path, Console(file=screen)))
    assert error is not None
    assert ended == ["services"]
    assert [row["name"] for row in rows()] == ["a/x"]
    assert "bound" in screen.getvalue()


def test_a_kill_after_a_row_does_not_lose_it(tmp_path, rows):
    code = """
import os, signal, sys
from pathlib import Path
from rich.console import Console
from devtools.bench.table import Options, Row, measure

def killed(options):
    yield Row("x", 1, "s", 2)
    os.kill(os.getpid(), signal.SIGKILL)

measure({"a": killed}, Options(Path(sys.argv[1]), Console()))
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment)
    assert done.returncode == -signal.SIGKILL
    assert [row["name"] for row in rows()] == ["a/x"]


def test_a_second_bench_at_the_same_time_is_refused(tmp_path, measure):
    (tmp_path / "bench").mkdir()
    with (tmp_path / "bench" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StackError, match=f"another bench is running in {tmp_path}"):
            measure({"a": group(Row("x", 1, "s", 2))})
    assert not (tmp_path / "bench.json").exists()


@pytest.mark.parametrize(("bound", "status"), [(2, 0), (1, 1)])
def test_the_command_fails_if_a_row_is_not_ok(tmp_path, monkeypatch, bound, status):
    told = []

    def fake(options):
        told.append(options.rounds)
        yield Row("x", 1.5, "s", bound)

    monkeypatch.setitem(GROUPS["compose"], "fake", fake)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    arguments = ["--var", str(tmp_path), "bench", "--place", "compose", "--only", "fake", "--rounds", "3"]
    done = CliRunner().invoke(main, arguments)
    for number, handler in handlers.items():
        signal.signal(number, handler)
    assert (done.exit_code, told) == (status, [3]), done.output


@pytest.fixture
def environments(tmp_path):
    """Programs that replace those of the environments: each logs its call, and writes a result for the next ones."""
    facts = {"uri": "u", "study": "s", "model": "m", "mlflow": {"model": "deeper"}}
    facts |= {"predictions": "c", "predicted_at": "t"}
    program = f"""#!/bin/bash
set -e
echo "${{0##*environments/}} $*" >>"$RESULTS/calls"
if [[ "$*" == "$FAILING"* ]]; then exit 3; fi
while (( $# > 1 )); do
  if [[ "$1" == --result ]]; then echo '{json.dumps(facts)}' >"$2"; fi
  shift
done
"""
    names = ("stack/bin/python", "airflow/bin/python", "dbt/bin/python", "tagifai/bin/tagifai")
    for name in names:
        path = tmp_path / "environments" / name
        path.parent.mkdir(parents=True)
        path.write_text(program)
        path.chmod(0o755)
    return tmp_path / "environments"


@pytest.fixture
def script(environments, tmp_path):
    """Runs the shell script on those programs; returns its exit status, the calls and the steps that succeeded."""

    def run(failing="nothing fails"):
        (tmp_path / "results").mkdir()
        own = {"ENVIRONMENTS": str(environments), "RESULTS": str(tmp_path / "results"), "WORKERS": "2"}
        own["PYTHON"] = sys.executable
        done = subprocess.run(["bash", SCRIPT], cwd=ROOT, env=os.environ | own | {"FAILING": failing})
        times = (tmp_path / "results" / "times").read_text().splitlines()
        calls = (tmp_path / "results" / "calls").read_text().splitlines()
        return done.returncode, calls, [line.split()[0] for line in times]

    return run


def test_the_steps_of_the_script_are_the_tasks_of_both_graphs_in_their_order(script):
    status, calls, steps = script()
    assert status == 0
    assert sorted(steps) == sorted(TASKS)
    assert steps[4] == "transform"
    assert steps[7:10] == ["publish", "extract_data", "validate"]
    assert steps[12:] == ["train", "evaluate", "promote", "predict", "validate_predictions", "publish_predictions"]
    assert "airflow/bin/python -m pipeline.checkpoints snapshot=u" in calls
    assert "airflow/bin/python -m pipeline.checkpoints predictions=c" in calls
    assert any(call.startswith("tagifai/bin/tagifai publish --predictions c --predicted-at t ") for call in calls)
    assert any(call.startswith("tagifai/bin/tagifai train --snapshot u --study s ") for call in calls)
    assert any(call.startswith("tagifai/bin/tagifai promote --snapshot u --model m ") for call in calls)


@pytest.mark.parametrize(
    ("failing", "not_run"),
    [("devtools/bench/sync.py tags", "build"), ("-m pipeline.checkpoints tags", "build"), ("optimize", "train")],
)
def test_the_script_stops_at_a_command_that_fails(script, failing, not_run):
    status, calls, _ = script(failing)
    assert status == 3
    assert any(failing in call for call in calls)
    assert not any(not_run in call for call in calls)


def test_each_renewed_file_differs_from_all_others_in_one_value_of_the_last_column():
    text = (ROOT / "data" / "sample" / "projects.csv").read_text()
    tables = [
        list(csv.DictReader(io.StringIO(each, newline=""))) for each in (text, renewed(text, 1), renewed(text, 2))
    ]
    for other in tables[1:]:
        ((before, after),) = ((a, b) for a, b in zip(tables[0], other, strict=True) if a != b)
        assert {name for name in before if before[name] != after[name]} == {"description"}
    assert tables[1] != tables[2]


def test_the_error_of_a_failed_command_has_the_end_of_its_output(tmp_path):
    with pytest.raises(StackError, match=r"`bash -c .*` failed(?s:.*)see .*/log\nout of order"):
        instance.timed(["bash", "-c", "echo out of order; exit 2"], dict(os.environ), tmp_path / "log")


def test_memory_counts_child_processes_and_those_of_the_instance(tmp_path):
    size = 50_000_000
    code = f"import sys; held = b'x' * {size}; print('ready', flush=True); sys.stdin.read()"
    below = ([sys.executable, "-c", code], dict(os.environ))
    # Its parent ends before it is measured.
    orphan = (["bash", "-c", '"$@" <&0 &', "bash", *below[0]], os.environ | {"MLOPS_VAR": str(tmp_path)})
    before, processes = instance.memory(tmp_path), []
    try:
        for command, environment in (below, orphan):
            process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            processes.append(process)
            assert process.stdout.readline() == b"ready\n"
            assert instance.memory(tmp_path) - before > len(processes) * size
    finally:
        for process in processes:
            process.communicate()
