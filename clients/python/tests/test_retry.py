"""What is tried again, when, and for how long."""

from __future__ import annotations

import pytest

from quarterdeck import errors
from quarterdeck._core.retry import (
    FIRST_PAUSE_SECONDS,
    FOREVER,
    LONGEST_PAUSE_SECONDS,
    UNREACHED_PATIENCE_SECONDS,
    Backoff,
    Reach,
    Retry,
)

LOST = errors.Unavailable("socket closed")
AGAIN = errors.StoreUnavailable("busy", reason="STORE_UNAVAILABLE", retry_after=2.0)


def reached() -> Reach:
    return Reach("http://a", answered=True)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_pauses_double_up_to_a_bound_and_are_half_random(share: float) -> None:
    backoff = Backoff(lambda: share)
    pauses = [backoff.pause() for _ in range(20)]
    assert pauses[0] == FIRST_PAUSE_SECONDS * (0.5 + share / 2)
    assert pauses[1] == 2 * pauses[0]
    assert max(pauses) == LONGEST_PAUSE_SECONDS * (0.5 + share / 2)


def test_only_unavailable_is_tried_again() -> None:
    for error in (errors.NotFound("no"), errors.Internal("no"), errors.RateLimited("no", retry_after=1.0)):
        assert Retry(reached(), 30.0).pause(error, 0.0) is None
    assert Retry(reached(), 30.0).pause(LOST, 0.0) is not None


def test_the_server_says_when() -> None:
    pause = Retry(reached(), 30.0).pause(AGAIN, 0.0)
    assert pause == 2.0


def test_patience_and_deadline_end_it() -> None:
    retry = Retry(reached(), 10.0)
    assert retry.pause(LOST, 100.0) is not None
    assert retry.pause(LOST, 109.0) is not None
    assert retry.pause(LOST, 110.0) is None
    assert Retry(reached(), 10.0).pause(AGAIN, 100.0, until=101.0) is None


def test_a_server_that_never_answered_gets_little_patience() -> None:
    retry = Retry(Reach("http://a"), 30.0, attached_patience=FOREVER)
    assert retry.pause(LOST, 0.0) is not None
    assert retry.pause(LOST, UNREACHED_PATIENCE_SECONDS) is None


def test_a_refusal_is_an_answer() -> None:
    reach = Reach("http://a")
    Retry(reach, 30.0).pause(AGAIN, 0.0)
    assert reach.answered


def test_a_stream_that_was_there_is_worth_coming_back_to() -> None:
    crowded = errors.TooManyStreams("no", reason="TOO_MANY_STREAMS")
    retry = Retry(reached(), 30.0, attached_patience=FOREVER)
    assert retry.pause(crowded, 0.0) is None
    retry.worked()
    assert retry.pause(crowded, 0.0) is not None
    assert retry.pause(errors.Internal("RST_STREAM"), 1e6) is not None
    assert retry.pause(errors.NotFound("no", reason="SESSION_DELETED"), 0.0) is None


def test_what_works_again_begins_anew() -> None:
    retry = Retry(reached(), 10.0)
    for _ in range(10):
        retry.pause(LOST, 0.0)
    retry.worked()
    pause = retry.pause(LOST, 1000.0)
    assert pause is not None
    assert pause <= FIRST_PAUSE_SECONDS
