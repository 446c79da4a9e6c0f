"""A Great Expectations checkpoint as a gate: its run, its result, and what is said about it.

Importing this module imports Great Expectations, which takes 5 s.
"""

import fcntl
import functools
import io
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import fsspec
import pandas as pd
import sqlalchemy as sa
from great_expectations.checkpoint import Checkpoint, CheckpointResult
from great_expectations.core import ExpectationSuite, ExpectationValidationResult, ValidationDefinition
from great_expectations.data_context.types.resource_identifiers import ValidationResultIdentifier
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

from pipeline import findings, reports, suites
from pipeline.data_context import DataContext
from pipeline.expectations import EXAMPLES
from pipeline.reports import Report
from pipeline.settings import BigQuery, Settings

# How often the index of a bucket is written again, since others have added results meanwhile.
REBUILDS = 10


class Gate:
    """A checkpoint and, after its run, its result."""

    def __init__(self, context: DataContext, name: str, file: str | None = None):
        """A checkpoint of the application; `file` is the URI of the Parquet file that it reads, if it does.

        Raises:
            LookupError: there is no such checkpoint.
        """
        self.name = name
        self._context = context
        self._settings = Settings()
        self._suite = _suite_of(self._settings, name)
        self._file = file
        self._bytes_billed: int | None = None
        self._result: CheckpointResult

    def run(self, batch_parameters: dict[str, Any] | None = None) -> "Gate":
        """Check the data, store the validation result and update the data docs."""
        given: dict[str, Any] = {}
        data: suites.Data
        client = self._context.bigquery
        before = client.bytes_billed if client else 0
        if self._file:
            # With nullable types a missing id does not turn the other ids into floats.
            # fsspec has the same credentials as the commands that write; Arrow has a client of its own for buckets.
            filesystem, path = fsspec.url_to_fs(self._file)
            frame = pd.read_parquet(io.BytesIO(filesystem.cat_file(path)), dtype_backend="numpy_nullable")
            batch_parameters, data = {"dataframe": frame}, FrameData(frame)
            # What its writer tells about the rows, such as the values that a column may have.
            given = {str(name): value for name, value in frame.attrs.items()}
        else:
            data = TableData(self._context, self._settings.table_of(self.name), self._settings)
        self._result = self._checkpoint(data, given).run(batch_parameters=batch_parameters)
        if client and not self._file:
            self._bytes_billed = client.bytes_billed - before
        _update_data_docs(self._context, self._result)
        return self

    def _checkpoint(self, data: "suites.Data", given: dict[str, Any]) -> Checkpoint:
        """The checkpoint with a suite for this application and these data."""
        parameters = suites.Parameters(self._settings, self.name, data)
        expectations = suites.expectations(self._suite, parameters, given) + self._own_expectations()
        suite = self._context.suites.add(ExpectationSuite(self.name, expectations=expectations))
        datasource = "artifacts" if self._file else "warehouse"
        self._asset = self._context.data_sources.get(datasource).get_asset(self.name)
        batch = self._asset.get_batch_definition("all")
        definition = self._context.validation_definitions.add(
            ValidationDefinition(name=self.name, data=batch, suite=suite)
        )
        shown = suites.identifying(self._settings, self.name)
        if self.name in self._settings.sources:
            shown.append(suites.META)
        return Checkpoint(
            name=self.name,
            validation_definitions=[definition],
            result_format={
                "result_format": "SUMMARY",
                "partial_unexpected_count": EXAMPLES,
                "unexpected_index_column_names": shown,
                "return_unexpected_index_query": False,
            },
        )

    def _own_expectations(self) -> list[dict[str, Any]]:
        """Those that the application's file adds to the suite of a source file."""
        source = self._settings.sources.get(self.name)
        own = [each.model_dump(exclude_none=True) for each in source.expectations] if source else []
        for number, each in enumerate(own, start=1):
            try:
                ExpectationConfiguration(**each).to_domain_obj()
            # Great Expectations has no common type for what is wrong with an expectation.
            except Exception as error:
                where = f"sources.{self.name}.expectations, number {number}, {each['type']}"
                raise suites.ExpectationError(
                    f"{where}: {' '.join(str(error).split())}. Correct it in the file of config/applications: type and "
                    "kwargs are in the words of Great Expectations"
                ) from error
        return own

    @property
    def success(self) -> bool:
        """Whether all expectations are met."""
        return bool(self._result.success)

    @property
    def is_checked(self) -> bool:
        """Whether all expectations could be checked against the data."""
        return all(result.success or result.result for result in self._results())

    def describe_dict(self) -> dict[str, Any]:
        """The result as JSON types, with long texts cut; `result_url` of each validation is its page."""
        described = findings.cut(self._result.describe_dict())
        for key, validation in zip(self._result.run_results, described["validation_results"], strict=True):
            validation["result_url"] = self._page(key)
        return reports.plain(described)

    def report(self) -> Report:
        """The report of the task that ran the checkpoint."""
        results, page = self._results(), self._page(*self._result.run_results)
        passed = [findings.check(result) for result in results if result.success]
        failed = [findings.check(result) for result in results if not result.success]
        report: Report = {
            "note": f"{len(passed)} of {len(results)} expectations met",
            "links": {"data docs": page},
            "checks": {"page": page, "failed": failed, "passed": passed},
        }
        if rows := [result.result["element_count"] for result in results if "element_count" in result.result]:
            report |= {"rows_in": max(rows), "rows_out": max(rows) if self.success else 0}
        if self._bytes_billed is not None:
            report["bytes_billed"] = self._bytes_billed
        return report

    def failures(self) -> Iterator[str]:
        """A line for each failed expectation: what was expected and found, examples, and what to do."""
        failed = [result for result in self._results() if not result.success]
        yield from (_failure(result) for result in failed if result.result)
        # Usually they share one cause: the table or a column is missing, or the server does not answer.
        if unchecked := [result for result in failed if not result.result]:
            yield f"{len(unchecked)} expectations could not be checked: {findings.exception(unchecked[0])}"

    def passed(self) -> list[str]:
        """The expectations that are met."""
        return [findings.check(result)["subject"] for result in self._results() if result.success]

    def error_message(self) -> str:
        """Why the checkpoint failed: a head line, then the failures."""
        results = self._results()
        failed = next(key for key, suite in self._result.run_results.items() if not suite.success)
        head = f"checkpoint {self.name}: {len(results) - len(self.passed())} of {len(results)} expectations failed"
        return "\n".join([f"{head} on {self._data()}, see {self._page(failed)}", *self.failures()])

    def _data(self) -> str:
        """The table and the file that it is loaded from."""
        asset = self._asset
        file = asset.batch_metadata.get("file")
        table = f"{asset.schema_name}.{asset.table_name}" if asset.type == "table" else asset.name
        return f"{table}, loaded from {file}" if file else table

    def _page(self, key: ValidationResultIdentifier) -> str:
        """URL of a validation result's page: on the docs server if its address is set, otherwise of the file."""
        (site,) = self._context.get_docs_sites_urls(resource_identifier=key, only_if_exists=False)
        url, data_docs = site["site_url"] or "", self._settings.links.data_docs
        # The docs server serves the pages that are below `var`.
        return data_docs + url.rpartition("/data_docs/")[2] if data_docs and not self._settings.bucket else url

    def _results(self) -> list[ExpectationValidationResult]:
        return [result for suite in self._result.run_results.values() for result in suite.results]


