"""The summary of a run: var/summary.json, and the same facts as a table on the screen."""

import json
import re
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from rich.console import Console
from rich.markup import escape

from stack.runs import dag_runs
from stack.runs.dag_runs import DagRun
from stack.settings import Settings, write_private

SCHEMAS = {"projects": "raw", "tags": "raw", "labeled_projects": "marts", "predictions": "marts"}
CHECKPOINTS = {"dataops": ("validate_projects", "validate_tags", "validate_transforms"), "mlops": ("validate",)}


def empty(source: str | None, place: str = Settings.place) -> dict[str, Any]:
    """A summary of a run of which nothing is known yet but its source, if that."""
    facts = {"schema_version": 1, "source": source and public(source), "place": place, "state": "failed"}
    facts |= {"error": None, "log": None}
    later = ("seconds", "dataops", "mlops", "tables", "expectations", "study", "candidate", "champion", "gate")
    return facts | dict.fromkeys(later)


def run_facts(run: DagRun) -> dict[str, Any]:
    """What became of a run: run_id, state, seconds and, for each task, state and seconds; mapped tasks as one."""
    return {
        "run_id": run.run_id,
        "state": run.facts["state"],
        "seconds": dag_runs.seconds([run.facts]),
        "tasks": {
            task_id: {"state": task.state, "seconds": dag_runs.seconds(task.instances)}
            for task_id, task in run.tasks.items()
        },
    }


def model_facts(mlops: DagRun) -> dict[str, Any]:
    """Keys `study`, `candidate`, `champion` and `gate` from what the tasks of an mlops run returned."""
    train, evaluate, promote = (mlops.result(task_id) for task_id in ("train", "evaluate", "promote"))
    studies = [each for each in mlops.tasks["optimize"].results if each] if "optimize" in mlops.tasks else []
    facts: dict[str, Any] = {}
    if studies:
        run = sum(each["run"] for each in studies)
        trials = max(each["trials"] for each in studies)
        facts["study"] = {"name": studies[0]["study"], "trials": trials, "run": run, "reused": run == 0}
    if evaluate:
        metrics = ("f1_weighted", "f1_macro", "precision", "recall", "test_rows")
        version = promote["candidate"]["version"] if promote else None
        facts["candidate"] = {"version": version, **{name: evaluate[name] for name in metrics}}
        facts["candidate"] |= {"trials": train["trials"], "cv_f1": train["cv_f1"]}
    if promote:
        champion = ("name", "version", "alias", "f1_weighted")
        facts["champion"] = {name: promote["champion"][name] for name in champion}
        facts["gate"] = {"decision": promote["decision"], "reason": promote["reason"]}
    return facts


def expectations(run: DagRun) -> dict[str, Any]:
    """Expectations evaluated and successful, by checkpoint task."""
    facts = {}
    for task in CHECKPOINTS[run.dag_id]:
        if result := run.result(task):
            each = [one for validation in result["validation_results"] for one in validation["expectations"]]
            successful = sum(one["success"] for one in each)
            facts[f"{run.dag_id}.{task}"] = {"evaluated": len(each), "successful": successful}
    return facts


def rows(settings: Settings) -> dict[str, int]:
    """Rows of each table of the warehouse that exists."""
    found = {}
    with psycopg.connect(**settings.database("warehouse")) as connection:
        for table, schema in SCHEMAS.items():
            name = sql.Identifier(schema, table).as_string(connection)
            if connection.execute("select to_regclass(%s)", (name,)).fetchone()[0]:
                count = sql.SQL("select count(*) from {}").format(sql.Identifier(schema, table))
                found[table] = connection.execute(count).fetchone()[0]
    return found


def public(source: str) -> str:
    """A folder or URL as people may see it: without login and query, which can hold a password or a token."""
    return re.sub(r"^(https?://)(?:[^/?#]*@)?([^?#]*).*", r"\1\2", source, flags=re.DOTALL)


def write(facts: dict[str, Any], path: Path) -> None:
    """Write the facts as JSON in one step."""
    write_private(path, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")


def show(facts: dict[str, Any], console: Console, look_next: dict[str, str]) -> None:
    """Print the facts as a table, and below it where to look next."""
    console.print()
    for name, text in _rows(facts):
        console.print(f"[bold]{name:14}[/]{text}", highlight=False)
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
    if facts["expectations"]:
        each = facts["expectations"].items()
        text = ", ".join(f"{name.split('.')[1]} {one['successful']}/{one['evaluated']}" for name, one in each)
        found.append(("expectations", text))
    if study := facts["study"]:
        reused = "all reused from an earlier run" if study["reused"] else f"{study['run']} run now"
        found.append(("trials", f"{study['trials']}, {reused}"))
    if candidate := facts["candidate"]:
        scores = (f"{name} {candidate[name]:.3f}" for name in ("f1_weighted", "f1_macro", "precision", "recall"))
        text = (
            f"{', '.join(scores)} on {candidate['test_rows']} held-out rows; cross-validated {candidate['cv_f1']:.3f}"
        )
        found.append(("candidate", f"version {candidate['version']}: {text}"))
    if champion := facts["champion"]:
        text = f"{champion['name']} version {champion['version']}, f1_weighted {champion['f1_weighted']:.3f}"
        found.append(("champion", f"{text}; candidate {facts['gate']['decision']}: {escape(facts['gate']['reason'])}"))
    return found
