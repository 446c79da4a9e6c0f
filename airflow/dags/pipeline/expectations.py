"""Expectations of our own, for the suites to name as they name Great Expectations' own."""

import re
from typing import Any

from great_expectations.compatibility import pydantic
from great_expectations.expectations.core import ExpectColumnValuesToMatchRegex

# What dbt's macro `clean` takes away; a warehouse's own \s has fewer characters, and which depends on its locale.
_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000-\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"


class ExpectColumnValuesToNotBeBlank(ExpectColumnValuesToMatchRegex):
    """Texts have more in them than white space; nulls are passed over."""

    regex: str = f"[^{_SPACE}]"


class ExpectColumnValuesToBeKnown(ExpectColumnValuesToMatchRegex):
    """Texts are in a set as dbt cleans them, without white space around them and in lower case; blank ones may be too.

    Args:
        value_set: the set, in lower case.
    """

    value_set: list[str]
    regex: str = ""

    @pydantic.root_validator(skip_on_failure=True)
    def _match_the_set(cls, values: dict[str, Any]) -> dict[str, Any]:  # noqa: N805
        known = "|".join(map(re.escape, values["value_set"]))
        return values | {"regex": f"(?i)^[{_SPACE}]*({known})?[{_SPACE}]*$"}
