"""Parameters of runs: what Airflow's trigger form asks for, and how they change the settings of a run's tasks."""

import json
import os
from collections.abc import Iterator
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import Param
from pydantic import ValidationError
from pydantic_settings import SettingsError

from pipeline import smoke
from pipeline.settings import APPLICATION, Settings

# Settings that a run may have of its own.
SECTIONS = ("checks", "labels", "search", "slices", "split", "threshold", "train")

CONFIG = Param(
    {},
    type="object",
    title="Config",
    description=(
        "Settings of this run alone, as in the files of config, from the sections "
        f'{", ".join(SECTIONS)}. For example {{"labels": {{"min_freq": 20}}}}.'
    ),
)
DATAOPS = {
    "source": Param(
        None,
        type=["null", "string"],
        title="Source",
        description="A folder or a base URL with the source files, for this run alone. Empty: the setting source.",
    ),
    "config": CONFIG,
}
MLOPS = {
    "trials": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        title="Trials",
        description="Number of trials of the search. Empty: the setting search.trials.",
    ),
    "seed": Param(
        None,
        type=["null", "integer"],
        minimum=0,
        title="Seed",
        description="Seed of the search. Empty: the setting search.seed.",
    ),
    "config": CONFIG,
}


def enter(context: Any, *, application: str) -> None:
    """Before a task: let its settings be those of its application, with the parameters of its run.

    Airflow calls this in the task's own process, also when a task continues after it has slept.

    Raises:
        AirflowFailException: the parameter `config` has a setting that a run may not change, or that is wrong.
    """
    os.environ[APPLICATION] = application
    if smoke.is_smoke(context):
        smoke.enter(context)
    given = context["params"]
    searched = {name: value for name in ("trials", "seed") if (value := given.get(name)) is not None}
    config = given.get("config") or {}
    if wrong := [name for name in config if name not in SECTIONS]:
        raise AirflowFailException(f"config: a run cannot change {wrong[0]!r}, but {', '.join(SECTIONS)}")
    if "workers" in config.get("search", {}):
        raise AirflowFailException("config: search.workers is the number of tasks, which a run cannot change")
    os.environ.update(variable for section in config.items() for variable in _variables(*section))
    os.environ.update(_variables("search", searched))
    try:
        Settings()
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise AirflowFailException(f"config of this run: {told}") from None
    except SettingsError as error:
        raise AirflowFailException(f"config of this run: {error}: write settings as {{name: value}}") from None


def _variables(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """The environment variables of a setting, one for each value of a section."""
    # Names below this one are the user's own, and the names of variables have no small letters.
    if isinstance(value, dict) and name != "slices__patterns":
        for key, each in value.items():
            yield from _variables(f"{name}__{key}", each)
        return
    if value is None:
        raise AirflowFailException(f"config: {name.replace('__', '.')}: a run cannot set null; use config/ for that")
    yield f"MLOPS_{name.upper()}", value if isinstance(value, str) else json.dumps(value)
