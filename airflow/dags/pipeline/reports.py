"""The report that every task leaves for the launcher, as an XCom beside its result."""

import math
from numbers import Integral, Real
from typing import Any, TypedDict

KEY = "report"


class Check(TypedDict):
    """One expectation of a checkpoint; the texts are those of pipeline/findings.py."""

    subject: str
    expected: str
    observed: str
    examples: list[dict[str, Any]]
    exception: str


class Checks(TypedDict):
    """The expectations of a checkpoint; `page` is the address of its validation result in the data docs."""

    page: str
    failed: list[Check]
    passed: list[Check]


class Report(TypedDict, total=False):
    """What a task did; every key is optional.

    Attributes:
        rows_in: rows that the task read.
        rows_out: rows that it hands on.
        note: a few words on what was done, or why it failed.
        links: addresses by label: a URL, an absolute path or "SERVICE:/path".
        headlines: lines of the run's summary, by name.
        sections: tables of the run's page, each with `title`, `text`, `columns` and `rows`.
        checks: the expectations of a checkpoint.
        summary: keys to merge into var/summary.json.
    """

    rows_in: int
    rows_out: int
    note: str
    links: dict[str, str]
    headlines: dict[str, str]
    sections: list[dict[str, Any]]
    checks: Checks
    summary: dict[str, Any]


def push(context: Any, report: Report) -> None:
    """Push a report as the XCom `report` of the running task.

    Args:
        context: the task's context.
        report: it may hold any values; numbers that JSON does not have become null, other types become texts.
    """
    context["ti"].xcom_push(key=KEY, value=_json_types(report))


def first_line(error: BaseException | str) -> str:
    """The first line of an error message, or the error's type where it has none."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _json_types(value: Any) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, dict):
        return {str(name): _json_types(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_json_types(each) for each in value]
    # Types of NumPy are among these two.
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    return str(value)
