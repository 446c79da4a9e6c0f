"""Build the candidates of the published tables with dbt, and publish them once they are checked.

`python transform.py build --result PATH` is one `dbt build`, models and tests in the order of the graph;
`python transform.py publish --result PATH` is one transaction. PATH gets one JSON object: the facts, or {"error": "…"},
and beside them a `report`, which the page and the summary of a run show.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, Literal

import yaml
from dbt.artifacts.schemas.catalog import CatalogArtifact
from dbt.artifacts.schemas.results import NodeStatus
from dbt.artifacts.schemas.run import RunExecutionResult, RunResult
from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt.contracts.graph.nodes import GenericTestNode, SingularTestNode
from pydantic import BaseModel
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

PROJECT = Path(__file__).resolve().parent
CONFIG = PROJECT.parent / "config"
FILES = f"{CONFIG / 'base.yaml'}{os.pathsep}{CONFIG / 'applications' / '{application}.yaml'}"
DATA_TESTS = (GenericTestNode, SingularTestNode)
FAILED = (NodeStatus.Error, NodeStatus.Fail, NodeStatus.RuntimeErr)
# The page of dbt requests these unfilled addresses from its server.
UNFILLED = {
    ' xlink:href="{{': ' ng-attr-href="{{',
    "${require('./assets/favicons/favicon.ico')}": "data:,",
}
PUBLISH_ERRORS = ("RunningOperationCaughtError", "RunningOperationUncaughtError")
# Failures that a message explains, rows that it shows of each, and characters that it shows of a value.
EXPLAINED = 3
EXAMPLES = 5
SHOWN = 100


class Warehouse(BaseModel):
    """The kind of database; dbt gets its address through profiles.yml."""

    type: Literal["postgres", "bigquery"]


class Settings(BaseSettings):
    """The settings of this file; those of the application are the variables of the dbt project."""

    model_config = SettingsConfigDict(env_prefix="MLOPS_", env_nested_delimiter="__", extra="ignore", frozen=True)

    application: str
    namespace: str = ""
    sources: dict[str, Any]
    columns: dict[str, Any]
    equal_texts: str
    warehouse: Warehouse
    var: Path = PROJECT.parent / "var"
    # Folder of the documentation; None: docs in dbt's folder of `var`.
    dbt_docs: Path | None = None

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *sources: PydanticBaseSettingsSource, **named: PydanticBaseSettingsSource
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment variables first, then the config files; a later one counts more."""
        files = os.environ.get("MLOPS_CONFIG") or FILES
        # Where Airflow is not, there are no files, and the variables have everything.
        base = Path(files.split(os.pathsep)[0])
        name = os.environ.get("MLOPS_APPLICATION")
        if not name and "{application}" in files and base.exists():
            name = yaml.safe_load(base.read_text())["applications"][0]
        if name:
            files = files.replace("{application}", name)
        merged = YamlConfigSettingsSource(settings_cls, yaml_file=files.split(os.pathsep), deep_merge=True)
        return named["init_settings"], named["env_settings"], merged

    @property
    def home(self) -> Path:
        """The folder of dbt's files."""
        return self.var / "dbt" / self.application

    @property
    def variables(self) -> dict[str, Any]:
        """Values of the variables that dbt_project.yml explains."""
        (items, first), *others = self.sources.items()
        date = self.columns.get("date")
        kind = first["columns"][date] if date else None
        return {
            "prefix": f"{self.namespace}_" if self.namespace else "",
            "items": items,
            "labels_source": others[0][0] if others else None,
            "key": self.columns["id"] or "id",
            "columns": {"date": None} | self.columns,
            "date_type": kind["type"] if isinstance(kind, dict) else kind,
            "equal_texts": self.equal_texts,
        }


class TransformError(Exception):
    """The tables could not be built; the message says what failed, why and what to do.

    The exit status is 1, or os.EX_TEMPFAIL if another try may succeed.
    """

    def __init__(self, message: str, *, status: int = os.EX_TEMPFAIL):
        super().__init__(message)
        self.status = status


