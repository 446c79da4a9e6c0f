"""The suites of great_expectations/expectations with the values of an application and of the data at hand.

`{"$PARAMETER": "checks.min_labeled"}` becomes the value of that attribute of `Parameters`: an expectation with a null
is left out, and one whose `column` becomes a list is repeated for each of its columns. A parameter without a dot comes
with the file that is checked. `{column}` in texts is the name of the column.
"""

import functools
import json
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.labels import normal_form
from pipeline.settings import PROJECT, Settings, Source

if TYPE_CHECKING:
    from pipeline.settings import Types

FOLDER = PROJECT / "great_expectations" / "expectations"
# Airbyte's column with the changes that a sync made to a row.
META = "_airbyte_meta"
EPOCHS = ("epoch_seconds", "epoch_milliseconds")
TIMES = ("timestamp", "timestamp_with_time_zone", "date")


class ExpectationError(ValueError):
    """An expectation of an application's file is wrong; the message says which, and why."""


class Data(Protocol):
    """The rows that are checked, and the tables that are published."""

    def distinct(self, column: str) -> dict[str, int]:
        """The values of a column, nulls left out, each with its rows."""

    def published(self, table: str) -> int | None:
        """Rows of a table, given as schema.table; None: it is not there."""

    def published_labels(self, table: str, column: str) -> list[str]:
        """The different values of a column of a table that is there."""

    def unfit(self, column: str, shown: list[str]) -> str | None:
        """SQL of the rows where Airbyte loaded a null in place of a value, with the columns `shown`; None: no notes."""

    def equal_texts(self, texts: list[str], shown: list[str]) -> str | None:
        """SQL of the rows whose texts another row has too, with the columns `shown`; None: the rows are not in SQL."""


class Parameters:
    """What the parameters of a suite stand for.

    Attributes:
        source: the source file that is checked, if it is one.
        table: the table of dbt, a snapshot or predictions, otherwise.
        data: what is found in the data.
    """

    def __init__(self, settings: Settings, checkpoint: str, data: Data):
        self.checks, self.labels, self.columns = settings.checks, settings.labels, settings.columns
        self.warehouse = settings.warehouse
        source = settings.sources.get(checkpoint)
        self.source = source and SourceParameters(settings, source)
        self.table = TableParameters(settings, with_label=checkpoint != settings.to_predict)
        self.data = DataParameters(settings, checkpoint, data)


class SourceParameters:
    """Columns of a source file by what is expected of them."""

    def __init__(self, settings: Settings, source: Source):
        self._types, self._source, self._columns = _types(settings), source, settings.columns
        self.min_rows, self.max_rows = source.min_rows, source.max_rows
        texts = [name for name in settings.columns.texts if name in source.columns]
        self.texts = texts or None
        self.label = settings.columns.label if settings.columns.label in source.columns else None
        # A file of labels has one in each row.
        always = [settings.columns.id, *texts[:1], *([self.label] if len(settings.sources) > 1 else [])]
        self._required = [name for name, each in source.columns.items() if each.required or name in always]
        self.unique = [name for name, each in source.columns.items() if each.unique or name == settings.columns.id]

    @property
    def types(self) -> list[dict[str, Any]]:
        """Arguments of an expectation on the type of each column."""
        return [
            {"column": name, "type_list": list(self._types[each.type])} for name, each in self._source.columns.items()
        ]

    @property
    def required_integers(self) -> list[str]:
        """Columns of whole numbers that need a value in each row."""
        return self._of("integer", *EPOCHS)

    @property
    def required_times(self) -> list[str]:
        """Columns of times that need a value in each row."""
        return self._of(*TIMES)

    @property
    def required_texts(self) -> list[str]:
        """Columns of texts that need a value in each row."""
        return self._of("text")

    @property
    def required_others(self) -> list[str]:
        """Columns of other types that need a value in each row."""
        return self._of("text", "number", "boolean")

    @property
    def ranges(self) -> list[dict[str, Any]]:
        """Arguments of an expectation on the range of each column that has bounds."""
        bounds = {name: (each.min, each.max) for name, each in self._source.columns.items()}
        return [
            {"column": name, "min_value": low, "max_value": high}
            for name, (low, high) in bounds.items()
            if (low, high) != (None, None)
        ]

    def _of(self, *types: str) -> list[str]:
        return [name for name in self._required if self._source.columns[name].type in types]


