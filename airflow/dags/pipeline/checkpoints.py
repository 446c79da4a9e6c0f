"""Great Expectations checkpoints as gates: tasks of a DAG or, without Airflow, `python -m pipeline.checkpoints`."""

import argparse
import fcntl
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pipeline import findings
from pipeline.settings import Settings

if TYPE_CHECKING:
    from great_expectations.checkpoint import CheckpointResult
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.data_context.types.resource_identifiers import ValidationResultIdentifier

    from pipeline.data_context import DataContext
    from pipeline.gates import CheckpointOperator

TABLE_CHECKPOINTS = ("projects", "tags", "labeled_projects")
EXAMPLES = 5


def validate(checkpoint: str, *, task_id: str | None = None, **kwargs: Any) -> "CheckpointOperator":
    """Task that runs a checkpoint of great_expectations/.

    It fails without another try where the data does; what was killed or finds no server is tried again.

    Args:
        checkpoint: its name; `snapshot` checks the file whose URI the task extract_data returned.
        task_id: `validate_` and the checkpoint's name unless given.
        kwargs: further arguments of the operator.
    """
    from pipeline.gates import CheckpointOperator

    if checkpoint == "snapshot":
        kwargs.setdefault("snapshot", "{{ ti.xcom_pull('extract_data')['uri'] }}")
    return CheckpointOperator(task_id=task_id or f"validate_{checkpoint}", checkpoint=checkpoint, **kwargs)


class Gate:
    """One checkpoint and, once it ran, its result."""

    def __init__(self, context: "DataContext", name: str, snapshot: str | None = None):
        """Look the checkpoint up.

        Args:
            context: an open Data Context.
            name: of a checkpoint in great_expectations/checkpoints/.
            snapshot: URI of the Parquet file that the checkpoint `snapshot` reads; fsspec finds it.

        Raises:
            DataContextError: there is no such checkpoint, or a file of great_expectations/ is wrong.
        """
        self.name = name
        self._context = context
        self._checkpoint = context.checkpoints.get(name)
        self._snapshot = snapshot
        self._result: CheckpointResult

    def run(self, batch_parameters: dict[str, Any] | None = None) -> "Gate":
        """Check the data, keep the validation result and bring the data docs up to date."""
        if self._snapshot:
            import pandas as pd

            # Nullable types: a missing id must not turn the other ids into floats.
            frame = pd.read_parquet(self._snapshot, dtype_backend="numpy_nullable")
            batch_parameters = {"dataframe": frame}
        self._result = self._checkpoint.run(batch_parameters=batch_parameters)
        _update_data_docs(self._context, self._result)
        return self

    @property
    def success(self) -> bool:
        """Whether every expectation is met."""
        return self._result.success

    @property
    def is_checked(self) -> bool:
        """Whether every expectation could be held against the data."""
        return all(result.success or result.result for result in self._results())

    def describe_dict(self) -> dict[str, Any]:
        """The result as JSON types, with long texts cut; `result_url` of each validation is its page."""
        described = findings.cut(self._result.describe_dict())
        for key, validation in zip(self._result.run_results, described["validation_results"], strict=True):
            validation["result_url"] = self._page(key)
        return described

    def failures(self) -> Iterator[str]:
        """A line for each expectation that is not met: what was expected and found, examples, the remedy."""
        failed = [result for result in self._results() if not result.success]
        for result in failed:
            if result.result:
                yield f"{findings.subject(result.expectation_config)}: {_finding(result)}"
        # Mostly all for one reason: the table or a column is not there, or the server does not answer.
        unchecked = [result for result in failed if not result.result]
        if unchecked:
            yield f"{len(unchecked)} expectations could not be checked: {findings.exception(unchecked[0])}"

    def passed(self) -> list[str]:
        """The expectations that are met."""
        return [findings.subject(result.expectation_config) for result in self._results() if result.success]

    def report(self) -> str:
        """Why a checkpoint has failed, for people."""
        results = self._results()
        failed = next(key for key, suite in self._result.run_results.items() if not suite.success)
        head = f"checkpoint {self.name}: {len(results) - len(self.passed())} of {len(results)} expectations failed"
        return "\n".join([f"{head} on {self._data()}, see {self._page(failed)}", *self.failures()])

    def _data(self) -> str:
        """The table and the file that it is loaded from."""
        asset = self._checkpoint.validation_definitions[0].asset
        file = asset.batch_metadata.get("file")
        table = f"{asset.schema_name}.{asset.table_name}" if asset.type == "table" else asset.name
        return f"{table}, loaded from {file}" if file else table

    def _page(self, key: "ValidationResultIdentifier") -> str:
        """URL of a validation result's page of the data docs, where people's browsers find it if that is known."""
        (site,) = self._context.get_docs_sites_urls(resource_identifier=key, only_if_exists=False)
        url, data_docs = site["site_url"], Settings().links.data_docs
        return data_docs + url.rpartition("/data_docs/")[2] if data_docs else url

    def _results(self) -> "list[ExpectationValidationResult]":
        return [result for suite in self._result.run_results.values() for result in suite.results]