def build(home: Path) -> dict[str, Any]:
    """Build and test the models, and write their documentation; if the build fails, the old documentation stays.

    Args:
        home: folder of `target` (dbt's artifacts, kept between runs for partial parsing) and `logs`.

    Returns:
        `models` built, data `tests` passed, `rows` of the table of those with a label, `warnings` of tests and of
        the documentation; on BigQuery also `bytes_billed` for models and tests.

    Raises:
        TransformError: a model or a test failed, or dbt could not start.
    """
    # Unit tests are about the SQL alone; the project's own tests run them.
    ended, _ = _dbt(home, "build", "--exclude-resource-type", "unit_test")
    if not isinstance(ended.result, RunExecutionResult):
        raise TransformError(
            f"dbt cannot start to build: {_one_line(ended.exception)}. "
            "Check that the warehouse answers at MLOPS_WAREHOUSE__…, and the last changes in dbt_transforms/."
        )
    results = ended.result.results
    failed = [result for result in results if result.status in FAILED]
    if failed:
        more = f" And {len(failed) - EXPLAINED} more." if len(failed) > EXPLAINED else ""
        # Another try does not help against a failed test; an error may come from a server that restarts.
        status = 1 if all(result.status == NodeStatus.Fail for result in failed) else os.EX_TEMPFAIL
        rows = _failing_rows(home, [result.node.name for result in failed[:EXPLAINED] if _is_data_test(result)])
        explained = [_explain(result, rows.get(result.node.name, [])) for result in failed[:EXPLAINED]]
        raise TransformError(" ".join(explained) + more, status=status)
    warnings = [f"{result.node.name}: {result.message}" for result in results if result.status == NodeStatus.Warn]
    billed = [each for result in results if (each := result.adapter_response.get("bytes_billed")) is not None]
    return {
        **({"bytes_billed": sum(billed)} if billed else {}),
        "models": sum(result.node.resource_type == "model" for result in results),
        "tests": sum(result.status == NodeStatus.Pass for result in results),
        "rows": {result.node.name: result for result in results}["labeled"].adapter_response["rows_affected"],
        "warnings": warnings + _write_docs(home),
    }


def publish(home: Path) -> dict[str, Any]:
    """Make the candidates the published tables, in one transaction; on BigQuery one after the other.

    Returns:
        The `rows` published of each; on BigQuery also `bytes_billed`.

    Raises:
        TransformError: the warehouse refused; the published tables are unchanged. On BigQuery, the second may be
            refused when the first is published.
    """
    ended, events = _dbt(home, "run-operation", "publish")
    if not ended.success:
        reason = ended.exception or next(events[name].exc for name in PUBLISH_ERRORS if name in events)
        # BigQuery has no transaction for this.
        one_by_one = Settings().warehouse.type == "bigquery"
        state = "each table is as it was or published" if one_by_one else "the tables stay as they were"
        raise TransformError(
            f"publishing failed, and {state}: {_one_line(reason)}. "
            "Build the candidates if one is missing; drop a view that reads a changed column."
        )
    return json.loads(events["JinjaLogInfo"].msg)


