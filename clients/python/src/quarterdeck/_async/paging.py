"""Lists, page after page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any


async def pages(call: Callable[[str], Any], field: str) -> AsyncIterator[Any]:
    """What stands in a field of the answers of a List call, which is given a page token.

    Each page is asked for when the loop comes to it.
    """
    token = ""
    while True:
        page = await call(token)
        for item in getattr(page, field):
            yield item
        token = page.next_page_token
        if not token:
            return
