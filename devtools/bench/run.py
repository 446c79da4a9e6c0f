"""The group `run`: time and memory of the main job, also compared with the same commands in one shell script.

A first run, not measured, makes the databases and compiles bytecode. Each measured run starts and stops its services.
A new snapshot is the source with one value changed: all of the work has to be done again.
"""

import json
import shutil
import sys
from collections import defaultdict
from collections.abc import Generator, Iterator
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import Any

from devtools.bench.instance import memory_watched, timed, two_cores
from devtools.bench.table import Options, Row
from devtools.instance import Instance, running
from stack.environments import common_environment, task_environment
from stack.errors import StackError
from stack.runs import dag_runs
from stack.runs.airflow_api import AirflowApi
from stack.settings import ENVIRONMENTS, Settings

ROUNDS = 5
# Seconds.
BOUNDS = {
    "new_snapshot": 75,
    "new_snapshot_dataops": 18,
    "new_snapshot_mlops": 40,
    "unchanged_snapshot": 50,
    "command_no_model": 0.5,
    "command_scikit_learn": 2,
    "command_mlflow": 3,
    "optimize": 15,
}
# Of the graphs' time to the script's.
ORCHESTRATION = 1.3
PEAK_MEMORY_GB = 3
# Steps that are a single command with these libraries; the slower one counts.
COMMANDS = {
    "command_no_model": ("extract_data", "publish_predictions"),
    "command_scikit_learn": ("train", "evaluate"),
    "command_mlflow": ("promote", "predict"),
}
SCRIPT = Path(__file__).with_name("script.sh")
# What the script needs; Airflow would only slow it down.
SERVICES = ["postgres", "airbyte", "mlflow"]


def measure(options: Options) -> Generator[Row]:
    """Yield the rows, and each again after every further round."""
    rounds, status = options.rounds or ROUNDS, options.console.status
    with two_cores():
        with status("run: a first run, not measured"):
            instance = Instance(options.var / "bench" / "run", source=options.source, config=options.config)
            seconds: dict[str, list[float]] = defaultdict(list)
            memory: list[int] = []
            instance.renew_source()
            _make_run(instance, defaultdict(list), memory, "first", is_new=True)
        runs = []
        for number in range(1, rounds + 1):
            with status(f"run: a new snapshot, {number} of {rounds}"):
                instance.renew_source()
                runs.append(_make_run(instance, seconds, memory, "new_snapshot", is_new=True))
            yield from _rows(seconds, "new_snapshot", "new_snapshot_dataops", "new_snapshot_mlops")
            with status(f"run: the same snapshot again, {number} of {rounds}"):
                _make_run(instance, seconds, memory, "unchanged_snapshot", is_new=False)
            yield from _rows(seconds, "unchanged_snapshot")
            yield Row("peak_memory", max(memory) / 1e9, "GB", PEAK_MEMORY_GB, rounds=_unless_all(number))
        with running(instance.settings, "postgres", "airflow-api-server"):
            graphs = median(_graphs(instance.settings, facts) for facts in runs)
        with running(instance.settings, *SERVICES):
            for number in range(1, rounds + 1):
                with status(f"run: a new snapshot by the shell script, {number} of {rounds}"):
                    instance.renew_source()
                    _run_script(instance, seconds, tasks={*runs[0]["dataops"]["tasks"], *runs[0]["mlops"]["tasks"]})
                script = {"rival": "one shell script", "rival_value": median(seconds["script"])}
                yield Row("orchestration", graphs, "s", ORCHESTRATION, **script, rounds=_unless_all(number))
                yield from _rows(seconds, *COMMANDS, "optimize")


def _make_run(
    instance: Instance, seconds: dict[str, list[float]], memory: list[int], name: str, *, is_new: bool
) -> dict[str, Any]:
    """Add the seconds of a `make run` and of its graphs, and its memory; returns the facts of its summary."""
    # An unchanged snapshot needs no more memory than a new one; watching takes a few hundredths of the time.
    with memory_watched(instance.settings.var, memory) if is_new else nullcontext():
        whole = timed(instance.command("run"), instance.environment, instance.folder / "make-run.log")
    facts = json.loads((instance.settings.var / "summary.json").read_text(encoding="utf-8"))
    _check_trials(instance.settings, facts["study"]["run"], is_new=is_new)
    seconds[name].append(whole)
    for dag_id in ("dataops", "mlops"):
        seconds[f"{name}_{dag_id}"].append(facts[dag_id]["seconds"])
    return facts


def _graphs(settings: Settings, facts: dict[str, Any]) -> float:
    """Seconds from the start of a run of dataops to the end of the mlops run that it started."""
    api = AirflowApi.of(settings)
    return dag_runs.seconds([api.run(dag_id, facts[dag_id]["run_id"]) for dag_id in ("dataops", "mlops")]) or 0.0


def _run_script(instance: Instance, seconds: dict[str, list[float]], *, tasks: set[str]) -> None:
    """Add the seconds of the script and of its steps, which must be the graphs' `tasks`."""
    settings, results = instance.settings, instance.folder / "script"
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir()
    workers = settings.config["search"]["workers"]
    environment = {
        **common_environment(settings),
        **task_environment(settings),
        "PYTHONUNBUFFERED": "1",
        "ENVIRONMENTS": str(ENVIRONMENTS),
        "RESULTS": str(results),
        "PYTHON": sys.executable,
        "WORKERS": str(workers),
        "AIRBYTE_ADDRESS": f"127.0.0.1:{settings.ports.airbyte}",
        "AIRBYTE_CLIENT_ID": settings.airbyte_client_id,
        "AIRBYTE_CLIENT_SECRET": settings.secrets["airbyte_client_secret"],
    }
    whole = timed(["bash", str(SCRIPT)], environment, instance.folder / "script.log")
    lines = [line.split() for line in (results / "times").read_text().splitlines()]
    times = {step: (float(began), float(ended)) for step, began, ended in lines}
    # The workers of a mapped task are steps optimize-0, optimize-1, ...
    if (steps := {step.partition("-")[0] for step in times}) != tasks:
        raise StackError(f"{SCRIPT} must have the graphs' tasks as its steps; these differ: {sorted(steps ^ tasks)}")
    each = [f"optimize-{worker}" for worker in range(workers)]
    found = [json.loads((results / f"{step}.json").read_text()) for step in each]
    _check_trials(settings, sum(one["run"] for one in found), is_new=True)
    seconds["script"].append(whole)
    seconds["optimize"].append(max(times[step][1] for step in each) - min(times[step][0] for step in each))
    for step in (step for steps in COMMANDS.values() for step in steps):
        seconds[step].append(times[step][1] - times[step][0])


def _check_trials(settings: Settings, run: int, *, is_new: bool) -> None:
    """Check that a study of a new snapshot ran all its trials, and one of the same snapshot none."""
    expected = settings.config["search"]["trials"] if is_new else 0
    if run != expected:
        kind = "a new" if is_new else "an unchanged"
        raise StackError(f"{run} trials ran on {kind} snapshot, not {expected}: the measurement is wrong")


def _rows(seconds: dict[str, list[float]], *names: str) -> Iterator[Row]:
    for name in names:
        measured = max((seconds[step] for step in COMMANDS.get(name, [name])), key=median)
        yield Row(name, median(measured), "s", BOUNDS[name], rounds=_unless_all(len(measured)))


def _unless_all(number: int) -> int | None:
    return number if number != ROUNDS else None