def main() -> None:
    """Run a verb; write its facts and its report, or the error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["build", "publish"])
    parser.add_argument("--result", type=Path, required=True, help="file for the JSON object")
    arguments = parser.parse_args()
    home = Settings().home
    try:
        facts = {"build": build, "publish": publish}[arguments.verb](home)
    except TransformError as error:
        log = home / "logs" / "dbt.log"
        report = {"note": str(error), "links": {"dbt log": str(log)} if log.exists() else {}}
        _write(arguments.result, json.dumps({"error": str(error), "report": report}))
        print(error, file=sys.stderr)
        sys.exit(error.status)
    # Costs belong to the report alone, so that the results are the same in every place.
    billed = {"bytes_billed": facts.pop("bytes_billed")} if "bytes_billed" in facts else {}
    _write(arguments.result, json.dumps(facts | {"report": _report(home, facts) | billed}))


def _report(home: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """The report of a verb that succeeded; build has no rows in, since it reads several tables."""
    if "models" not in facts:
        published = ", ".join(f"{name} {rows}" for name, rows in facts["rows"].items())
        rows = next(iter(facts["rows"].values()))
        return {"rows_in": rows, "rows_out": rows, "note": f"published: {published}"}
    page = _docs(home) / "index.html"
    warnings = {"title": "Warnings of dbt", "columns": ["Warning"], "rows": [[each] for each in facts["warnings"]]}
    return {
        "rows_out": facts["rows"],
        "note": f"{facts['models']} dbt models; {facts['tests']} dbt tests passed",
        "links": {"dbt docs": str(page)} if page.exists() else {},
        "sections": [warnings] if facts["warnings"] else [],
    }


def _dbt(home: Path, *command: str) -> tuple[dbtRunnerResult, dict[str, Any]]:
    """Run a command of dbt; returns how it ended and the data of the last event of each name."""
    events: dict[str, Any] = {}
    options = [f"--project-dir={PROJECT}", f"--profiles-dir={PROJECT}"]
    options += [f"--target-path={home / 'target'}", f"--log-path={home / 'logs'}"]
    options += [f"--vars={json.dumps(Settings().variables, ensure_ascii=False)}"]
    runner = dbtRunner(callbacks=[lambda event: events.update({event.info.name: event.data})])
    return runner.invoke([*command, *options]), events


def _write_docs(home: Path) -> list[str]:
    """Replace the documentation in one step; returns warnings, since a problem here is no reason to build again."""
    # The build has compiled everything already.
    ended, _ = _dbt(home, "docs", "generate", "--static", "--no-compile", "--quiet")
    if not isinstance(ended.result, CatalogArtifact):
        return [f"the documentation stays as it was: {_one_line(ended.exception)}"]
    try:
        page = (home / "target" / "static_index.html").read_text()
        for unfilled, fixed in UNFILLED.items():
            page = page.replace(unfilled, fixed)
        _docs(home).mkdir(parents=True, exist_ok=True)
        _write(_docs(home) / "index.html", page)
    except OSError as error:
        return [f"the documentation stays as it was: {error}"]
    errors = ended.result.errors or []
    return [f"the documentation is incomplete: {_one_line(error)}" for error in errors]


def _docs(home: Path) -> Path:
    settings = Settings()
    return (settings.dbt_docs or settings.var / "dbt" / "docs") / settings.application


def _is_data_test(result: RunResult) -> bool:
    return result.status == NodeStatus.Fail and isinstance(result.node, DATA_TESTS)


def _failing_rows(home: Path, tests: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Some rows that each of these data tests finds, by its name; none if the query fails."""
    if not tests:
        return {}
    ended, _ = _dbt(home, "show", "--quiet", "--select", *tests, "--limit", str(EXAMPLES))
    results = ended.result.results if isinstance(ended.result, RunExecutionResult) else []
    return {
        result.node.name: [dict(row) for row in result.agate_table.rows] for result in results if result.agate_table
    }


def _explain(result: RunResult, rows: list[dict[str, Any]]) -> str:
    node = result.node
    text = f"{node.resource_type.replace('_', ' ')} {node.name} failed: {_one_line(result.message)}"
    if isinstance(node, DATA_TESTS) and _is_data_test(result):
        such = "; ".join(", ".join(f"{name} {_shown(value)}" for name, value in row.items()) for row in rows)
        such = f", such as {such}" if such else ""
        return f"{text}{such}. Correct these rows in the source; the SQL in {node.compiled_path} finds them all."
    return f"{text}. Check {node.original_file_path} and the tables that it reads."


def _shown(value: Any) -> str:
    text = "null" if value is None else repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _one_line(message: Any) -> str:
    return " ".join(str(message).split())


def _write(path: Path, text: str) -> None:
    """Write a file in one step."""
    beside = path.with_name(path.name + ".new")
    beside.write_text(text)
    beside.replace(path)


if __name__ == "__main__":
    main()
