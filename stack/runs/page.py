"""The page of a run: var/explain/RUN.html, one file that loads nothing from elsewhere."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader

from stack.environments import MLFLOW_PAGE
from stack.errors import StackError
from stack.place import BasePlace
from stack.runs import dag_runs, reports, steps
from stack.runs.airflow_api import AirflowApi
from stack.runs.dag_runs import DagRun
from stack.runs.links import Links
from stack.settings import Settings, write_private

# Seconds; an interrupted run does not wait for its page, which can be written later.
PATIENCE = 5
# Runs that are listed where one is not found.
LAST_RUNS = 5


@dataclass(frozen=True)
class Facts:
    """The facts of a page.

    Attributes:
        dataops: the run; None: mlops was started by hand.
        mlops: the run that the asset event of dataops started; None: there is none.
        failures: task instances that failed in the end, each with its `error`, first to last.
        retries: failed tries that another try follows, each with its `error`.
    """

    dataops: DagRun | None
    mlops: DagRun | None
    failures: list[dict[str, Any]]
    retries: list[dict[str, Any]]

    @property
    def runs(self) -> list[DagRun]:
        """The runs that exist."""
        return [run for run in (self.dataops, self.mlops) if run]


def write(place: BasePlace, run_id: str | None = None) -> Path:
    """Write the page of a run as far as it got, in one step; returns its path.

    Args:
        place: whose Airflow api-server is up.
        run_id: of a run of dataops or of mlops; None: the latest of dataops.

    Raises:
        StackError: there is no such run; the message names the last ones.
    """
    facts = gather(place.settings, run_id)
    name = re.sub(r"[^\w.-]+", "-", facts.runs[0].run_id)
    path = place.settings.var / "explain" / f"{name}.html"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    write_private(path, render(place, facts))
    return path


def gather(settings: Settings, run_id: str | None) -> Facts:
    """Ask Airflow for a run and the one that it started, or that started it; see `write`."""
    api = AirflowApi.of(settings)
    api.patience = PATIENCE
    dataops, mlops = (run and dag_runs.read(api, *run) for run in _find(api, settings, run_id))
    failures, retries = [], []
    for instance in (each for run in (dataops, mlops) if run for each in run.instances):
        *earlier, last = api.tries(instance) if instance["try_number"] > 1 else [instance]
        again = [each for each in [*earlier, last] if each is not last or each["state"] == "up_for_retry"]
        retries += [each | {"error": dag_runs.error(api, each)} for each in again if each["state"] != "success"]
        failures += [last | {"error": dag_runs.error(api, last)}] if last["state"] == "failed" else []
    failures.sort(key=lambda each: each["end_date"] or "")
    return Facts(dataops, mlops, failures, retries)


def render(place: BasePlace, facts: Facts) -> str:
    """The page's HTML, in which all data is text and never markup."""
    links = Links(place)
    reported = [each for run in facts.runs for each in run.reports()]
    linked = {(each["dag_id"], dag_runs.name(each)): _linked(links, report) for each, report in reported}
    return TEMPLATES.get_template("run.j2").render(
        facts=facts,
        links=links,
        linked=linked,
        places=_places(facts, links, place.settings.application),
        state=next((run.facts["state"] for run in facts.runs if run.facts["state"] != "success"), "success"),
        seconds=dag_runs.seconds([run.facts for run in facts.runs]),
        now=datetime.now(UTC),
        report=reports.merged(report for _, report in reported),
        graphs=steps.graphs(facts.runs),
        checks=[{"instance": each, "checks": report.checks} for each, report in reported if report.checks],
    )


def _find(
    api: AirflowApi, settings: Settings, run_id: str | None
) -> tuple[tuple[str, str] | None, tuple[str, str] | None]:
    """(DAG id, run id) of a dataops run and of the mlops run that it started, given one of them or none."""
    dataops, mlops = settings.dataops, settings.mlops
    last = api.last_runs(dataops, LAST_RUNS)
    if run_id is None and last:
        run_id = last[0]["dag_run_id"]
    if run_id and api.has_run(dataops, run_id):
        started = [run for run in api.runs_started_by(dataops, run_id) if run[0] == mlops]
        return (dataops, run_id), started[-1] if started else None
    if run_id and api.has_run(mlops, run_id):
        # Of events that piled up while another run was at work, the newest has the data.
        sources = [run for run in api.runs_that_started(mlops, run_id) if run[0] == dataops]
        return sources[-1] if sources else None, (mlops, run_id)
    known = "".join(f"\n  {run['dag_run_id']} ({run['state']})" for run in last)
    what = f"there is no run {run_id}" if run_id else "there is no run yet: make run"
    raise StackError(f"{what}; the last runs of {dataops} are{known}" if known else what)


def _linked(links: Links, report: reports.Report) -> dict[str, str]:
    """The links of a report that lead somewhere, by label."""
    addresses = {label: links.address(reported) for label, reported in report.links.items()}
    return {label: address for label, address in addresses.items() if address}


def _places(facts: Facts, links: Links, application: str) -> dict[str, str | None]:
    """Where to look next, by label; None: there is nothing yet."""
    return {
        **{f"Airflow: this run of {run.dag_id}": links.run(run.dag_id, run.run_id) for run in facts.runs},
        "MLflow: experiments and models": links.mlflow + MLFLOW_PAGE,
        "Data docs": links.file(f"great_expectations/data_docs/{application}/index.html"),
        "Logs of services and tasks": links.file("logs"),
        "Summary of the last make run": links.file("summary.json"),
    }


def _digits(number: float) -> str:
    """An integer with all its digits, another number rounded to 4 significant digits or to an integer."""
    if isinstance(number, int):
        return f"{number:,}"
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


TEMPLATES = Environment(
    loader=ChoiceLoader([PackageLoader("stack.runs", ""), PackageLoader("pipeline", "data_docs")]),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= {"utc": _utc, "name": dag_runs.name, "moment": datetime.fromisoformat, "digits": _digits}
TEMPLATES.tests |= {"numeric": reports.is_number}