class FrameData:
    """The rows of a file."""

    def __init__(self, frame: pd.DataFrame):
        self._frame = frame

    def distinct(self, column: str) -> dict[str, int]:
        """The values of a column, nulls left out, each with its rows."""
        return self._frame[column].dropna().value_counts().to_dict()

    def published(self, table: str) -> int | None:
        """None: a file is not compared with tables."""

    def published_labels(self, table: str, column: str) -> list[str]:
        """Empty: a file is not compared with tables."""
        return []

    def unfit(self, column: str, shown: list[str]) -> str | None:
        """None: a file has no notes of Airbyte."""

    def equal_texts(self, texts: list[str], shown: list[str]) -> str | None:
        """None: a file has no SQL."""


class TableData:
    """The rows of a table of the warehouse, `schema.table`."""

    def __init__(self, context: DataContext, table: str, settings: Settings):
        datasource: Any = context.data_sources.get("warehouse")
        self._engine = datasource.get_engine()
        self._table = table
        self._prefix = settings.warehouse.prefix if isinstance(settings.warehouse, BigQuery) else ""

    def distinct(self, column: str) -> dict[str, int]:
        """The values of a column, nulls left out, each with its rows; empty if the column is not there."""
        return self._counts(self._table, column) if column in self._columns else {}

    def published(self, table: str) -> int | None:
        """Rows of a table; None: it is not there."""
        schema, name = self._parts(table)
        if not sa.inspect(self._engine).has_table(name, schema):
            return None
        with self._engine.connect() as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(self._of(table))).scalar_one()

    def published_labels(self, table: str, column: str) -> list[str]:
        """The different values of a column of a table that is there; none if an earlier version had other columns."""
        schema, name = self._parts(table)
        known = {each["name"] for each in sa.inspect(self._engine).get_columns(name, schema)}
        return list(self._counts(table, column)) if column in known else []

    def unfit(self, column: str, shown: list[str]) -> str | None:
        """SQL of the rows with a null in a column and a note of Airbyte about it; None: the table has no such notes."""
        if not {column, suites.META} <= self._columns:
            return None
        notes = sa.column(suites.META)
        is_bigquery = self._engine.dialect.name == "bigquery"
        text = sa.func.to_json_string(notes) if is_bigquery else sa.cast(notes, sa.Text)
        # As each of them writes JSON as text.
        separator = ":" if is_bigquery else ": "
        named = f'"field"{separator}{json.dumps(column, ensure_ascii=False)}'
        named = named.replace("'", "\\'" if is_bigquery else "''")
        noted = sa.func.strpos(text, sa.literal_column(f"'{_escaped(named)}'")) > sa.literal_column("0")
        rows = sa.select(*map(_column, dict.fromkeys([*shown, column]))).select_from(sa.text("{batch}"))
        return self._text(rows.where(_column(column).is_(None), noted))

    def equal_texts(self, texts: list[str], shown: list[str]) -> str | None:
        """SQL of the rows whose texts another row has too, nulls being equal; `{batch}` stands for the table.

        Rows without the first text are not among them, since another expectation finds these.
        """
        named, given = [_column(name) for name in texts], [_column(name) for name in shown]
        copies = sa.func.count().over(partition_by=named).label("rows_with_these_texts")
        counted = sa.select(*given, copies).select_from(sa.text("{batch}")).subquery("counted")
        failing = sa.select(*given).select_from(counted).where(counted.c[copies.name] > sa.literal_column("1"))
        others = [_column(name) for name in shown if name not in texts]
        query = failing.where(named[0].is_not(None)).order_by(*named, *others)
        return self._text(query)

    def _text(self, query: Any) -> str:
        # With this style a percent sign stays as it is.
        return str(query.compile(dialect=type(self._engine.dialect)(paramstyle="named")))

    @functools.cached_property
    def _columns(self) -> set[str]:
        """Names of the columns; empty if the table is not there."""
        schema, name = self._parts(self._table)
        try:
            return {each["name"] for each in sa.inspect(self._engine).get_columns(name, schema)}
        # The expectations meet the same error, and report it.
        except sa.exc.NoSuchTableError:
            return set()

    def _counts(self, table: str, column: str) -> dict[str, int]:
        values: Any = sa.column(column)
        query = sa.select(values, sa.func.count()).select_from(self._of(table)).where(values.is_not(None))
        with self._engine.connect() as connection:
            return {value: rows for value, rows in connection.execute(query.group_by(values))}

    def _of(self, table: str) -> Any:
        schema, name = self._parts(table)
        return sa.table(name, schema=schema)

    def _parts(self, table: str) -> tuple[str, str]:
        schema, _, name = table.partition(".")
        return f"{self._prefix}{schema}", name


