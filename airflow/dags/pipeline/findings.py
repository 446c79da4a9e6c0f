"""What a validation result says of one expectation, for messages and for the data docs."""

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

# Characters of a value that are shown.
SHOWN = 100
# Airbyte's column about what became of a row, and the column of an example that is made of it.
META = "_airbyte_meta"
SOURCE = "in the source"


def subject(expectation: "ExpectationConfiguration") -> str:
    """The expectation's type and the columns it is about."""
    return f"{expectation.type}({', '.join(_columns(expectation))})"


def expected(expectation: "ExpectationConfiguration") -> str:
    """The bounds and values that are expected, as `name=value`; empty where the type says it all."""
    # Our own expectations make a regex of what is expected.
    domain = ("batch_id", "column", "column_list", "regex")
    return ", ".join(f"{name}={kwarg}" for name, kwarg in expectation.kwargs.items() if name not in domain)


def observed(result: "ExpectationValidationResult") -> str:
    """What was found: a value of the table, or how many rows fail; empty where nothing could be checked."""
    found = result.result
    if "unexpected_count" in found:
        return f"{found['unexpected_count']} of {found['element_count']} rows failing"
    return str(found.get("observed_value", ""))


def examples(result: "ExpectationValidationResult") -> list[dict[str, Any]]:
    """Rows that fail: values by column, what names the row first, long texts cut."""
    found, columns = result.result, _columns(result.expectation_config)
    # Compound uniqueness has no ids on SQL; where a checkpoint asks for no ids, values come without names.
    rows = found.get("partial_unexpected_index_list") or found.get("partial_unexpected_list") or []
    named = [cut(row if isinstance(row, dict) else {columns[0]: row}) for row in rows]
    sources = [_source(row.pop(META, None), columns) for row in named]
    if any(sources):
        named = [row | {SOURCE: source} for row, source in zip(named, sources, strict=True)]
    order = {column: place for place, column in enumerate([*columns, SOURCE], start=1)}
    return [dict(sorted(row.items(), key=lambda item: order.get(item[0], 0))) for row in named]


def exception(result: "ExpectationValidationResult") -> str:
    """First line of what was raised, if anything was."""
    info = result.exception_info
    # Nested by metric where a metric could not be computed.
    first = info if "exception_message" in info else next(iter(info.values()))
    return (first["exception_message"] or "").partition("\n")[0]


def cut(value: Any) -> Any:
    """JSON types with long texts cut."""
    if isinstance(value, str):
        return value if len(value) <= SHOWN else f"{value[:SHOWN]}…"
    if isinstance(value, dict):
        return {key: cut(each) for key, each in value.items()}
    return [cut(each) for each in value] if isinstance(value, list) else value


def _source(meta: Any, columns: list[str]) -> str | None:
    """What the source had in one of the columns, where Airbyte notes that it did not fit and is null."""
    meta = json.loads(meta) if isinstance(meta, str) else meta or {}
    noted = [change.get("value") for change in meta.get("changes", []) if change["field"] in columns]
    return noted[0] if noted else None


def _columns(expectation: "ExpectationConfiguration") -> list[str]:
    kwargs = expectation.kwargs
    return kwargs.get("column_list", [kwargs["column"]] if "column" in kwargs else [])
