"""The bundle's DAGs as each of Composer's versions of Airflow loads them, where nothing else of ours is."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from deploy.bundle import Bundle
from stack.errors import StackError
from stack.settings import ENVIRONMENTS, ROOT, inherited_environment

# The environment of each version of Airflow that Composer has; the others are compared with ours.
OURS = "3.2.2"
AIRFLOWS = {"3.1.7": "composer-3.1.7", OURS: "airflow", "3.3.1": "composer-3.3.1"}
_SCRIPT = ROOT / "airflow" / "checks" / "describe.py"
# Seconds; loading takes a few.
_LIMIT = 300


@dataclass(frozen=True)
class Facts:
    """What one Airflow says about the bundle.

    Attributes:
        errors: files of the DAGs folder that cannot be imported, with the error.
        dags: what a DAG is, as JSON types, by its id.
        connections: ids of connections with the tasks that use them, as DAG.task.
        variables: names of Airflow's variables, likewise.
        missing: of the modules asked about, those that are not installed.
        written: files below the mounted folders that were written meanwhile, with who did it.
        requirements: of the Great Expectations provider.
    """

    airflow: str
    errors: dict[str, str]
    dags: dict[str, Any]
    connections: dict[str, list[str]]
    variables: dict[str, list[str]]
    missing: list[str]
    written: dict[str, str]
    requirements: list[str]


def load(bundle: Bundle, modules: list[str]) -> dict[str, Facts]:
    """What each Airflow says, by its version; takes half a minute.

    Raises:
        StackError: an environment is missing, or cannot load anything.
    """
    with TemporaryDirectory() as name, ThreadPoolExecutor() as pool:
        found = {version: pool.submit(_load, bundle, modules, Path(name), version) for version in AIRFLOWS}
        return {version: each.result() for version, each in found.items()}


def _load(bundle: Bundle, modules: list[str], folder: Path, version: str) -> Facts:
    python = ENVIRONMENTS / AIRFLOWS[version] / "bin" / "python"
    if not python.exists():
        raise StackError(f"there is no environment {AIRFLOWS[version]}: `make composer-check` makes it")
    home, result = folder / version, folder / f"{version}.json"
    tree = home / "gcs"
    bundle.lay_out(tree)
    done = subprocess.run(
        [python, "-P", _SCRIPT, tree, result],
        cwd=home,
        env=environment(bundle, home),
        input=json.dumps(modules),
        capture_output=True,
        text=True,
        timeout=_LIMIT,
    )
    if done.returncode or not result.exists():
        told = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise StackError(f"Airflow {version} cannot load the DAGs folder at all:\n{told}")
    return Facts(**json.loads(result.read_text(encoding="utf-8")))


def environment(bundle: Bundle, home: Path) -> dict[str, str]:
    """Environment variables of Airflow's processes on Composer, whose folders are in `home`/gcs."""
    gcs = home / "gcs"
    # There is no Secret Manager to ask.
    options = {key: value for key, value in bundle.manifest.airflow_options.items() if not key.startswith("secrets-")}
    return {
        **inherited_environment(),
        **{f"AIRFLOW__{'__'.join(name.split('-', 1)).upper()}": value for name, value in options.items()},
        **bundle.manifest.environment_variables,
        "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(gcs / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(gcs / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        # Byte code would count as written; Composer's goes elsewhere.
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def differences(one: Mapping[str, Any], other: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Where two graphs differ, such as `mlops.tasks.train.retries: 2, 3`."""
    for key in sorted({*one, *other}):
        mine, theirs, where = one.get(key), other.get(key), f"{path}.{key}".removeprefix(".")
        if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
            yield from differences(mine, theirs, where)
        elif mine != theirs:
            yield f"{where}: {_short(mine)}, {_short(theirs)}"


def _short(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
