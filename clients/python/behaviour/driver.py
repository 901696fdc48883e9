"""The behaviour driver: speaks what clients/behaviour/README.md says, over the package's public interface."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, TypeAlias

from quarterdeck import (
    AsyncClient,
    AsyncManySubscription,
    AsyncSubscription,
    Cursor,
    QuarterdeckError,
    Start,
    TurnFailed,
    answers,
    errors,
    readable,
)
from quarterdeck.types import (
    AdmissionMode,
    Answer,
    GatewayEvent,
    Question,
    QuestionKind,
    QuestionResolution,
    QuestionState,
    StopReason,
    TurnState,
)

Fields: TypeAlias = dict[str, Any]
Operation: TypeAlias = Callable[[Fields], Coroutine[Any, Any, Fields]]

LINE_MAX_BYTES = 16 * 1024 * 1024
HELD_UNREAD = 1
"""A subscription takes one message from its connection when it is asked for one."""

clients: dict[str, AsyncClient] = {}
subscriptions: dict[str, AsyncSubscription | AsyncManySubscription] = {}


async def connect(request: Fields) -> Fields:
    client = AsyncClient(request["address"], request.get("key"), ca=request.get("ca"))
    clients[request["client"]] = client
    return {}


async def who_am_i(request: Fields) -> Fields:
    answer = await client_of(request).admin.who_am_i(timeout=deadline(request))
    return {"principal": answer.principal, "scopes": list(answer.scopes)}


async def enqueue(request: Fields) -> Fields:
    options = given(request, "request_id")
    if "on_busy" in request:
        options["on_busy"] = f"ON_BUSY_{request['on_busy']}"
    answer = await client_of(request).enqueue(
        request["session_key"], request["text"], timeout=deadline(request), **options
    )
    return {
        "turn_id": answer.turn.turn_id,
        "seq": answer.seq,
        "log_id": answer.log_id,
        "mode": short(AdmissionMode.Name(answer.mode), "ADMISSION_MODE"),
        "queue_position": answer.queue_position,
        "replayed": answer.replayed,
    }


async def await_turn(request: Fields) -> Fields:
    answer = await client_of(request).await_turn(
        request["session_key"], request["turn_id"], timeout=deadline(request), **given(request, "or_question")
    )
    turn = answer.turn
    return {
        "state": short(TurnState.Name(turn.state), "TURN_STATE"),
        "response_text": turn.response_text,
        "stop_reason": short(StopReason.Name(turn.stop_reason), "STOP_REASON"),
        "error_reason": turn.error.reason,
        "questions": [shown(question) for question in answer.questions],
    }


async def steer(request: Fields) -> Fields:
    answer = await client_of(request).steer(
        request["session_key"], request["text"], timeout=deadline(request), **given(request, "request_id")
    )
    mode = short(AdmissionMode.Name(answer.mode), "ADMISSION_MODE")
    return {"mode": mode, "steer_id": answer.steer_id, "turn_id": answer.turn.turn_id}


async def abort(request: Fields) -> Fields:
    answer = await client_of(request).abort(
        request["session_key"], timeout=deadline(request), **given(request, "turn_id", "clear_queue", "request_id")
    )
    state = short(TurnState.Name(answer.turn.state), "TURN_STATE") if answer.HasField("turn") else ""
    return {"aborted": answer.aborted, "state": state, "cleared": len(answer.cleared_turn_ids)}


async def reset(request: Fields) -> Fields:
    answer = await client_of(request).reset(
        request["session_key"], timeout=deadline(request), **given(request, "request_id")
    )
    return {"generation": answer.session.generation, "rejected": len(answer.rejected_turn_ids)}


async def list_queue(request: Fields) -> Fields:
    answer = await client_of(request).list_queue(request["session_key"], timeout=deadline(request))
    return {"turn_ids": [turn.turn_id for turn in answer.turns]}


async def chat(request: Fields) -> Fields:
    pieces = []
    handler = Handler(request)
    async with client_of(request).chat(
        request["session_key"],
        request["text"],
        timeout=deadline(request),
        on_question=handler,
        **given(request, "request_id"),
    ) as text:
        async for piece in text:
            write({"id": request["id"], "piece": piece})
            pieces.append(piece)
    return {"text": "".join(pieces), "pieces": len(pieces), "questions": handler.questions}


async def ask(request: Fields) -> Fields:
    output = await client_of(request).ask(
        request["session_key"], request["text"], request["output_schema"], timeout=deadline(request)
    )
    return {"output": output}


async def run(request: Fields) -> Fields:
    handler = Handler(request)
    async with client_of(request).run(
        request["session_key"],
        request["text"],
        timeout=deadline(request),
        on_question=handler,
        **given(request, "request_id"),
    ) as events:
        return {"events": [plain(event) async for event in events], "questions": handler.questions}


class Handler:
    """Answers questions as the request's `answers` say, and notes which came."""

    def __init__(self, request: Fields) -> None:
        self.client = client_of(request)
        self.answers: Fields = request.get("answers", {})
        self.questions: list[Fields] = []

    async def __call__(self, question: Question) -> Answer | None:
        self.questions.append(shown(question))
        wanted = self.answers.get(self.questions[-1]["kind"])
        if wanted == "allow":
            return answers.allow(question)
        if wanted == "deny":
            return answers.deny(question)
        if wanted == "decline":
            return answers.decline()
        if wanted == "race":
            # Somebody else is faster.
            await self.client.answer_question(question.session_key, question.question_id, answers.allow(question))
            return answers.deny(question)
        return None if wanted is None else answers.content(wanted["content"], is_error=wanted.get("is_error", False))