def _column(name: str) -> Any:
    """A column in SQL that Great Expectations fills in, and that SQLAlchemy then reads as a text."""
    return sa.column(sa.quoted_name(_escaped(name), quote=True))


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}").replace(":", "\\:")


def _suite_of(settings: Settings, checkpoint: str) -> str:
    """The file of great_expectations/expectations for a checkpoint."""
    known = {
        **dict.fromkeys(settings.sources, "source"),
        settings.labeled: "labeled",
        settings.to_predict: "to_predict",
        "snapshot": "labeled",
        "predictions": "predictions",
    }
    if checkpoint not in known:
        raise LookupError(f"there is no checkpoint {checkpoint!r}: {settings.application} has {', '.join(known)}")
    return known[checkpoint]


def _failure(result: ExpectationValidationResult) -> str:
    check, notes = findings.check(result), findings.configuration(result).notes
    found = f"found {check['observed']}"
    if rows := check["examples"][:EXAMPLES]:
        found += f", such as {'; '.join(map(_row, rows))}"
    expected = f"expected {check['expected']}, " if check["expected"] else ""
    return f"{check['subject']}: {expected}{found}.{f' {notes}' if notes else ''}"


def _row(example: dict[str, Any]) -> str:
    texts = {name: repr(value) if isinstance(value, str) else value for name, value in example.items()}
    return ", ".join(f"{name} {'null' if text is None else text}" for name, text in texts.items())


