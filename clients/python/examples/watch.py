"""Prints what happens in sessions, with asyncio: `python watch.py SESSION …`, or all sessions without arguments."""

import asyncio
import contextlib
import sys

from quarterdeck import AsyncClient, Start
from quarterdeck.types import SessionFilter


async def main() -> None:
    sessions = dict.fromkeys(sys.argv[1:], Start.OLDEST)
    async with AsyncClient() as client:
        # Without sessions an empty filter: every session that the key may read.
        everything = None if sessions else SessionFilter()
        async with client.subscribe_many(sessions, filter=everything, deltas=False) as events:
            async for event in events:
                if event.seq:
                    print(f"{event.session_key} {event.seq} {event.WhichOneof('kind')}")


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
