"""Does something a little later, while the test waits."""

import asyncio
from collections.abc import Awaitable, Callable

DELAY_SECONDS = 0.2

_tasks: set[asyncio.Task[None]] = set()


def elsewhere(action: Callable[[], Awaitable[object]]) -> None:
    async def run() -> None:
        await asyncio.sleep(DELAY_SECONDS)
        await action()

    task = asyncio.create_task(run())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