class TableParameters:
    """Columns of the tables that dbt builds, and of the files that are made from them."""

    def __init__(self, settings: Settings, *, with_label: bool):
        columns, sources = settings.columns, settings.sources
        first = sources[settings.items]
        # Of rows with the same texts, only the first may be left.
        self.min_rows = 1 if settings.equal_texts == "first" else first.min_rows
        self.first_text = columns.texts[0]
        self.texts = columns.texts
        filled = [name for name in columns.texts if first.columns[name].required or name == self.first_text]
        self.required = [columns.key, *filled]
        types = _types(settings)
        found = {
            columns.key: types[first.columns[columns.id].type if columns.id else "text"],
            **dict.fromkeys(columns.texts, types["text"]),
        }
        if with_label:
            if columns.date:
                found[columns.date] = types["timestamp"]
                self.required += [columns.date] if first.columns[columns.date].required else []
            found[columns.label] = types["text"]
            self.required.append(columns.label)
        self.types = [{"column": name, "type_list": list(each)} for name, each in found.items()]


class DataParameters:
    """What is found in the data, each as soon as a suite asks for it."""

    def __init__(self, settings: Settings, checkpoint: str, data: Data):
        self._settings, self._data, self._checkpoint = settings, data, checkpoint
        published = settings.tables["published"]
        is_first = checkpoint == settings.items
        self._table = published[settings.to_predict if is_first else settings.labeled]
        self._labeled = published[settings.labeled]
        self._must_differ = settings.equal_texts == "stop"

    @property
    def separator(self) -> str | None:
        """The text that must not be in a label; None: it may."""
        labels = self._settings.labels
        return labels.separator if labels.several == "stop" else None

    @property
    def equal_texts(self) -> str | None:
        """SQL of the rows whose texts another row has too; None: rows may have the same texts, or are not in SQL."""
        texts, shown = self._settings.columns.texts, identifying(self._settings, self._checkpoint)
        source = self._settings.sources.get(self._checkpoint)
        if not self._must_differ or (source and texts[0] not in source.columns):
            return None
        return self._data.equal_texts(texts, list(dict.fromkeys([*shown, *texts])))

    @property
    def unfit(self) -> list[dict[str, Any]] | None:
        """Arguments of an expectation on the values of each column that may be null, but not since they do not fit."""
        source = self._settings.sources[self._checkpoint]
        shown = [*identifying(self._settings, self._checkpoint), META]
        typed = [name for name, each in source.columns.items() if each.type != "text" and not each.required]
        queries = {name: self._data.unfit(name, shown) for name in typed if name != self._settings.columns.id}
        return [{"column_list": [name], "unexpected_rows_query": sql} for name, sql in queries.items() if sql]

    @property
    def text_of_file(self) -> str | None:
        """The one column of texts, which must differ; None: there are several, they may be equal, or are in no file."""
        texts = self._texts_of_file
        return texts[0] if len(texts) == 1 else None

    @property
    def texts_of_file(self) -> list[str] | None:
        """The columns of texts, which must differ; None: there is one, they may be equal, or are in no file."""
        texts = self._texts_of_file
        return texts if len(texts) > 1 else None

    @property
    def _texts_of_file(self) -> list[str]:
        return self._settings.columns.texts if self._must_differ and self._checkpoint == "snapshot" else []

    @property
    def several(self) -> list[str]:
        """Values that hold several labels."""
        return [value for value in self._spellings if self.separator and len(self._parts(value)) > 1]

    @property
    def reserved(self) -> list[str]:
        """Labels that are `labels.rest`."""
        rest = normal_form(self._settings.labels.rest)
        return [value for value in self._spellings if rest in map(normal_form, self._parts(value))]

    @property
    def unknown(self) -> list[str]:
        """Labels that are not in `labels.known`; blank ones have an expectation of their own."""
        known = set(map(normal_form, self._settings.labels.known or []))
        return [
            value
            for value in self._spellings
            if not {form for each in self._parts(value) if (form := normal_form(each))} <= known
        ]

    @property
    def min_rows(self) -> int | None:
        """Rows that a load has at least, by what is published; None: nothing is."""
        return self._share_of(self._data.published(self._table))

    @property
    def min_labels(self) -> int | None:
        """Different labels that a load has at least, by what is published; None: nothing is."""
        if not self._data.published(self._labeled):
            return None
        found = self._data.published_labels(self._labeled, self._settings.columns.label)
        return self._share_of(len(set(map(normal_form, found))))

    @functools.cached_property
    def _spellings(self) -> list[str]:
        return list(self._data.distinct(self._settings.columns.label))

    def _parts(self, value: str) -> list[str]:
        """The labels of a cell."""
        separator = self._settings.labels.separator
        return [each for each in value.split(separator) if each.strip()] if separator else [value]

    def _share_of(self, number: int | None) -> int | None:
        share = self._settings.checks.min_share_of_published
        return math.ceil(share * number) if share and number else None


