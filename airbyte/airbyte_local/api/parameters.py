"""Parameters of requests: those that several routes have, and an error for any that a route does not know."""

import re
import uuid
from collections import Counter
from datetime import datetime
from difflib import get_close_matches
from typing import Annotated, Any

from fastapi import Header, Query, Request, params
from fastapi.dependencies.utils import get_flat_params
from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from airbyte_local.api import problems
from airbyte_local.configuration import Fault

# RFC 7240: accept the request without a check.
LENIENT = "handling=lenient"
# The one parameter with several values.
_IDS = "workspaceIds"
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}.*")


def _separate(values: Any) -> Any:
    """Airbyte documents ids that are separated by commas; its clients repeat the parameter. No ids mean all."""
    if not isinstance(values, list):
        return values
    return [one.strip() for value in values for one in str(value).split(",") if one.strip()]


def _iso(value: Any) -> Any:
    """Only a text like 2023-06-22T16:15:00Z: a number could be seconds, milliseconds or a year."""
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        raise ValueError("must be a time such as 2023-06-22T16:15:00Z")
    return value


def _in_a_zone(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("has no time zone; write it as in 2023-06-22T16:15:00Z")
    return moment


# Without the format uuid in a list, for which Swagger UI has no component.
_Id = Annotated[uuid.UUID, WithJsonSchema({"type": "string"})]
Ids = Annotated[list[_Id] | None, BeforeValidator(_separate), Query(alias=_IDS)]
Moment = Annotated[datetime, BeforeValidator(_iso), AfterValidator(_in_a_zone)]
# Airbyte keeps what was deleted and shows it on request. Here nothing is left to show.
IncludeDeleted = Annotated[
    bool, Query(alias="includeDeleted", description="Has no effect: nothing that was deleted is kept.")
]
Prefer = Annotated[str, Header()]


def require_known(request: Request) -> None:
    """Refuse query parameters that the route does not have, since a misspelt filter would otherwise return everything.

    Raises:
        Problem: 422; names each such parameter, and each that has several values but allows only one.
    """
    every = get_flat_params(request.scope["route"].dependant)
    known = [each.alias for each in every if isinstance(each.field_info, params.Query)]
    given = Counter(name for name, _ in request.query_params.multi_items())
    wrong = {name: _unknown(name, known) for name in given if name not in known}
    wrong |= {
        name: f"has {n} values; give one" for name, n in given.items() if n > 1 and name in known and name != _IDS
    }
    if wrong:
        raise problems.invalid([Fault(f"query.{name}", message) for name, message in wrong.items()])


def _unknown(name: str, known: list[str]) -> str:
    if not known:
        return "is unknown: this address takes no parameters"
    nearest = get_close_matches(name, known, n=1)
    meant = f"; did you mean {nearest[0]}?" if nearest else ""
    return f"is unknown: this address takes {', '.join(sorted(known))}{meant}"