async def list_models(request: Fields) -> Fields:
    answer = await client_of(request).list_models(session_key=request["session_key"], timeout=deadline(request))
    current = f"{answer.current.provider}/{answer.current.model_id}" if answer.HasField("current") else ""
    return {"models": [f"{model.provider}/{model.model_id}" for model in answer.models], "current": current}


async def set_model(request: Fields) -> Fields:
    answer = await client_of(request).set_model(
        request["session_key"],
        request.get("model_id", ""),
        timeout=deadline(request),
        **given(request, "provider", "request_id"),
    )
    return {"model": answer.session.model, "replayed": answer.replayed}


async def list_commands(request: Fields) -> Fields:
    answer = await client_of(request).list_commands(request["session_key"], timeout=deadline(request))
    return {"commands": [command.name for command in answer.commands]}


async def execute_command(request: Fields) -> Fields:
    answer = await client_of(request).execute_command(
        request["session_key"],
        request["name"],
        request.get("arguments", ""),
        timeout=deadline(request),
        **given(request, "request_id"),
    )
    return {"turn_id": answer.turn.turn_id, "replayed": answer.replayed}


async def list_files(request: Fields) -> Fields:
    answer = await client_of(request).list_files(
        request["session_key"], request.get("path", ""), timeout=deadline(request)
    )
    return {"names": [entry.name for entry in answer.entries]}


async def read_file(request: Fields) -> Fields:
    answer = await client_of(request).read_file(
        request["session_key"], request["path"], timeout=deadline(request), **given(request, "offset", "limit")
    )
    return {"text": answer.data.decode(), "size": answer.size}


async def list_questions(request: Fields) -> Fields:
    states = [f"QUESTION_STATE_{state}" for state in request.get("states", ())]
    answer = await client_of(request).list_questions(
        states=states, timeout=deadline(request), **given(request, "session_key")
    )
    return {"questions": [shown(question) for question in answer.questions]}


async def get_question(request: Fields) -> Fields:
    answer = await client_of(request).get_question(
        request["session_key"], request["question_id"], timeout=deadline(request)
    )
    return shown(answer.question)


async def answer_question(request: Fields) -> Fields:
    answer = await client_of(request).answer_question(
        request["session_key"],
        request["question_id"],
        Answer(**given(request, "option_id", "content_json", "declined")),
        timeout=deadline(request),
        **given(request, "action_digest", "request_id"),
    )
    return {"state": shown(answer.question)["state"], "replayed": answer.replayed}


async def subscribe(request: Fields) -> Fields:
    cursor = None
    if "after_seq" in request or "log_id" in request:
        cursor = Cursor(request.get("log_id", ""), request.get("after_seq", 0))
    subscriptions[request["subscription"]] = client_of(request).subscribe(
        request["session_key"], cursor, **given(request, "from_oldest")
    )
    return {}


async def subscribe_many(request: Fields) -> Fields:
    sessions: dict[str, Cursor | Start] = {key: Cursor("", 0) for key in request["session_keys"]}
    subscriptions[request["subscription"]] = client_of(request).subscribe_many(sessions)
    return {}


