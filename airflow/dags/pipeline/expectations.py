"""Our own expectations; the suites use them by name, like those of Great Expectations."""

import re
from typing import Any

from great_expectations.compatibility import pydantic
from great_expectations.core.suite_parameters import SuiteParameterDict
from great_expectations.expectations.core import ExpectColumnValuesToMatchRegex

# The characters that dbt's macro `clean` strips; a warehouse's own \s has fewer, depending on its locale.
_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000-\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"


class ExpectColumnValuesToNotBeBlank(ExpectColumnValuesToMatchRegex):
    """Texts have characters other than white space; nulls are ignored."""

    regex: str | SuiteParameterDict = f"[^{_SPACE}]"


class ExpectColumnValuesToBeKnown(ExpectColumnValuesToMatchRegex):
    """Texts are in a set after dbt's cleaning: in lower case, without white space around them. Blank texts are allowed.

    Args:
        value_set: the set, in lower case.
    """

    value_set: list[str]
    regex: str | SuiteParameterDict = ""

    # Great Expectations' `pydantic` is the interface of version 1.
    @pydantic.root_validator(skip_on_failure=True)  # pyrefly: ignore[deprecated]
    def _match_the_set(cls, values: dict[str, Any]) -> dict[str, Any]:  # noqa: N805
        known = "|".join(map(re.escape, values["value_set"]))
        return values | {"regex": f"(?i)^[{_SPACE}]*({known})?[{_SPACE}]*$"}
