"""The documents about benchmarks and torture tests have the names and bounds of the code."""

import re

from devtools.bench import airbyte, compose, composer, places, run, size
from devtools.torture.runs import PROCESSES
from stack.settings import ROOT


def rows_of(document):
    """The first and the last cell of each row of the tables of a document."""
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    return re.findall(r"^\| ([^|]+) \|(?:[^|]*\|)*? ([^|]+) \|$", text, re.MULTILINE)


def test_benchmarks_have_the_documented_bounds():
    documented = {}
    for names, bounds in rows_of("benchmarks.md"):
        names = re.findall(r"`(\w+/\w+)`", names)
        documented |= zip(names, map(float, re.findall(r"\d[\d.]*", bounds)[: len(names)]), strict=True)
    assert documented == {
        **{f"run/{name}": bound for name, bound in run.BOUNDS.items()},
        "run/orchestration": run.ORCHESTRATION,
        "run/peak_memory": run.PEAK_MEMORY_GB,
        **{f"places/{name}": bound for name, bound in places.BOUNDS.items()},
        **{f"composer/{name}": bound for name, bound in composer.BOUNDS.items()},
        **{f"size/{name}": bound for name, bound in size.BOUNDS.items()},
        **{f"airbyte/{name}": bound for name, bound in airbyte.RATIOS.items()},
        **dict.fromkeys(("airbyte/memory", "airbyte/memory_ten_million"), airbyte.PEAK_MEMORY_MB),
        "airbyte/four": airbyte.FOUR,
        "airbyte/operator": airbyte.OPERATOR_SECONDS,
        **{f"compose/{name}": bound for name, bound in compose.BOUNDS.items()},
        "compose/idle_memory": compose.IDLE_MEMORY_GB,
    }


def test_every_process_that_torture_kills_is_documented():
    documented = {name for names, _ in rows_of("torture.md") for name in re.findall(r"`([\w-]+)`", names)}
    assert set(PROCESSES) <= documented
