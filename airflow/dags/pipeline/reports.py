"""The report that every task leaves for the launcher, as an XCom beside its result."""

import json
from collections.abc import Generator
from contextlib import contextmanager
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
    """What a task did; every key is optional."""

    rows_in: int
    rows_out: int
    # Where the warehouse bills by bytes.
    bytes_billed: int
    # A few words on what was done, or why it failed.
    note: str
    # Addresses by label: a URL, an absolute path or "SERVICE:/path".
    links: dict[str, str]
    # Lines of the run's summary, by name.
    headlines: dict[str, str]
    # Tables of the run's page, each with `title`, `text`, `columns` and `rows`.
    sections: list[dict[str, Any]]
    checks: Checks
    # Keys to merge into var/summary.json.
    summary: dict[str, Any]


@contextmanager
def pushed(context: Any) -> Generator[Report]:
    """A report to fill in, which becomes the XCom `report` of the running task at the end of the block.

    If the block fails, the report is pushed too; its note is then the first line of the error, unless it has one. It
    may hold any values: numbers that JSON does not have become null, other types become texts.
    """
    report: Report = {}
    try:
        yield report
    except Exception as error:
        report.setdefault("note", str(error).strip().partition("\n")[0] or type(error).__name__)
        _push(context, report)
        raise
    _push(context, report)


def _push(context: Any, report: Report) -> None:
    context["ti"].xcom_push(key=KEY, value=plain(report))


def plain(content: Any) -> Any:
    """The same with JSON's types only, so that no XCom changes it: numbers that JSON does not have become null.

    Airflow itself would fail on NaN and infinity, and change the digits of a Decimal, which becomes text here.
    """
    return json.loads(json.dumps(content, default=_converted), parse_constant=lambda name: None)


def _converted(value: Any) -> int | float | str:
    # Types of NumPy are among these two.
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else str(value)
