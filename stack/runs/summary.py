"""The summary of a run: var/summary.json, and the same facts on the screen."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from stack.environments import names
from stack.runs import dag_runs, reports
from stack.runs.dag_runs import DagRun
from stack.settings import ROOT, Settings, write_private
from stack.warehouses import warehouse

# Keys that a report cannot change.
OWN_KEYS = (
    *("schema_version", "source", "place", "state", "error", "log", "seconds"),
    *("dataops", "mlops", "tables", "expectations", "headlines", "bytes_billed", "code"),
)


def empty(source: str | None, place: str) -> dict[str, Any]:
    """A summary of a run of which at most the source is known yet."""
    keys = (*OWN_KEYS, "study", "candidate", "champion", "gate")
    known = {"schema_version": 1, "source": source and public(source), "place": place, "state": "failed"}
    return dict.fromkeys(keys) | known


def add(facts: dict[str, Any], run: DagRun, settings: Settings) -> None:
    """Add to the facts what is known of a run: its tasks, their reports, and the rows of the tables now."""
    report = reports.merged(each for _, each in run.reports())
    facts |= {key: value for key, value in report.summary.items() if key not in OWN_KEYS}
    facts["dataops" if run.dag_id == settings.dataops else "mlops"] = run_facts(run)
    facts["headlines"] = (facts["headlines"] or {}) | report.headlines
    facts["expectations"] = (facts["expectations"] or {}) | expectations(run)
    facts["tables"] = rows(settings)
    if report.bytes_billed is not None:
        facts["bytes_billed"] = (facts["bytes_billed"] or 0) + report.bytes_billed
    facts["code"] = code(settings)


def run_facts(run: DagRun) -> dict[str, Any]:
    """Id, state and seconds of a run, and state and seconds of each task; a mapped one counts as one."""
    return {
        "run_id": run.run_id,
        "state": run.facts["state"],
        "seconds": dag_runs.seconds([run.facts]),
        "tasks": {
            task_id: {"state": task.state, "seconds": dag_runs.seconds(task.instances)}
            for task_id, task in run.tasks.items()
        },
    }


def expectations(run: DagRun) -> dict[str, dict[str, int]]:
    """Expectations evaluated and successful, by task that checked something."""
    facts = {}
    for task_id, task in run.tasks.items():
        if checks := [report.checks for report in task.reports if report.checks]:
            failed, passed = sum(len(each.failed) for each in checks), sum(len(each.passed) for each in checks)
            facts[f"{run.dag_id}.{task_id}"] = {"evaluated": failed + passed, "successful": passed}
    return facts


def rows(settings: Settings) -> dict[str, int]:
    """Rows of each table of the application that exists in the warehouse."""
    found = warehouse(settings)
    tables = {name: table for names in settings.tables.values() for name, table in names.items()}
    counted = {name: found.count(table) for name, table in tables.items()}
    return {name: rows for name, rows in counted.items() if rows is not None}


def code(settings: Settings) -> dict[str, dict[str, str]]:
    """What a run is made of: a hash of each DAG file in `dags`, and of each environment's lock in `packages`."""
    return {
        "dags": {path.name: digest_of(path) for path in sorted((ROOT / "airflow" / "dags").glob("*.py"))},
        "packages": {name: digest_of(ROOT / "requirements" / f"{name}.txt") for name in names(settings)},
    }


def digest_of(path: Path) -> str:
    """A short hash of a file's content; empty: there is no such file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.exists() else ""


def public(source: str) -> str:
    """A folder or URL without login and query, which can hold a password or a token."""
    return re.sub(r"^(https?://)(?:[^/?#]*@)?([^?#]*).*", r"\1\2", source, flags=re.DOTALL)


def write(facts: dict[str, Any], path: Path) -> None:
    """Write the facts as JSON in one step, without the headlines, which repeat them as text."""
    kept = {key: value for key, value in facts.items() if key != "headlines"}
    # A wrong setting of a new instance is found before anything else is written.
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, json.dumps(kept, indent=2, ensure_ascii=False) + "\n")


def show(facts: dict[str, Any], console: Console, look_next: dict[str, str]) -> None:
    """Print the facts, one line for each, and below them where to look next."""
    console.print()
    for name, text in _rows(facts):
        console.print(f"[bold]{escape(f'{name:13}')}[/] {text}", highlight=False)
    for name, place in look_next.items():
        console.print(f"[dim]{name:14}{escape(place)}[/]", highlight=False)


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    colour = "green" if facts["state"] == "success" else "red"
    source = f", source {escape(facts['source'])}" if facts["source"] else ""
    found = [("run", f"[{colour}]{facts['state']}[/] in {facts['seconds']} s{source}")]
    if facts["error"]:
        found.append(("error", f"[red]{escape(facts['error'])}[/]"))
    if facts["log"]:
        found.append(("full log", escape(facts["log"])))
    for dag_id in ("dataops", "mlops"):
        if run := facts[dag_id]:
            text = run["state"]
            if run["seconds"]:
                slowest = max(run["tasks"].items(), key=lambda each: each[1]["seconds"] or 0)
                text += f" in {run['seconds']} s; slowest task {slowest[0]}, {slowest[1]['seconds']} s"
            found.append((dag_id, f"{text} ({run['run_id']})"))
    if facts["tables"]:
        found.append(("rows", ", ".join(f"{name} {count}" for name, count in facts["tables"].items())))
    if facts["bytes_billed"] is not None:
        found.append(("bytes billed", f"{facts['bytes_billed']:,}"))
    if facts["expectations"]:
        each = facts["expectations"].items()
        text = ", ".join(f"{name.split('.')[1]} {one['successful']}/{one['evaluated']}" for name, one in each)
        found.append(("expectations", text))
    return found + [(name, escape(text)) for name, text in (facts["headlines"] or {}).items()]
