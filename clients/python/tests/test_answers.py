"""What the helpers choose of what a question offers."""

from __future__ import annotations

import pytest

from quarterdeck import answers
from quarterdeck.types import Answer, OptionEffect, Question, QuestionKind, QuestionOption


def permission(**effects: OptionEffect) -> Question:
    options = [QuestionOption(option_id=name, effect=effect) for name, effect in effects.items()]
    return Question(question_id="q", kind=QuestionKind.QUESTION_KIND_PERMISSION, options=options)


def test_allow_and_deny_choose_what_holds_once() -> None:
    question = permission(
        always=OptionEffect.OPTION_EFFECT_ALLOW_ALWAYS,
        once=OptionEffect.OPTION_EFFECT_ALLOW_ONCE,
        never=OptionEffect.OPTION_EFFECT_DENY_ALWAYS,
        no=OptionEffect.OPTION_EFFECT_DENY_ONCE,
    )
    assert answers.allow(question) == Answer(option_id="once")
    assert answers.deny(question) == Answer(option_id="no")


def test_what_is_not_offered_is_not_chosen() -> None:
    question = permission(always=OptionEffect.OPTION_EFFECT_ALLOW_ALWAYS)
    with pytest.raises(ValueError, match="offers nothing that allows once"):
        answers.allow(question)
    assert answers.deny(question) == answers.decline() == Answer(declined=True)


def test_content_is_json() -> None:
    assert answers.content({"name": "Ærø"}) == Answer(content_json='{"name": "Ærø"}')
    assert answers.content("no such city", is_error=True) == Answer(content_json='"no such city"', is_error=True)
    with pytest.raises(ValueError, match="JSON"):
        answers.content(float("nan"))
