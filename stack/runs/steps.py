"""The steps of a run, as its page shows them."""

from datetime import UTC, datetime
from typing import Any

from stack.runs import dag_runs
from stack.runs.dag_runs import DagRun, Task
from stack.runs.reports import Report


def graphs(runs: list[DagRun]) -> list[dict[str, Any]]:
    """Each run with its steps in the graph's order, one for each task instance; all bars share one time scale."""
    times = [each[end] for run in runs for each in [run.facts, *run.instances] for end in ("start_date", "end_date")]
    known = [datetime.fromisoformat(time) for time in times if time]
    now = datetime.now(UTC)
    running = any(run.facts["end_date"] is None for run in runs)
    first, last = min(known, default=now), now if running else max(known, default=now)
    return [
        {
            "run": run,
            "seconds": dag_runs.seconds([run.facts]),
            "scale": (last - first).total_seconds(),
            "steps": [
                {
                    "instance": instance,
                    "report": report,
                    "rows_in": _rows_in(run, instance, report) if dag_runs.began(instance) else "",
                    "bar": _bar(instance, first, last) if dag_runs.began(instance) else None,
                }
                for instance, report in run.reports()
            ],
        }
        for run in runs
    ]


def _rows_in(run: DagRun, instance: dict[str, Any], report: Report) -> str:
    """Rows that a step read, else those that the tasks directly upstream handed on, as far as they are known."""
    upstream = run.tasks[instance["task_id"]].upstream
    handed_on = [_rows_out(run.tasks[task_id]) for task_id in upstream if task_id in run.tasks]
    known = handed_on if report.rows_in is None else [report.rows_in]
    return " + ".join(f"{rows:,}" for rows in known if rows is not None)


def _rows_out(task: Task) -> int | None:
    """Rows that all instances of a task hand on; None: unknown."""
    known = [report.rows_out for report in task.reports if report.rows_out is not None]
    return sum(known) if known else None


def _bar(instance: dict[str, Any], first: datetime, last: datetime) -> dict[str, float]:
    """Where on the time scale a task instance ran, in percent."""
    start = datetime.fromisoformat(instance["start_date"])
    end = datetime.fromisoformat(instance["end_date"]) if instance["end_date"] else last
    whole = (last - first).total_seconds() or 1
    width = max((end - start).total_seconds() / whole * 100, 0.5)
    return {"left": round(min((start - first).total_seconds() / whole * 100, 99.5), 2), "width": round(width, 2)}
