"""Our own expectations; the suites use them by name, like those of Great Expectations."""

from typing import Any, ClassVar

from great_expectations.core.suite_parameters import SuiteParameterDict
from great_expectations.expectations.core import (
    ExpectColumnValuesToMatchRegex,
    ExpectColumnValuesToNotBeInSet,
    UnexpectedRowsExpectation,
)

# Failing rows that a result shows.
EXAMPLES = 5
# The characters that dbt's macro `clean` strips; a warehouse's own \s has fewer, depending on its locale.
_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000-\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"


class ExpectColumnValuesToNotBeBlank(ExpectColumnValuesToMatchRegex):
    """Texts have characters other than white space; nulls are ignored."""

    regex: str | SuiteParameterDict = f"[^{_SPACE}]"


# In these, `value_set` has the values of the column that do not fit, which `suites.DataParameters` finds: no database
# folds case, or removes white space, as Python does.


class ExpectColumnValuesToBeKnown(ExpectColumnValuesToNotBeInSet):
    """Labels have the normal form of a known one.

    Args:
        known: the known labels.
    """

    known: list[str]


class ExpectColumnValuesToNotBeReserved(ExpectColumnValuesToNotBeInSet):
    """No label has the normal form of a reserved one.

    Args:
        reserved: the reserved label.
    """

    reserved: str


class ExpectColumnValuesToBeSingle(ExpectColumnValuesToNotBeInSet):
    """Values are one label each.

    Args:
        separator: the text between several labels.
    """

    separator: str


class ExpectNoRows(UnexpectedRowsExpectation):
    """A query finds no rows; the result has them as examples, in the form of an expectation on columns.

    Args:
        column_list: the columns that the query is about.
    """

    column_list: list[str]
    metric_dependencies: ClassVar[tuple[str, ...]] = (*UnexpectedRowsExpectation.metric_dependencies, "table.row_count")

    def _validate(self, metrics: dict[str, Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The result in the form of an expectation on a column."""
        rows, count = (metrics[f"unexpected_rows_query.{name}"] for name in ("table", "row_count"))
        found = {"element_count": metrics["table.row_count"], "unexpected_count": count}
        return {"success": count == 0, "result": {**found, "partial_unexpected_index_list": rows[:EXAMPLES]}}


class ExpectTextsToDiffer(ExpectNoRows):
    """No two rows have the same texts; unlike compound uniqueness, examples have ids on SQL too."""


class ExpectValuesToFit(ExpectNoRows):
    """No value of the source was loaded as null since it does not fit the type of its column."""
