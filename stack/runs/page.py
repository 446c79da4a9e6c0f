"""The page of a run, from source to champion: var/explain/RUN.html, one file that fetches nothing."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from jinja2 import ChoiceLoader, Environment, PackageLoader
from psycopg.rows import dict_row

from stack.errors import StackError
from stack.runs import dag_runs, steps, summary
from stack.runs.airflow_api import AirflowApi
from stack.runs.dag_runs import DagRun
from stack.runs.links import Links
from stack.settings import Settings, write_private

# Seconds that a question to Airflow waits for an answer.
PATIENCE = 5
# Runs named where one is not known; trials shown, best first.
LAST_RUNS = 5
SHOWN_TRIALS = 50
TRIALS = """
    select number, value, datetime_start, datetime_complete,
           (select json_object_agg(param_name, json_build_array(param_value, distribution_json::json))
              from trial_params where trial_params.trial_id = trials.trial_id) as params
      from studies join trials using (study_id) join trial_values using (trial_id)
     where study_name = %s and state = 'COMPLETE'
     order by value desc, number
"""
VERSION = """
    select run_id, experiment_id,
           (select value from model_version_tags as tags
             where tags.name = versions.name and tags.version = versions.version and key = 'git_revision'
           ) as git_revision
      from model_versions as versions join runs on run_uuid = run_id
     where versions.name = %s and versions.version = %s