def expectations(suite: str, parameters: Parameters, given: dict[str, Any]) -> list[dict[str, Any]]:
    """The expectations of a suite of the folder, as Great Expectations stores them.

    Args:
        suite: name of its file.
        parameters: of the application and the data.
        given: parameters that come with the file that is checked.

    Raises:
        AttributeError: a parameter has a name that is not known; the message says which.
    """
    found = json.loads((FOLDER / f"{suite}.json").read_text(encoding="utf-8"))["expectations"]
    return [each for expectation in found for each in _filled(expectation, parameters, given)]


def identifying(settings: Settings, checkpoint: str) -> list[str]:
    """Columns by which a reader finds a failing row: the id, if there is one, and the first text or the label."""
    columns, source = settings.columns, settings.sources.get(checkpoint)
    if checkpoint == "snapshot":
        # Its reader looks the ids up.
        return [columns.key]
    if not source:
        return [columns.key, columns.texts[0]]
    named = [columns.id, columns.texts[0] if columns.texts[0] in source.columns else columns.label]
    return [name for name in named if name]


def _filled(expectation: dict[str, Any], parameters: Parameters, given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    found = _value(expectation["kwargs"], parameters, given)
    for kwargs in found if isinstance(found, list) else [found]:
        # First the column: without it the others may not be asked for.
        if "column" in kwargs:
            column = _value(kwargs["column"], parameters, given)
            columns = column if isinstance(column, list) else [column]
        else:
            columns = [None]
        for column in columns:
            named = {} if "column" not in kwargs else {"column": column}
            if None in named.values():
                continue
            own = named | {name: _value(each, parameters, given) for name, each in kwargs.items() if name != "column"}
            is_range = expectation["kwargs"] is not kwargs
            if None in own.values() and not is_range:
                continue
            subject = str(column or next(iter(own.get("column_list") or [""])))
            texts = {
                name: expectation[name].replace("{column}", subject)
                for name in ("description", "notes")
                if name in expectation
            }
            yield {"type": expectation["type"], "kwargs": own, **texts}


def _value(value: Any, parameters: Parameters, given: dict[str, Any]) -> Any:
    if not isinstance(value, dict) or "$PARAMETER" not in value:
        return value
    name = value["$PARAMETER"]
    if "." not in name:
        return given[name]
    found = functools.reduce(getattr, name.split("."), parameters)
    return list(found) if isinstance(found, tuple) else found


def _types(settings: Settings) -> "dict[str, tuple[str, ...]]":
    """The names of a type in the warehouse and in Parquet files, by its name in the config."""
    assert settings.warehouse
    types: Types = settings.warehouse.types
    return types._asdict() | dict.fromkeys(EPOCHS, types.integer)
