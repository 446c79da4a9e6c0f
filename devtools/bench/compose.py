"""The group `compose`: time, memory and disk space of the container stack."""

import json
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Generator
from statistics import median

from devtools.bench.table import Options, Row
from devtools.containers import RESTART, ContainerInstance, docker, wait_until
from devtools.instance import renewed, source_files
from stack.embedded.settings import load
from stack.errors import StackError
from stack.runs import dag_runs
from stack.settings import ROOT

ROUNDS = 3
# Seconds.
BOUNDS = {"up": 60, "run": 75, "dag_edit": 10, "rebuild": 20, "cold_build": 600}
IDLE_MEMORY_GB = 2.5
# GB.
IMAGES = {"airflow": 1.8, "airflow-scheduler": 1.8, "airbyte": 1, "mlflow": 1, "docs": 1, "init": 1.8}
# Seconds without work before memory is measured.
IDLE = 60


def measure(options: Options) -> Generator[Row]:
    """Yield the rows; those measured in several rounds again after each round."""
    rounds, status = options.rounds or ROUNDS, options.console.status
    folder = options.var / "bench" / "compose"
    shutil.rmtree(folder, ignore_errors=True)
    files = source_files(load(options.var, source=options.source, config=options.config).config)
    renewed_file = next(iter(files))
    source = folder / "source"
    source.mkdir(parents=True)
    for name, text in files.items():
        (source / name).write_text(text, encoding="utf-8")
    instance = ContainerInstance(folder / "clone", source=source)
    seconds: dict[str, list[float]] = defaultdict(list)

    def timed(name: str, work: Callable[[], object]) -> Row:
        began = time.monotonic()
        elapsed = work()
        seconds[name].append(elapsed if isinstance(elapsed, float) else time.monotonic() - began)
        number = len(seconds[name])
        return Row(name, median(seconds[name]), "s", BOUNDS[name], rounds=number if number < rounds else None)

    try:
        with status("compose: a first start and run, not measured"):
            instance.compose("up", "--wait")
            _run(instance)
        for number in range(1, rounds + 1):
            with status(f"compose: {number} of {rounds}"):
                instance.compose("stop")
                yield timed("up", lambda: instance.compose("up", "--wait"))
                text = renewed(files[renewed_file], number)
                (source / renewed_file).write_text(text, encoding="utf-8")
                yield timed("run", lambda: _run(instance))
                yield timed("dag_edit", lambda number=number: _edit_dag(instance, f"edit-{number}"))
        with status("compose: idle"):
            time.sleep(IDLE)
            yield Row("idle_memory", _memory(instance) / 1e9, "GB", IDLE_MEMORY_GB, rounds=1)
        for name, bound in IMAGES.items():
            size = json.loads(docker("image", "inspect", f"mlops-{name}"))[0]["Size"]
            yield Row(f"image_{name}", size / 1e9, "GB", bound, rounds=1)
        for number in range(rounds):
            with status(f"compose: a rebuild, {number + 1} of {rounds}"):
                with (instance.folder / "tagifai" / "__init__.py").open("a", encoding="utf-8") as module:
                    module.write(f"# {number}\n")
                yield timed("rebuild", lambda: instance.compose("build"))
        with status("compose: a build without a cache"):
            # Unchanged, so that the images are those of the repository.
            shutil.copy(ROOT / "tagifai" / "__init__.py", instance.folder / "tagifai" / "__init__.py")
            began = time.monotonic()
            instance.compose("build", "--no-cache")
            yield Row("cold_build", time.monotonic() - began, "s", BOUNDS["cold_build"], rounds=1)
    finally:
        instance.delete()


def _run(instance: ContainerInstance) -> float:
    """Seconds from the start of dataops to the end of the run of mlops that it starts."""
    run_id = instance.api.trigger("dataops", "benchmark")
    states = instance.ended(run_id)
    if states != {"dataops": "success", "mlops": "success"}:
        raise StackError(f"the measured run ended as {states}; see `docker compose logs` in {instance.folder}")
    runs = [instance.api.run("dataops", run_id), instance.api.run("mlops", str(instance.mlops_run(run_id)))]
    return dag_runs.seconds(runs) or 0.0


def _edit_dag(instance: ContainerInstance, tag: str) -> None:
    """Give dataops another tag, and wait until Airflow has it."""
    file = instance.folder / "airflow" / "dags" / "dataops.py"
    text, own = (ROOT / "airflow" / "dags" / "dataops.py").read_text(), 'graph.arguments("dataops", owner="data")'
    file.write_text(text.replace(own, f'({own} | {{"tags": ["{tag}"]}})'))
    airflow = instance.airflow()
    wait_until(lambda: tag in [each["name"] for each in airflow.get("/dags/dataops").json()["tags"]], seconds=RESTART)


def _memory(instance: ContainerInstance) -> float:
    """Bytes of memory that the containers use, from `docker stats`."""
    names = [each["Name"].lstrip("/") for each in instance.containers().values() if each["State"]["Running"]]
    output = docker("stats", "--no-stream", "--format", "{{.MemUsage}}", *names)
    units = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
    used = [line.split(" / ")[0] for line in output.splitlines()]
    return sum(float(text.rstrip("KMGiB")) * units[text.lstrip("0123456789.")] for text in used)
