"""What agents ask, and the answers to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from quarterdeck import errors
from quarterdeck.v1.event_pb2 import GatewayEvent
from quarterdeck.v1.gateway_pb2 import (
    AnswerQuestionRequest,
    AnswerQuestionResponse,
    GetQuestionRequest,
    GetQuestionResponse,
    ListQuestionsRequest,
    ListQuestionsResponse,
    SessionFilter,
)
from quarterdeck.v1.question_pb2 import Answer, Question, QuestionState

from . import io
from .calls import AsyncCalls
from .paging import pages


class AsyncQuestionCalls(AsyncCalls):
    """What agents ask, and the answers to it."""

    async def list_questions(
        self,
        *,
        session_key: str = "",
        filter: SessionFilter | None = None,
        states: Iterable[QuestionState | str] = (),
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ListQuestionsResponse:
        """Lists questions, the oldest first: of one session, or of all. Without ``states`` those that are pending."""
        request = ListQuestionsRequest(
            session_key=session_key, filter=filter, states=states, page_size=page_size, page_token=page_token
        )
        return await self._connection.call("gateway", "ListQuestions", request, ListQuestionsResponse, timeout)

    def all_questions(
        self,
        *,
        session_key: str = "",
        filter: SessionFilter | None = None,
        states: Iterable[QuestionState | str] = (),
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[Question]:
        """All questions, the oldest first: of one session, or of all; ``page_size`` are fetched at once."""
        states = tuple(states)
        return pages(
            lambda token: self.list_questions(
                session_key=session_key,
                filter=filter,
                states=states,
                page_size=page_size,
                page_token=token,
                timeout=timeout,
            ),
            "questions",
        )

    async def get_question(
        self,
        session_key: str,
        question_id: str,
        *,
        timeout: float | None = None,
    ) -> GetQuestionResponse:
        """Reads one question, its arguments as they are stored."""
        request = GetQuestionRequest(session_key=session_key, question_id=question_id)
        return await self._connection.call("gateway", "GetQuestion", request, GetQuestionResponse, timeout)

    async def answer_question(
        self,
        session_key: str,
        question_id: str,
        answer: Answer,
        *,
        action_digest: str = "",
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> AnswerQuestionResponse:
        """Answers a question; :mod:`quarterdeck.answers` makes answers.

        The first answer counts: ``AlreadyAnswered`` says that the question is closed. With the question's
        ``action_digest`` nothing else than what was seen is answered.
        """
        request = AnswerQuestionRequest(
            session_key=session_key,
            question_id=question_id,
            answer=answer,
            action_digest=action_digest,
            request_id=request_id,
        )
        return await self._connection.call("gateway", "AnswerQuestion", request, AnswerQuestionResponse, timeout)


class AsyncAnswering:
    """Calls a handler once with each question of a turn that waits for somebody, and sends what it gives."""

    def __init__(self, calls: AsyncQuestionCalls, handler: io.AsyncQuestionHandler) -> None:
        self._calls = calls
        self._handler = handler
        self._asked: set[str] = set()
        """Those that are pending; the server bounds how many a turn has."""

    async def take(self, event: GatewayEvent) -> None:
        """Looks at an event, and answers where it asks."""
        if event.HasField("question_asked"):
            question = event.question_asked.question
        elif event.HasField("question_pending"):
            question = event.question_pending.question
        else:
            if event.HasField("question_resolved"):
                self._asked.discard(event.question_resolved.question_id)
            return
        # With a rule it is decided in the same moment.
        if question.policy_rule or question.question_id in self._asked:
            return
        self._asked.add(question.question_id)
        await self._answer(question)

    async def _answer(self, question: Question) -> None:
        session_key, question_id, digest = question.session_key, question.question_id, question.action_digest
        if question.args_full_size:
            question = (await self._calls.get_question(session_key, question_id)).question
        answer = await io.given(self._handler(question))
        if answer is None:
            return
        try:
            await self._calls.answer_question(session_key, question_id, answer, action_digest=digest)
        except errors.AlreadyAnswered:
            # Somebody else was faster.
            pass
