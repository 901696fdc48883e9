"""Does something a little later, while the test waits."""

import threading
from collections.abc import Callable

DELAY_SECONDS = 0.2


def elsewhere(action: Callable[[], object]) -> None:
    threading.Timer(DELAY_SECONDS, action).start()
