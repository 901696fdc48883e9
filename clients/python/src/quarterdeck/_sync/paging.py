# Made of its counterpart in _async by `generate-sync`: change that.
"""Lists, page after page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


def pages(call: Callable[[str], Any], field: str) -> Iterator[Any]:
    """What stands in a field of the answers of a List call, which is given a page token.

    Each page is asked for when the loop comes to it.
    """
    token = ""
    while True:
        page = call(token)
        for item in getattr(page, field):
            yield item
        token = page.next_page_token
        if not token:
            return