"""


@dataclass(frozen=True)
class Facts:
    """What a page is made of.

    Attributes:
        dataops: the run; None: mlops was started by hand.
        mlops: the run that the asset event of dataops started; None: there is none.
        failures: task instances that failed in the end, each with its `error`, first to last.
        retries: tries that were followed by another, each with its `error`.
        trials: of the study, best first: number, value, seconds, params, reused.
        registered: MLflow's `run_id`, `experiment_id` and `git_revision` of the candidate; None: it has none.
    """

    dataops: DagRun | None
    mlops: DagRun | None
    failures: list[dict[str, Any]]
    retries: list[dict[str, Any]]
    trials: list[dict[str, Any]]
    registered: dict[str, Any] | None

    @property
    def runs(self) -> list[DagRun]:
        """Those that there are."""
        return [run for run in (self.dataops, self.mlops) if run]


def write(settings: Settings, run_id: str | None = None) -> Path:
    """Write the page of a run as far as it got, in one step; returns its path.

    Args:
        settings: of an instance whose PostgreSQL and Airflow's api-server are up.
        run_id: of a run of dataops or of mlops; None: the latest of dataops.

    Raises:
        StackError: there is no such run; the message names the last ones.
    """
    facts = gather(settings, run_id)
    name = re.sub(r"[^\w.-]+", "-", facts.runs[0].run_id)
    path = settings.var / "explain" / f"{name}.html"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    write_private(path, render(settings, facts))
    return path


def gather(settings: Settings, run_id: str | None) -> Facts:
    """Ask Airflow and the databases of Optuna and MLflow what they know of a run and of the one that it started.

    Raises:
        StackError: there is no such run; the message names the last ones.
    """
    api = AirflowApi(settings)
    # A run that was interrupted does not wait for its page; that can be written later.
    api.patience = PATIENCE
    dataops, mlops = (run and dag_runs.read(api, *run) for run in _find(api, run_id))
    runs = [run for run in (dataops, mlops) if run]
    failures, retries = [], []
    for instance in (each for run in runs for each in run.instances):
        *earlier, last = api.tries(instance) if instance["try_number"] > 1 else [instance]
        again = [each for each in [*earlier, last] if each is not last or each["state"] == "up_for_retry"]
        retries += [each | {"error": dag_runs.error(api, each)} for each in again if each["state"] != "success"]
        failures += [last | {"error": dag_runs.error(api, last)}] if last["state"] == "failed" else []
    facts = summary.model_facts(mlops) if mlops else {}
    return Facts(
        dataops=dataops,
        mlops=mlops,
        failures=sorted(failures, key=lambda each: each["end_date"] or ""),
        retries=retries,
        trials=_trials(settings, facts["study"]["name"], mlops.facts["start_date"]) if "study" in facts else [],
        registered=_registered(settings, mlops.result("promote")["candidate"]) if "gate" in facts else None,
    )


def render(settings: Settings, facts: Facts) -> str:
    """The page's HTML; whatever comes from data is text and never markup."""
    templates = Environment(
        loader=ChoiceLoader([PackageLoader("stack.runs", ""), PackageLoader("pipeline", "data_docs")]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"utc": _utc, "name": dag_runs.name, "moment": datetime.fromisoformat}
    model = summary.model_facts(facts.mlops) if facts.mlops else {}
    results = {task_id: run.result(task_id) for run in facts.runs for task_id in run.tasks}
    links = Links(settings)
    return templates.get_template("run.j2").render(
        facts=facts,
        links=links,
        places=_places(facts, results, links),
        state=next((run.facts["state"] for run in facts.runs if run.facts["state"] != "success"), "success"),
        seconds=dag_runs.seconds([run.facts for run in facts.runs]),
        now=datetime.now(UTC),
        stages=steps.stages(facts.runs, model, facts.trials),
        graphs=steps.graphs(facts.runs),
        checks=steps.checks(facts.runs),
        results=results,
        model=model,
        trials=facts.trials[:SHOWN_TRIALS],
        constant=_constant(facts.trials),
    )


def _find(api: AirflowApi, run_id: str | None) -> tuple[tuple[str, str] | None, tuple[str, str] | None]:
    """(DAG id, run id) of a dataops run and of the mlops run that it started, given one of them or none."""
    last = api.last_runs("dataops", LAST_RUNS)
    if run_id is None and last:
        run_id = last[0]["dag_run_id"]
    if run_id and api.has_run("dataops", run_id):
        started = [run for run in api.runs_started_by("dataops", run_id) if run[0] == "mlops"]
        return ("dataops", run_id), started[-1] if started else None
    if run_id and api.has_run("mlops", run_id):
        # Of events that piled up while another run was at work, the newest has the data.
        sources = [run for run in api.runs_that_started("mlops", run_id) if run[0] == "dataops"]
        return sources[-1] if sources else None, ("mlops", run_id)
    known = "".join(f"\n  {run['dag_run_id']} ({run['state']})" for run in last)
    what = f"there is no run {run_id}" if run_id else "there is no run yet: make run"
    raise StackError(f"{what}; the last runs of dataops are{known}" if known else what)


def _trials(settings: Settings, study: str, run_started: str) -> list[dict[str, Any]]:
    with _database(settings, "optuna") as connection:
        rows = connection.execute(TRIALS, [study]).fetchall()
    return [
        {
            "number": row["number"],
            "value": row["value"],
            "seconds": (row["datetime_complete"] - row["datetime_start"]).total_seconds(),
            "params": {name: _value(*stored) for name, stored in sorted(row["params"].items())},
            # Optuna stores the local time.
            "reused": row["datetime_start"].astimezone() < datetime.fromisoformat(run_started),
        }
        for row in rows
    ]


def _places(facts: Facts, results: dict[str, Any], links: Links) -> dict[str, str | None]:
    """Where to look next, by what is there."""
    jobs = {name: results.get(f"extract_and_load_{name}") or {} for name in ("projects", "tags")}
    return {
        **{f"Airflow: this run of {run.dag_id}": links.run(run.dag_id, run.run_id) for run in facts.runs},
        "MLflow: experiments and models": links.mlflow,
        "Data docs": links.file("great_expectations/data_docs/index.html"),
        **{f"Airbyte's log of {name}": links.file(job["logFile"]) for name, job in jobs.items() if "logFile" in job},
        "Logs of services and tasks": links.file("logs"),
        "Summary of the last make run": links.file("summary.json"),
    }


def _constant(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """Parameters that are the same in all of several trials."""
    first = trials[0]["params"] if len(trials) > 1 else {}
    return {name: value for name, value in first.items() if all(each["params"].get(name) == value for each in trials)}


def _value(stored: float, distribution: dict[str, Any]) -> Any:
    """A parameter's value; Optuna stores the place of a chosen one among its choices."""
    choices = distribution["attributes"].get("choices")
    return choices[int(stored)] if choices else stored


def _registered(settings: Settings, candidate: dict[str, Any]) -> dict[str, Any] | None:
    with _database(settings, "mlflow") as connection:
        return connection.execute(VERSION, [candidate["name"], int(candidate["version"])]).fetchone()


def _database(settings: Settings, name: str) -> psycopg.Connection[dict[str, Any]]:
    """A database read as it is: nothing but PostgreSQL has to run for it."""
    return psycopg.connect(**settings.database(name), row_factory=dict_row)


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