def _finding(result: "ExpectationValidationResult") -> str:
    config, rows = result.expectation_config, findings.examples(result)[:EXAMPLES]
    expected, found = findings.expected(config), findings.observed(result)
    if rows:
        found += f", such as {'; '.join(map(_row, rows))}"
    return " ".join(filter(None, [f"expected {expected}," if expected else "", f"found {found}.", config.notes]))


def _row(example: dict[str, Any]) -> str:
    import pandas as pd

    return ", ".join(
        f"{name} {'null' if pd.isna(value) else repr(value) if isinstance(value, str) else value}"
        for name, value in example.items()
    )


def _update_data_docs(context: "DataContext", result: "CheckpointResult") -> None:
    """Forget all but the newest results and show this one; one process at a time, since they share the index page."""
    settings, store = Settings(), context.validation_results_store
    home = settings.var / "great_expectations"
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        newest_first = sorted(store.list_keys(), key=lambda key: key.run_id.run_time, reverse=True)
        forgotten = newest_first[settings.checks.keep_results :]
        for key in forgotten:
            store.remove_key(key)
        suites = [key.expectation_suite_identifier for key in result.run_results]
        # Removes the pages of forgotten results too.
        context.build_data_docs(resource_identifiers=[*result.run_results, *suites])
        for key in forgotten:
            # Great Expectations leaves the folders.
            for folder in ("validations", "data_docs/validations"):
                with suppress(OSError):
                    home.joinpath(folder, *key.to_tuple()[:-1]).rmdir()


def main() -> None:
    """Run checkpoints; print a line an expectation; exit with 1 if one is not met."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.checkpoints", description=main.__doc__)
    parser.add_argument("checkpoint", nargs="*", help=f"default: {' '.join(TABLE_CHECKPOINTS)}")
    parser.add_argument("--snapshot", metavar="URI", help="run the checkpoint `snapshot` on this Parquet file too")
    arguments = parser.parse_args()
    names = arguments.checkpoint or list(TABLE_CHECKPOINTS)
    if arguments.snapshot and "snapshot" not in names:
        names.append("snapshot")
    if "snapshot" in names and not arguments.snapshot:
        parser.error("the checkpoint snapshot needs a file: --snapshot URI")

    from great_expectations.exceptions import GreatExpectationsError

    from pipeline.data_context import open_context

    try:
        context = open_context()
        gates = [Gate(context, name, arguments.snapshot if name == "snapshot" else None) for name in names]
        for gate in gates:
            gate.run()
            lines = [f"  ok      {line}" for line in gate.passed()] + [f"  FAILED  {line}" for line in gate.failures()]
            print(f"checkpoint {gate.name}", *lines, sep="\n", flush=True)
        print(f"data docs: {context.get_docs_sites_urls()[0]['site_url']}")
    except (GreatExpectationsError, OSError) as error:
        sys.exit(str(error))
    sys.exit(not all(gate.success for gate in gates))


if __name__ == "__main__":
    main()
