"""What `make bench` measures: a group is a module whose `measure` yields rows as it gets them."""

from devtools.bench import airbyte, compose, run

GROUPS = {
    "run": run.measure,
    "airbyte": airbyte.measure,
    "compose": compose.measure,
}
