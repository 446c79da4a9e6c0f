"""The group `size`: time and memory of `make run` on 3,000, 30,000 and 100,000 rows.

The texts are made up: words of a vocabulary with the frequencies of a natural language, some of them of one label only.
A first run, not measured, makes the databases and compiles bytecode.
"""

import csv
import json
import random
from collections.abc import Generator
from itertools import accumulate
from pathlib import Path
from typing import Any

import yaml

from devtools.bench.instance import memory_watched, timed, two_cores
from devtools.bench.table import Options, Row
from devtools.instance import Instance

SIZES = (3_000, 30_000, 100_000)
LABELS, WORDS, LENGTH = 20, 20_000, 40
# Share of the words that tell the label, small enough that the scores stay below 1.
TELLING = 0.08
# Minutes that the search may take with the most rows; the default is enough for the others.
MINUTES = 5
# Seconds for the smallest, the ratio to runs on as many rows of it for the others, and gigabytes.
BOUNDS = {"rows_3000": 1200, "rows_30000": 1, "rows_100000": 1}
BOUNDS |= {"memory_3000": 4, "memory_30000": 5, "memory_100000": 5}


def measure(options: Options) -> Generator[Row]:
    """Yield two rows for each size."""
    folder = options.var / "bench" / "size"
    found: dict[int, float] = {}
    with two_cores():
        for size in (300, *SIZES):
            with options.console.status(f"size: {size:,} rows"):
                seconds, memory = _run(folder, size)
            if size not in SIZES:
                continue
            found[size] = seconds
            yield _row(size, found)
            name = f"memory_{size}"
            yield Row(name, memory / 1e9, "GB", BOUNDS[name], rounds=1)


def _row(size: int, found: dict[int, float]) -> Row:
    first, name = SIZES[0], f"rows_{size}"
    if size == first:
        return Row(name, found[size], "s", BOUNDS[name], rounds=1)
    rival = f"{size // first} runs of {first:,} rows"
    return Row(name, found[size], "s", BOUNDS[name], rival=rival, rival_value=found[first] * (size // first), rounds=1)


def _run(folder: Path, size: int) -> tuple[float, int]:
    """Seconds of a `make run` of a new instance, and its most memory in bytes."""
    made = folder.parent / f"{folder.name}-source"
    made.mkdir(parents=True, exist_ok=True)
    _write(made / "texts.csv", size)
    config = made / "size.yaml"
    config.write_text(yaml.safe_dump(_config(made, size)))
    instance = Instance(folder, source=None, config=config)
    memory: list[int] = []
    with memory_watched(instance.settings.var, memory):
        seconds = timed(instance.command("run"), instance.environment, instance.folder / "make-run.log")
    state = json.loads((instance.settings.var / "summary.json").read_text(encoding="utf-8"))["state"]
    assert state == "success"
    return seconds, max(memory)


def _config(folder: Path, size: int) -> dict[str, Any]:
    """The application's settings."""
    columns = {"id": "integer", "text": "text", "label": "text"}
    return {
        "application": "size",
        "namespace": "size",
        "source": str(folder),
        "sources": {"texts": {"file": "texts.csv", "columns": columns}},
        "columns": {"id": "id", "texts": ["text"], "label": "label", "date": None},
        "equal_texts": "first",
        "search": {"minutes": MINUTES} if size == SIZES[-1] else {},
        "model": {"name": "size"},
    }


def _write(file: Path, size: int) -> None:
    choose = random.Random(size)  # noqa: S311
    weights = [*accumulate(1 / rank for rank in range(1, WORDS + 1))]
    words = [f"w{number}" for number in range(WORDS)]
    with file.open("w", newline="", encoding="utf-8") as content:
        writer = csv.writer(content)
        writer.writerow(["id", "text", "label"])
        for number in range(size):
            label = min(int(choose.paretovariate(1)) - 1, LABELS - 1)
            text = choose.choices(words, cum_weights=weights, k=LENGTH)
            own = (f"l{label}w{choose.randrange(50)}" for _ in range(LENGTH))
            texts = [each if choose.random() < TELLING else word for word, each in zip(text, own, strict=True)]
            writer.writerow([number, " ".join(texts), f"label-{label}"])
