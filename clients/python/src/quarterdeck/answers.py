"""Answers to what agents ask, for ``on_question`` and ``answer_question``.

::

    from quarterdeck import Client, answers

    with Client() as client:
        for piece in client.chat("demo", "!ask=bash tidy up", on_question=answers.allow):
            print(piece, end="", flush=True)
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from quarterdeck.v1.question_pb2 import (
    OPTION_EFFECT_ALLOW_ONCE,
    OPTION_EFFECT_DENY_ONCE,
    QUESTION_KIND_LINK,
    Answer,
    Question,
    QuestionOption,
)

__all__ = ["allow", "content", "decline", "deny"]


def allow(question: Question) -> Answer:
    """Lets the tool of a permission run this once; of a link it says that its visit is done.

    Raises ValueError where the question offers no such option.
    """
    link = question.kind == QUESTION_KIND_LINK
    chosen = _choose(
        question, lambda option: option.effect == OPTION_EFFECT_ALLOW_ONCE or (link and option.option_id == "done")
    )
    if chosen is None:
        raise ValueError(f"the question {question.question_id} offers nothing that allows once")
    return chosen


def deny(question: Question) -> Answer:
    """Denies the tool of a permission this once. Declines where the question offers no such option."""
    chosen = _choose(question, lambda option: option.effect == OPTION_EFFECT_DENY_ONCE)
    return decline() if chosen is None else chosen


def decline() -> Answer:
    """Nobody wants to answer: the agent goes on without."""
    return Answer(declined=True)


def content(value: Any, *, is_error: bool = False) -> Answer:
    """The values of a form, or the result of a tool that the caller runs: anything that JSON can hold, at most 256 KiB.

    With ``is_error`` the tool failed, and ``value`` says how.
    """
    return Answer(content_json=json.dumps(value, ensure_ascii=False, allow_nan=False), is_error=is_error)


def _choose(question: Question, fits: Callable[[QuestionOption], bool]) -> Answer | None:
    return next((Answer(option_id=option.option_id) for option in question.options if fits(option)), None)
