"""Our own expectations; the suites use them by name, like those of Great Expectations."""

from great_expectations.core.suite_parameters import SuiteParameterDict
from great_expectations.expectations.core import ExpectColumnValuesToMatchRegex, ExpectColumnValuesToNotBeInSet

# The characters that dbt's macro `clean` strips; a warehouse's own \s has fewer, depending on its locale.
_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000-\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"


class ExpectColumnValuesToNotBeBlank(ExpectColumnValuesToMatchRegex):
    """Texts have characters other than white space; nulls are ignored."""

    regex: str | SuiteParameterDict = f"[^{_SPACE}]"


# In these, `value_set` has the values of the column that do not fit, which `label_facts` finds: no database folds case,
# or removes white space, as Python does.


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