async def next_events(request: Fields) -> Fields:
    times = request.get("times", 1)
    events: list[Fields] = []
    async for event in subscriptions[request["subscription"]]:
        events.append(plain(event))
        times -= events[-1]["kind"] == request["until"]
        if times == 0:
            return {"events": events, "ended": False}
    return {"events": events, "ended": True}


async def read_slowly(request: Fields) -> Fields:
    events = durable = 0
    async for event in subscriptions[request["subscription"]]:
        events += 1
        durable += event.seq > 0
        if event.WhichOneof("kind") == request["until"]:
            break
        await asyncio.sleep(request["pause_ms"] / 1000)
    return {"events": events, "durable": durable, "peak_buffered": HELD_UNREAD}


async def cursor(request: Fields) -> Fields:
    subscription = subscriptions[request["subscription"]]
    if isinstance(subscription, AsyncManySubscription):
        return {"cursors": {key: dataclasses.asdict(each) for key, each in subscription.cursors.items()}}
    return {"cursor": subscription.cursor and dataclasses.asdict(subscription.cursor)}


async def collect(request: Fields, items: AsyncIterator[Any], field: str) -> list[Any]:
    """What an iterator gives, or its first `at_most`."""
    found: list[Any] = []
    async for item in items:
        found.append(getattr(item, field))
        if len(found) == request.get("at_most"):
            break
    return found


async def all_sessions(request: Fields) -> Fields:
    sessions = client_of(request).all_sessions(timeout=deadline(request), **given(request, "page_size"))
    return {"session_keys": await collect(request, sessions, "session_key")}


async def all_turns(request: Fields) -> Fields:
    turns = client_of(request).all_turns(timeout=deadline(request), **given(request, "session_key", "page_size"))
    return {"turn_ids": await collect(request, turns, "turn_id")}


async def all_schedules(request: Fields) -> Fields:
    schedules = client_of(request).schedules.all(timeout=deadline(request), **given(request, "page_size"))
    return {"schedule_names": await collect(request, schedules, "schedule_name")}


async def all_schedule_runs(request: Fields) -> Fields:
    runs = client_of(request).schedules.all_runs(request["schedule_name"], **given(request, "page_size"))
    shown_runs = [readable(run) async for run in runs]
    return {"runs": [f"{run.trigger} {run.outcome}" for run in shown_runs]}


async def create_schedule(request: Fields) -> Fields:
    answer = await client_of(request).schedules.create(
        request["schedule_name"],
        request["session_key"],
        request["text"],
        cron=request["cron"],
        timeout=deadline(request),
        **given(request, "request_id"),
    )
    return {"replayed": answer.replayed, "owner": answer.schedule.owner}


async def run_schedule_now(request: Fields) -> Fields:
    answer = await client_of(request).schedules.run_now(request["schedule_name"], timeout=deadline(request))
    return {"session_key": answer.run.session_key, "turn_id": answer.run.turn_id}


async def delete_schedule(request: Fields) -> Fields:
    await client_of(request).schedules.delete(request["schedule_name"], timeout=deadline(request))
    return {}


async def create_webhook(request: Fields) -> Fields:
    answer = await client_of(request).webhooks.create(
        request["url"], timeout=deadline(request), **given(request, "request_id")
    )
    return {"webhook_id": answer.webhook.webhook_id, "secret": answer.secret, "replayed": answer.replayed}


async def all_webhooks(request: Fields) -> Fields:
    webhooks = client_of(request).webhooks.all(timeout=deadline(request), **given(request, "page_size"))
    return {"urls": await collect(request, webhooks, "url")}


async def delete_webhook(request: Fields) -> Fields:
    await client_of(request).webhooks.delete(request["webhook_id"], timeout=deadline(request))
    return {}


async def all_artifacts(request: Fields) -> Fields:
    artifacts = client_of(request).all_artifacts(request["session_key"], **given(request, "page_size"))
    return {"names": [artifact.attachment.name async for artifact in artifacts]}


async def close(request: Fields) -> Fields:
    await subscriptions.pop(request["subscription"]).close()
    return {}


async def remember(request: Fields) -> Fields:
    answer = await client_of(request).memory.remember(
        request["content"], timeout=deadline(request), **given(request, "namespace", "key", "request_id")
    )
    return {"id": answer.memory.id, "version": answer.memory.version}


