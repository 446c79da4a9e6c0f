"""Lists in the format of Airbyte's API, page by page."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Query, Request

Offset = Annotated[int, Query(ge=0, le=2**31)]


class Page:
    """The page of a list that a request asks for."""

    def __init__(self, request: Request, limit: Annotated[int, Query(ge=1, le=100)] = 20, offset: Offset = 0):
        self._url = request.url
        self._limit = limit
        self._offset = offset

    def of(self, shape: Callable[[Any], Any], fetch: Callable[..., Any], *args: Any, **more: Any) -> dict[str, Any]:
        """The response: items from `fetch`, which also gets limit and offset, each formatted by `shape`."""
        found = fetch(*args, **more, limit=self._limit + 1, offset=self._offset)
        has_next = len(found) > self._limit
        return {
            "data": list(map(shape, found[: self._limit])),
            "next": self._link(self._offset + self._limit) if has_next else "",
            "previous": self._link(max(self._offset - self._limit, 0)) if self._offset else "",
        }

    def _link(self, offset: int) -> str:
        return str(self._url.include_query_params(limit=self._limit, offset=offset))


Paging = Annotated[Page, Depends()]