def _update_data_docs(context: DataContext, result: CheckpointResult) -> None:
    """Add this result and delete old ones; under a lock, since all processes write the same index page.

    Processes that share a bucket may be on several machines, and have no lock. There, whoever has written the index
    looks whether results came meanwhile, and then writes it again with their pages, which this process may have taken
    for those of deleted results; so the last one to write has seen all.
    """
    settings, new = Settings(), list(result.run_results)
    if settings.bucket:
        for _ in range(REBUILDS):
            kept, _ = _add(context, new)
            new = [key for key in _stored(context) if key not in kept]
            if not new:
                return
        return
    home = settings.var / "great_expectations"
    results, pages = home / "validations" / settings.application, home / "data_docs" / settings.application
    with (results / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _, expired = _add(context, new)
        for key in expired:
            # Great Expectations leaves empty folders behind.
            for folder in (results, pages / "validations"):
                with suppress(OSError):
                    folder.joinpath(*key.to_tuple()[:-1]).rmdir()


def _add(
    context: DataContext, new: list[ValidationResultIdentifier]
) -> tuple[list[ValidationResultIdentifier], list[ValidationResultIdentifier]]:
    """Add the pages of results and delete old results; returns the keys of the results kept and deleted."""
    keys = sorted(_stored(context), key=lambda key: key.run_id.run_time, reverse=True)
    number = Settings().checks.keep_results
    kept, expired = keys[:number], keys[number:]
    for key in expired:
        context.validation_results_store.remove_key(key)
    pages: list[Any] = [*new, *(key.expectation_suite_identifier for key in new)]
    # This also removes the pages of deleted results.
    context.build_data_docs(resource_identifiers=pages)
    return kept, expired


def _stored(context: DataContext) -> list[ValidationResultIdentifier]:
    return [key for key in context.validation_results_store.list_keys() if isinstance(key, ValidationResultIdentifier)]
