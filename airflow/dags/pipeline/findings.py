"""Describe the result of one expectation, for error messages, reports and the data docs."""

import json
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.reports import Check
from pipeline.suites import META

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

# Longer texts are cut after this many characters, longer lists after this many values.
SHOWN, LISTED = 100, 20
# The column of an example that is made from META.
SOURCE = "in the source"


def check(result: "ExpectationValidationResult") -> Check:
    """Everything that is shown of an expectation and its result."""
    expectation = configuration(result)
    return {
        "subject": subject(expectation),
        "expected": expected(expectation),
        "observed": observed(result),
        "examples": examples(result),
        "exception": exception(result),
    }


def configuration(result: "ExpectationValidationResult") -> "ExpectationConfiguration":
    """The expectation of a result."""
    # Optional in its type, but a checkpoint always sets it.
    assert result.expectation_config
    return result.expectation_config


def subject(expectation: "ExpectationConfiguration") -> str:
    """The expectation's type and columns."""
    return f"{expectation.type}({', '.join(_columns(expectation))})"


def expected(expectation: "ExpectationConfiguration") -> str:
    """The expected bounds and values as `name=value`; empty if the expectation has no such arguments."""
    # The regex of our own expectations is of no use to a reader, and their set is that of the values that fail.
    left_out = {"batch_id", "column", "column_list", "regex"}
    left_out |= {"value_set"} if expectation.kwargs.keys() & {"known", "reserved", "separator"} else set()
    # Its SQL has the column names.
    left_out |= {"unexpected_rows_query"} if "column_list" in expectation.kwargs else set()
    return ", ".join(f"{name}={cut(kwarg)}" for name, kwarg in expectation.kwargs.items() if name not in left_out)


def observed(result: "ExpectationValidationResult") -> str:
    """The observed value, or how many rows fail; empty if the expectation could not be checked."""
    found = result.result
    if "element_count" in found:
        return f"{found['unexpected_count']} of {found['element_count']} rows failing"
    value = found.get("observed_value")
    if value is None:
        # An expectation on the set of a column's values, which counts no rows: values that are too many, or missing.
        value = found.get("partial_unexpected_list") or found.get("partial_missing_list") or ""
    return str(cut(value))


def examples(result: "ExpectationValidationResult") -> list[dict[str, Any]]:
    """Rows that fail, as values by column: first the columns that identify the row; long texts are cut, nulls None."""
    found, columns = result.result, _columns(configuration(result))
    # Without ids in the checkpoint's result format, values have no names.
    rows = found.get("partial_unexpected_index_list") or found.get("partial_unexpected_list") or []
    named = [cut(row if isinstance(row, dict) else {columns[0]: row}) for row in rows]
    sources = [_source(row.pop(META, None), columns) for row in named]
    if any(sources):
        named = [row | {SOURCE: source} for row, source in zip(named, sources, strict=True)]
    order = {column: place for place, column in enumerate([*columns, SOURCE], start=1)}
    ordered = [sorted(row.items(), key=lambda item: order.get(item[0], 0)) for row in named]
    return [{name: None if pd.isna(value) else value for name, value in row} for row in ordered]


def exception(result: "ExpectationValidationResult") -> str:
    """First line of the exception that prevented the check; empty if there was none."""
    info = result.exception_info
    # Grouped by metric if a metric could not be computed.
    first = info if "exception_message" in info else next(iter(info.values()))
    return (first["exception_message"] or "").partition("\n")[0]


def cut(value: Any) -> Any:
    """The same value with long texts and lists cut, also inside dictionaries and lists."""
    if isinstance(value, str):
        return value if len(value) <= SHOWN else f"{value[:SHOWN]}…"
    if isinstance(value, dict):
        return {key: cut(each) for key, each in value.items()}
    if not isinstance(value, list):
        return value
    more = [f"and {len(value) - LISTED:,} more"] if len(value) > LISTED else []
    return [*map(cut, value[:LISTED]), *more]


def _source(meta: Any, columns: list[str]) -> str | None:
    """The value that the source had in one of the columns, if Airbyte could not convert it and stored null."""
    meta = json.loads(meta) if isinstance(meta, str) else meta or {}
    noted = [change.get("value") for change in meta.get("changes", []) if change["field"] in columns]
    return noted[0] if noted else None


def _columns(expectation: "ExpectationConfiguration") -> list[str]:
    kwargs = expectation.kwargs
    return kwargs.get("column_list", [kwargs["column"]] if "column" in kwargs else [])