async def search_memory(request: Fields) -> Fields:
    answer = await client_of(request).memory.search(
        request["query"], timeout=deadline(request), **given(request, "namespace", "limit")
    )
    return {"contents": [hit.memory.content for hit in answer.hits]}


async def forget(request: Fields) -> Fields:
    options = given(request, "namespace", "key", "hard", "request_id")
    if "memory_id" in request:
        options["id"] = request["memory_id"]
    answer = await client_of(request).memory.forget(timeout=deadline(request), **options)
    return {"forgotten": answer.forgotten}


OPERATIONS: Mapping[str, Operation] = {
    operation.__name__: operation
    for operation in (
        connect,
        who_am_i,
        enqueue,
        await_turn,
        steer,
        abort,
        reset,
        list_queue,
        chat,
        ask,
        run,
        list_models,
        set_model,
        list_commands,
        execute_command,
        list_files,
        read_file,
        list_questions,
        get_question,
        answer_question,
        subscribe,
        subscribe_many,
        read_slowly,
        cursor,
        all_sessions,
        all_turns,
        all_schedules,
        all_schedule_runs,
        create_schedule,
        run_schedule_now,
        delete_schedule,
        create_webhook,
        all_webhooks,
        delete_webhook,
        all_artifacts,
        close,
        remember,
        search_memory,
        forget,
    )
} | {"next": next_events}


def client_of(request: Fields) -> AsyncClient:
    return clients[request["client"]]


def deadline(request: Fields) -> float | None:
    return request["deadline_ms"] / 1000 if "deadline_ms" in request else None


def given(request: Fields, *names: str) -> Fields:
    return {name: request[name] for name in names if name in request}


def short(name: str, enum: str) -> str:
    return name.removeprefix(f"{enum}_")


def plain(event: GatewayEvent) -> Fields:
    kind = event.WhichOneof("kind") or ""
    text = ""
    if kind == "token":
        text = event.token.delta
    elif kind == "message_completed":
        text = event.message_completed.text
    elif kind == "turn_ended":
        text = short(TurnState.Name(event.turn_ended.turn.state), "TURN_STATE")
    return {
        "kind": kind,
        "session_key": event.session_key,
        "seq": event.seq,
        "after_seq": event.after_seq,
        "log_id": event.log_id,
        "turn_id": event.turn_id,
        "text": text,
    }


def shown(question: Question) -> Fields:
    return {
        "question_id": question.question_id,
        "session_key": question.session_key,
        "turn_id": question.turn_id,
        "kind": short(QuestionKind.Name(question.kind), "QUESTION_KIND"),
        "state": short(QuestionState.Name(question.state), "QUESTION_STATE"),
        "title": question.title,
        "tool_name": question.tool_name,
        "args_json": question.args_json,
        "action_digest": question.action_digest,
        "options": [option.option_id for option in question.options],
        "url": question.url,
        "content_json": question.answer.content_json,
        "answered_by": question.answered_by,
        "resolution": short(QuestionResolution.Name(question.resolution), "QUESTION_RESOLUTION"),
    }


def problem(error: QuarterdeckError) -> Fields:
    fields: Fields = {
        "type": type(error).__name__,
        "code": error.code.name,
        "reason": error.reason,
        "message": str(error),
        "metadata": dict(error.metadata),
    }
    if isinstance(error, TurnFailed):
        fields |= {"code": "", "state": error.state}
    if isinstance(error, errors.CursorVoid) and error.snapshot is not None:
        state = error.snapshot
        fields["snapshot"] = {
            "seq": state.seq,
            "log_id": state.log_id,
            "session_id": state.session.session_id,
            "generation": state.session.generation,
        }
    return fields


def write(fields: Fields) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


async def answer(request: Fields) -> None:
    try:
        write({"id": request["id"], "ok": await OPERATIONS[request["op"]](request)})
    except QuarterdeckError as error:
        write({"id": request["id"], "error": problem(error)})
    except Exception as error:  # a driver answers whatever happens
        wrong = {"type": type(error).__name__, "code": "INVALID_ARGUMENT", "reason": "", "message": str(error)}
        write({"id": request["id"], "error": wrong | {"metadata": {}}})


async def main() -> None:
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=LINE_MAX_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with contextlib.AsyncExitStack() as stack:
        tasks: set[asyncio.Task[None]] = set()
        async for line in lines:
            task = asyncio.create_task(answer(json.loads(line)))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for client in clients.values():
            stack.push_async_callback(client.close)


asyncio.run(main())
