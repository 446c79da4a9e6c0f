"""What one version of Airflow makes of a DAGs folder: `python describe.py TREE RESULT`, a list of modules as input.

TREE holds `dags` and `plugins`, RESULT becomes a JSON object; `deploy/graphs.py` runs this file with several Airflows,
so it imports nothing of the repository.
"""

import importlib
import importlib.metadata
import importlib.util
import inspect
import json
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

_VARIABLE = re.compile(r"\bvar\.(?:json|value)\.(?:get\(\s*['\"])?(\w+)")
_CONNECTION = re.compile(r"\bconn\.(?:get\(\s*['\"])?(\w+)")
# Audit events by which something is written, and the place of the path among their arguments.
_EVENTS = {"os.rename": 1, "os.link": 1, "os.symlink": 1} | dict.fromkeys(
    ("os.mkdir", "os.remove", "os.rmdir", "os.truncate"), 0
)
_WRITE = re.compile("[wax+]")
_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def main() -> None:
    """Load the DAGs and import every module of the folder."""
    tree, result = Path(sys.argv[1]), Path(sys.argv[2])
    modules = json.load(sys.stdin)
    written: dict[str, str] = {}
    sys.addaudithook(lambda event, arguments: _note(written, tree, event, arguments))
    bag = _bag(tree / "dags")
    tasks = [(dag, task) for dag in bag.dags.values() for task in dag.tasks]
    facts = {
        "airflow": importlib.metadata.version("apache-airflow"),
        "errors": {**_unimportable(tree / "dags"), **_import_errors(bag)},
        "dags": {dag.dag_id: _dag(dag) for dag in bag.dags.values()},
        "connections": _used(tasks, _connections),
        "variables": _used(tasks, lambda task: _found(_VARIABLE, task)),
        "missing": sorted(name for name in modules if not _exists(name)),
        "written": written,
        "requirements": importlib.metadata.requires("airflow-provider-great-expectations"),
    }
    result.write_text(json.dumps(facts), encoding="utf-8")


def _bag(folder: Path) -> Any:
    """The DAGs of a folder, whose modules can be imported as Airflow's own processes can."""
    sys.path.append(str(folder))
    # The class was moved in 3.2.
    with suppress(ModuleNotFoundError):
        kind = importlib.import_module("airflow.dag_processing.dagbag").DagBag
        return kind(str(folder), bundle_path=folder)
    kind = importlib.import_module("airflow.models.dagbag").DagBag
    known = inspect.signature(kind).parameters
    return kind(str(folder), **({"bundle_path": folder} if "bundle_path" in known else {}))


def _dag(dag: Any) -> dict[str, Any]:
    return {
        "schedule": _plain(dag.schedule),
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "tags": sorted(dag.tags),
        "documentation": dag.doc_md,
        "tasks": {task.task_id: _task(task) for task in dag.tasks},
    }


def _task(task: Any) -> dict[str, Any]:
    names = ("owner", "retries", "retry_delay", "execution_timeout", "trigger_rule", "pool", "inlets", "outlets")
    mapped = getattr(task, "expand_input", None)
    return {
        "operator": task.task_type,
        "downstream": sorted(task.downstream_task_ids),
        **{name: _plain(getattr(task, name)) for name in names},
        "templates": {name: _plain(_value(task, name)) for name in task.template_fields},
        **({"mapped": _plain(mapped.value)} if mapped else {}),
    }


def _value(task: Any, name: str) -> Any:
    """An argument of a task, mapped or not."""
    return getattr(task, "partial_kwargs", {}).get(name) if hasattr(task, "expand_input") else getattr(task, name, None)


def _plain(value: Any) -> Any:
    """A value in the same words in every version of Airflow."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if hasattr(value, "asset_condition") and hasattr(value, "timetable"):
        return {"assets": _plain(value.asset_condition.objects), "time": _plain(value.timetable)}
    for prefix in ("", "_"):
        if hasattr(value, f"{prefix}expression"):
            return f"{getattr(value, f'{prefix}expression')} {getattr(value, f'{prefix}timezone')}"
    if hasattr(value, "uri") and hasattr(value, "name"):
        return f"asset {value.name}"
    return str(getattr(value, "value", value))


def _used(tasks: list[tuple[Any, Any]], find: Any) -> dict[str, list[str]]:
    """What tasks use: by its name the tasks, as DAG.task."""
    found: dict[str, list[str]] = {}
    for dag, task in tasks:
        for name in find(task):
            found.setdefault(name, []).append(f"{dag.dag_id}.{task.task_id}")
    return {name: sorted(users) for name, users in sorted(found.items())}


def _connections(task: Any) -> set[str]:
    made = [task]
    # A task in a pod makes the provider's operator when it runs.
    if make := getattr(task, "provider_operator", None):
        made.append(make())
    attributes = [(name, value) for each in made for name, value in vars(each).items()]
    return _found(_CONNECTION, task) | {
        value for name, value in attributes if name.endswith("conn_id") and isinstance(value, str)
    }


def _found(pattern: re.Pattern[str], task: Any) -> set[str]:
    """Names in the templates of a task."""
    text = json.dumps([_plain(_value(task, name)) for name in task.template_fields])
    return set(pattern.findall(text))


def _import_errors(bag: Any) -> dict[str, str]:
    """DAG files that Airflow cannot load, with the last line of the traceback."""
    return {Path(file).name: str(text).strip().splitlines()[-1] for file, text in bag.import_errors.items()}


def _unimportable(folder: Path) -> dict[str, str]:
    """Files that cannot be imported, also those that a task imports when it runs, with the error."""
    errors = {}
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder)
        parts = name.with_suffix("").parts
        try:
            importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
        except Exception as error:
            errors[str(name)] = f"{type(error).__name__}: {error}".splitlines()[0]
    return errors


def _exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:
        return False


def _note(written: dict[str, str], tree: Path, event: str, arguments: tuple[Any, ...]) -> None:
    """Remember a write below the tree, and the module that does it."""
    path = None
    if event == "open":
        mode, flags = arguments[1], arguments[2]
        # `os.open` has no mode.
        if _WRITE.search(mode) if mode else flags & _FLAGS:
            path = arguments[0]
    elif event in _EVENTS:
        path = arguments[_EVENTS[event]]
    if not isinstance(path, str | bytes) or not Path(str(path)).is_relative_to(tree):
        return
    frame = sys._getframe()
    while frame and not frame.f_code.co_filename.startswith(str(tree)):
        frame = frame.f_back  # type: ignore[assignment]
    by = f"{Path(frame.f_code.co_filename).relative_to(tree)}, line {frame.f_lineno}" if frame else "a library"
    written.setdefault(str(Path(str(path)).relative_to(tree)), by)


if __name__ == "__main__":
    main()
