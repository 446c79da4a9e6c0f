"""Lists in the format of Airbyte's API, page by page."""

from typing import Annotated, Any

from fastapi import Query, Request

Limit = Annotated[int, Query(ge=1, le=100)]
Offset = Annotated[int, Query(ge=0, le=2**31)]


def page(request: Request, found: list[Any], limit: int, offset: int) -> dict[str, Any]:
    """A page of a list; `found` has one more item than `limit` if there is a next page."""

    def link(start: int) -> str:
        return str(request.url.include_query_params(limit=limit, offset=start))

    return {
        "data": found[:limit],
        "next": link(offset + limit) if len(found) > limit else "",
        "previous": link(max(offset - limit, 0)) if offset else "",
    }
