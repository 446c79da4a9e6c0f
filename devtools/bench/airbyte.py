"""The group `airbyte`: syncs of the local service, compared with psycopg's COPY of the same file into PostgreSQL.

A first sync of each connection, not measured, makes its table; the others replace as many rows as they bring. After
each sync the table must equal the one that COPY makes of the file.
"""

import json
import shutil
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from statistics import median

from devtools.bench.instance import timed, two_cores
from devtools.bench.service import PARTS, MeasuredService, serving
from devtools.bench.table import Options, Row
from devtools.instance import Instance
from stack.airbyte import connection
from stack.environments import airflow_environment, command_of, common_environment
from stack.errors import StackError
from stack.settings import ROOT

ROUNDS = 5
# Highest ratios of a sync's time to COPY's.
RATIOS = {"overwrite": 6, "prepared": 5.7, "dedup": 10.4}
# Of four connections' time to that of two.
FOUR = 2.2
PEAK_MEMORY_MB = 270
OPERATOR_SECONDS = 1.5
# Bytes that the files, the tables and the database's log take.
ROOM = 10_000_000_000
OPERATE = Path(__file__).with_name("operate.py")


def measure(options: Options) -> Generator[Row]:
    """Yield the rows, each again after every round; the one of ten million records once, at the end."""
    rounds, status = options.rounds or ROUNDS, options.console.status
    if shutil.disk_usage(options.var).free < ROOM:
        raise StackError(f"the group airbyte needs {ROOM // 10**9} GB of free disk space in {options.var}")
    instance = Instance(options.var / "bench" / "airbyte", source=None, config=options.config)
    seconds: dict[str, list[float]] = defaultdict(list)
    peak = 0
    with two_cores(), serving(instance) as service:
        with status("airbyte: the files, and a first sync of each connection, not measured"):
            service.make("million", "quarter", "ten")
            service.make_messages()
            for names in (*([name] for name in RATIOS), PARTS, ["ten"]):
                service.sync(*names)
        for number in range(1, rounds + 1):
            unless_all = {"rounds": number if number != ROUNDS else None}
            with status(f"airbyte: COPY, {number} of {rounds}"):
                seconds["copy"].append(service.copy("million"))
            for name, bound in RATIOS.items():
                with status(f"airbyte: {name}, {number} of {rounds}"):
                    service.touch("million")
                    taken, memory = service.sync(name)
                seconds[name].append(taken)
                peak = max(peak, memory)
                yield Row(
                    name, median(seconds[name]), "s", bound, "psycopg COPY", median(seconds["copy"]), **unless_all
                )
            yield Row("memory", peak / 1e6, "MB", PEAK_MEMORY_MB, **unless_all)
            for name, parts in {"two": PARTS[:2], "four": PARTS}.items():
                with status(f"airbyte: {name} connections at once, {number} of {rounds}"):
                    seconds[name].append(service.sync(*parts)[0])
            yield Row(
                "four", median(seconds["four"]), "s", FOUR, "two connections", median(seconds["two"]), **unless_all
            )
            with status(f"airbyte: ten records by the operator, {number} of {rounds}"):
                seconds["operator"].append(operate(service, instance.folder))
            yield Row("operator", median(seconds["operator"]), "s", OPERATOR_SECONDS, **unless_all)
        with status("airbyte: ten million records"):
            service.make("ten_million")
            _, peak = service.sync("ten_million")
        yield Row("memory_ten_million", peak / 1e6, "MB", PEAK_MEMORY_MB)
    # Gigabytes of files; they stay where something failed.
    shutil.rmtree(instance.folder)


def operate(service: MeasuredService, folder: Path) -> float:
    """Seconds of the DAG's operator on the connection `ten`, in Airflow's environment without Airflow's own start."""
    result = folder / "operator.json"
    # -P: Airflow must not import the modules of the script's folder.
    command = command_of("airflow", "python", "-P", str(OPERATE), "ten", service.ids["ten"], str(result))
    environment = common_environment(service.settings) | airflow_environment(service.settings)
    environment["AIRFLOW_CONN_AIRBYTE_DEFAULT"] = connection(service.settings)
    timed(command, environment | {"PYTHONPATH": str(ROOT / "airflow" / "dags")}, folder / "operator.log")
    facts = json.loads(result.read_text(encoding="utf-8"))
    service.check("ten", facts["job"])
    return facts["seconds"]
