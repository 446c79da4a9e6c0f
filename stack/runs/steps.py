"""What a run's page tells of each step: rows in and out, a few words, when it ran, what it checked."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from pipeline import findings
from stack.runs import dag_runs, summary
from stack.runs.dag_runs import DagRun

# Steps whose rows out are a step's rows in.
INPUTS = {
    "validate_projects": ["extract_and_load_projects"],
    "validate_tags": ["extract_and_load_tags"],
    "transform": ["validate_projects", "validate_tags"],
    "validate_transforms": ["transform"],
    "publish": ["validate_transforms"],
    "extract_data": ["publish"],
    "validate": ["extract_data"],
    "predict": ["publish"],
}
# Of the snapshot's rows each of these sees one side.
SIDES = {"optimize": "train_rows", "train": "train_rows", "evaluate": "test_rows", "promote": "test_rows"}

# The gate's word, said of the candidate.
DECISIONS = {"promoted": "promoted", "kept": "not promoted"}


def graphs(runs: list[DagRun]) -> list[dict[str, Any]]:
    """Each run with its steps in the graph's order, a row a task instance; their bars share one scale of time."""
    results = {task_id: run.result(task_id) for run in runs for task_id in run.tasks}
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
                    "rows_in": _rows_in(task_id, results, result) if dag_runs.began(instance) else None,
                    "rows_out": _rows_out(result),
                    "told": _told(task_id, result) if result else "",
                    "bar": _bar(instance, first, last) if dag_runs.began(instance) else None,
                }
                for task_id, task in run.tasks.items()
                for instance, result in zip(task.instances, task.results, strict=True)
            ],
        }
        for run in runs
    ]


def stages(runs: list[DagRun], model: dict[str, Any], trials: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The way from source to predictions in short: `title`, `value` (None where it was not reached) and `detail`."""
    results = {task_id: run.result(task_id) for run in runs for task_id in run.tasks}
    loaded = [results.get(f"extract_and_load_{name}") for name in ("projects", "tags")]
    loaded = [_rows_out(job) for job in loaded if job]
    publish, extract, predict = (results.get(task_id) for task_id in ("publish", "extract_data", "predict"))
    best = trials[0]["value"] if trials else None
    study, candidate, champion = (model.get(name) for name in ("study", "candidate", "champion"))
    dataops = [
        ("Loaded", " + ".join(f"{rows:,}" for rows in loaded) if any(loaded) else None, "projects + tags"),
        ("Published", publish and f"{publish['rows']:,}", "rows of labeled_projects"),
    ]
    mlops = [
        ("Snapshot", extract and f"{extract['rows']:,}", extract and f"rows, {extract['snapshot'][:8]}"),
        ("Trials", study and f"{study['trials']}", best and f"best F1 {best:.3f}{', all reused' * study['reused']}"),
        ("Candidate", candidate and f"{candidate['f1_weighted']:.3f}", candidate and "weighted F1, held-out rows"),
        (
            "Champion",
            champion and f"v{champion['version']}",
            champion and f"candidate {DECISIONS[model['gate']['decision']]}",
        ),
        ("Predictions", predict and f"{predict['rows']:,}", predict and f"by version {predict['model_version']}"),
    ]
    found = (dataops if runs[0].dag_id == "dataops" else []) + mlops
    return [{"title": title, "value": value, "detail": detail} for title, value, detail in found]


def checks(runs: list[DagRun]) -> list[dict[str, Any]]:
    """Each checkpoint that ran: `instance`, `page` of the data docs, and its expectations, `failed` and `passed`."""
    return [
        {
            "instance": run.tasks[task_id].instances[0],
            "page": validation["result_url"],
            "failed": [_checked(each) for each in validation["expectations"] if not each["success"]],
            "passed": [_checked(each) for each in validation["expectations"] if each["success"]],
        }
        for run in runs
        for task_id in summary.CHECKPOINTS[run.dag_id]
        if (result := run.result(task_id))
        for validation in result["validation_results"]
    ]


def _checked(described: dict[str, Any]) -> dict[str, Any]:
    """An expectation as describe_dict has it, in the words that messages and data docs use."""
    config = SimpleNamespace(type=described["expectation_type"], kwargs=described["kwargs"])
    raised = described.get("exception_info", {"exception_message": None})
    result = SimpleNamespace(result=described["result"], expectation_config=config, exception_info=raised)
    return {
        "subject": findings.subject(config),
        "expected": findings.expected(config),
        "observed": findings.observed(result),
        "examples": findings.examples(result),
        "exception": findings.exception(result),
    }


def _rows_in(task_id: str, results: dict[str, Any], result: dict[str, Any] | None) -> str | None:
    """Rows that a step was given, as far as they are known."""
    if result and "rowsSynced" in result:
        return f"{result['rowsSynced']:,}"
    if task_id in SIDES:
        train = results.get("train")
        return f"{train[SIDES[task_id]]:,}" if train else None
    rows = [_rows_out(results.get(source)) for source in INPUTS.get(task_id, [])]
    known = [f"{each:,}" for each in rows if each is not None]
    return " + ".join(known) or None


def _rows_out(result: dict[str, Any] | None) -> int | None:
    """Rows that a step hands on; a gate that is closed and a sync that failed hand on none."""
    if not result:
        return None
    if "rowsSynced" in result:
        return result["rowsSynced"] if result["status"] == "succeeded" else 0
    if "validation_results" in result:
        return _rows_checked(result) if result["success"] else 0
    return result.get("rows")


def _rows_checked(result: dict[str, Any]) -> int | None:
    counted = [
        each["result"].get("element_count") for one in result["validation_results"] for each in one["expectations"]
    ]
    return max((rows for rows in counted if rows is not None), default=None)


def _told(task_id: str, result: dict[str, Any]) -> str:
    """A few words on what a step did."""
    match task_id:
        case "extract_and_load_projects" | "extract_and_load_tags":
            nulled = result.get("valuesNulled")
            lost = f"; {nulled:,} values did not fit their type and are null" if nulled else ""
            return f"Airbyte job {result['jobId']} read {result['bytesSynced']:,} bytes{lost}"
        case "validate_projects" | "validate_tags" | "validate_transforms" | "validate":
            each = [one["success"] for validation in result["validation_results"] for one in validation["expectations"]]
            return f"{sum(each)} of {len(each)} expectations met"
        case "transform":
            return f"{result['models']} dbt models; {result['tests']} dbt tests passed"
        case "publish":
            return "labeled_projects replaced in one transaction"
        case "extract_data":
            return f"snapshot {result['snapshot'][:12]}"
        case "optimize":
            return "no trial was left to run" if result["reused"] else f"trials run: {result['run']}"
        case "train":
            return f"the best of {result['trials']} trials, cross-validated F1 {result['cv_f1']:.3f}"
        case "evaluate":
            return f"weighted F1 {result['f1_weighted']:.3f}"
        case "promote":
            return f"version {result['candidate']['version']} {DECISIONS[result['decision']]}"
        case "predict":
            return f"tagged by version {result['model_version']}"
    return ""


def _bar(instance: dict[str, Any], first: datetime, last: datetime) -> dict[str, float]:
    """Where on the scale of time a task instance was at work, in percent."""
    start = datetime.fromisoformat(instance["start_date"])
    end = datetime.fromisoformat(instance["end_date"]) if instance["end_date"] else last
    whole = (last - first).total_seconds() or 1
    width = max((end - start).total_seconds() / whole * 100, 0.5)
    return {"left": round(min((start - first).total_seconds() / whole * 100, 99.5), 2), "width": round(width, 2)}
