"""The report that a task leaves as the XCom `report`, read so that a malformed one breaks nothing."""

import re
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, FiniteFloat, ValidationError, field_validator
from pydantic.functional_validators import ModelWrapValidatorHandler

NUMBER = re.compile(r"[+-]?[\d.,]*\d%?")


def _objects(value: Any) -> Any:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else value


def _texts(value: Any) -> Any:
    return {key: each for key, each in value.items() if isinstance(each, str)} if isinstance(value, dict) else value


def _cell(value: Any) -> Any:
    plain = value is None or (isinstance(value, str | int | float | dict) and not isinstance(value, bool))
    return value if plain else str(value)


class _Tolerant(BaseModel):
    """An object of a report: unknown keys are ignored, and a malformed value counts as missing."""

    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=True)

    @field_validator("*", mode="wrap")
    @classmethod
    def _default_if_malformed(cls, value: Any, handler: ModelWrapValidatorHandler, info: Any) -> Any:
        try:
            return handler(value)
        except ValidationError:
            return cls.model_fields[info.field_name].get_default()


class Bar(_Tolerant):
    """A cell of a table that is drawn as a bar, `share` of the full width, with a text beside it."""

    text: str = ""
    share: FiniteFloat = 0.0


Texts = Annotated[dict[str, str], BeforeValidator(_texts)]
Cell = Annotated[Bar | int | float | str | None, BeforeValidator(_cell)]


class Section(_Tolerant):
    """A text, a table or both, under a title."""

    title: str = ""
    text: str = ""
    columns: list[str] = []
    rows: list[list[Cell]] = []

    @property
    def numeric(self) -> list[bool]:
        """Whether a column has numbers and nothing else."""
        cells = [[row[index] for row in self.rows if index < len(row)] for index in range(len(self.columns))]
        known = [[cell for cell in column if cell is not None] for column in cells]
        return [bool(column) and all(map(is_number, column)) for column in known]


class Check(_Tolerant):
    """One expectation about data, in words, and what was found; `exception`: why it could not be checked."""

    subject: str = ""
    expected: str = ""
    observed: str = ""
    examples: Annotated[list[dict[str, Any]], BeforeValidator(_objects)] = []
    exception: str = ""


Expectations = Annotated[list[Check], BeforeValidator(_objects)]


class Checks(_Tolerant):
    """The expectations that a task checked; `page`: address of the validation result in the data docs."""

    page: str = ""
    failed: Expectations = []
    passed: Expectations = []


class Report(_Tolerant):
    """What a task reports.

    Attributes:
        rows_in: rows that it read; None: what the tasks upstream handed on.
        rows_out: rows that it hands on.
        note: a few words on what it did, or why it failed.
        bytes_billed: what the warehouse bills for its jobs; None: it bills nothing.
        links: address by label.
        headlines: lines of the summary by name.
        summary: values for var/summary.json.
    """

    rows_in: int | None = None
    rows_out: int | None = None
    note: str = ""
    bytes_billed: int | None = None
    links: Texts = {}
    headlines: Texts = {}
    sections: Annotated[list[Section], BeforeValidator(_objects)] = []
    checks: Checks | None = None
    summary: dict[str, Any] = {}


def read(value: Any) -> Report:
    """The report in the value of an XCom; an empty one where there is none."""
    return Report.model_validate(value if isinstance(value, dict) else {})


def merged(reports: Iterable[Report]) -> Report:
    """Headlines, sections, summaries and the bytes billed of several reports, in order.

    Of two headlines or summary values with the same name the later counts. Tables with the same title, text and columns
    become one.
    """
    headlines: dict[str, str] = {}
    values: dict[str, Any] = {}
    sections: dict[tuple[str, ...], Section] = {}
    reports = list(reports)
    for report in reports:
        headlines |= report.headlines
        values |= report.summary
        for section in report.sections:
            key = section.title, section.text, *section.columns
            rows = [*sections[key].rows, *section.rows] if key in sections else section.rows
            sections[key] = section.model_copy(update={"rows": rows})
    billed = [report.bytes_billed for report in reports if report.bytes_billed is not None]
    return Report.model_construct(
        headlines=headlines,
        sections=list(sections.values()),
        summary=values,
        bytes_billed=sum(billed) if billed else None,
    )


def is_number(value: Any) -> bool:
    """Whether the value of a cell is a number, or the text of one."""
    return isinstance(value, int | float) or (isinstance(value, str) and bool(NUMBER.fullmatch(value)))
