"""Whether, and when, what failed is tried again. The caller brings the time."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from quarterdeck.errors import QuarterdeckError, RateLimited, TooManyStreams, Unavailable

from .status import connection_lost

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 5.0
FOREVER = float("inf")
UNREACHED_PATIENCE_SECONDS = 3.0
"""How long a server that never answered is tried: long enough for one lost connection, short enough to wait for."""


class Backoff:
    """The pause before the next try: doubles, with a random part so that many clients don't come back together."""

    def __init__(self, share: Callable[[], float] = random.random) -> None:
        self._share = share
        self._due = FIRST_PAUSE_SECONDS

    def pause(self) -> float:
        """Half to all of the pause that is due, in seconds."""
        due, self._due = self._due, min(self._due * 2, LONGEST_PAUSE_SECONDS)
        return due / 2 + due / 2 * self._share()


@dataclass
class Reach:
    """What is known of a server; shared by all that a client does."""

    address: str
    answered: bool = False
    """True once the server has answered: from then on a lost connection is worth waiting for."""


class Retry:
    """How long one call, or one stream, is tried again since it last worked."""

    def __init__(self, reach: Reach, patience: float, *, attached_patience: float | None = None) -> None:
        """`attached_patience` makes it one of a stream: it counts once the stream was there."""
        self._reach = reach
        self._patience = patience
        self._attached_patience = attached_patience
        self._attached = False
        self._backoff = Backoff()
        self._lost_since: float | None = None

    def worked(self) -> None:
        """There was an answer: what fails next begins anew."""
        self._reach.answered = self._attached = True
        if self._lost_since is not None:
            self._backoff, self._lost_since = Backoff(), None

    def pause(self, error: QuarterdeckError, now: float, until: float = FOREVER) -> float | None:
        """Seconds to wait before the next try; None where the error is to be raised."""
        if error.reason:
            self._reach.answered = True
        if not self._passes(error):
            return None
        self._lost_since = now if self._lost_since is None else self._lost_since
        patience = self._patience
        if self._attached and self._attached_patience is not None:
            patience = self._attached_patience
        elif not self._reach.answered:
            patience = min(patience, UNREACHED_PATIENCE_SECONDS)
        pause = max(self._backoff.pause(), error.retry_after or 0.0)
        return pause if now + pause < min(until, self._lost_since + patience) else None

    def _passes(self, error: QuarterdeckError) -> bool:
        if isinstance(error, Unavailable):
            return True
        if self._attached_patience is None:
            return False
        # After a cut the server may count the stream that is gone for a while.
        crowded = isinstance(error, (TooManyStreams, RateLimited))
        return connection_lost(error) or (crowded and self._attached)


def explain(error: QuarterdeckError, reach: Reach) -> QuarterdeckError:
    """The error with what to do, where the connection failed."""
    if not isinstance(error, Unavailable) or error.reason:
        return error
    why = error.message
    encrypted = reach.address.startswith("https://")
    if reach.answered:
        return Unavailable(f"lost the server at {reach.address}: {why}")
    if encrypted and "CERTIFICATE" in why:
        advice = "Name the CA of the server's certificate with `ca`"
    elif encrypted and ("handshake" in why.lower() or "Unwrap" in why):
        advice = "It may ask for a client certificate: name yours with `certificate` and `private_key`"
    elif "Socket closed" in why:
        advice = f"Something is there that speaks no gRPC, or no {'TLS: try http' if encrypted else 'plaintext: try https'}://"
    else:
        advice = "Start one with `quarterdeck serve`, or name its address in QUARTERDECK_ADDR"
    return Unavailable(f"no server answers at {reach.address}: {why}. {advice}")
