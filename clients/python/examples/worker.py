"""A worker: `python worker.py AGENT [NAME]` runs the turns of an agent whose `driver` is `"worker"`, on this machine.

To be read and copied: `reply`, at the end, is the agent, all else is the protocol (docs/pages/workers.md), spoken by
the generated stubs alone. QUARTERDECK_ADDR and QUARTERDECK_KEY say where the gateway is. SIGTERM: takes nothing more,
finishes what it has and leaves; a second one ends it.

What keeps a turn from running twice: an agent is cancelled when `stop_after` has passed since the last heartbeat that
was answered was sent, and looks at that clock before each thing that it says. One that starts processes must end them
where it is cancelled, and needs somebody who ends them where this process itself stands still.
"""

import asyncio
import os
import random
import re
import signal
import sys
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import grpc

from quarterdeck.v1 import admin_pb2, question_pb2, turn_pb2
from quarterdeck.v1 import worker_pb2 as pb
from quarterdeck.v1.worker_pb2_grpc import WorkerServiceStub

CAPACITY = 4
FRAME_COST_BYTES = 256  # What each event counts for besides its own bytes.
KEPT_MAX = 1024  # Events that wait for their acknowledgement; an agent that has said more waits, too.
PAUSE_MAX_SECONDS, ANSWER_SECONDS = 5.0, 10.0
# A gateway that answers a registration so will answer the next one so, too.
FINAL = ("INVALID_ARGUMENT", "PERMISSION_DENIED", "UNAUTHENTICATED", "UNIMPLEMENTED")
CAN = admin_pb2.AgentCapabilities(steer=True, soft_cancel=True, questions=True, deny_continues=True, resume=True)


def now() -> float:  # By a clock that nobody sets.
    return asyncio.get_running_loop().time()


class Link:
    def __init__(self) -> None:
        # Bounded by the credit of each assignment.
        self.out: asyncio.Queue[pb.ConnectRequest] = asyncio.Queue()
        self.registered = pb.WorkerRegistered()
        self.beats: dict[int, float] = {}
        self.heard = now()

    def send(self, **frame: Any) -> None:
        self.out.put_nowait(pb.ConnectRequest(**frame))

    async def requests(self) -> AsyncIterator[pb.ConnectRequest]:
        while True:
            yield await self.out.get()


class Turn:
    """One assignment: what its agent is told, and what it says."""

    def __init__(self, worker: "Worker", assign: pb.WorkerAssign, link: Link) -> None:
        self.assign = assign
        self.token = assign.lease_token
        self.steers: deque[pb.WorkerSteer] = deque()
        self._acknowledged = 0
        self._worker = worker
        self._link: Link | None = link
        self._last = 0
        self._kept: deque[tuple[int, pb.ConnectRequest]] = deque()
        self._queue: deque[pb.ConnectRequest] = deque()
        self._moved = asyncio.Event()
        self._open: list[str] = []
        self._open_bytes = 0
        self._sent = self._taken = 0
        self._applied: set[str] = set()
        self._answers: dict[str, asyncio.Future[question_pb2.Answer]] = {}
        self._aborted = self._stopping = self.ended = False
        self._tell: Link | None = None
        self._put(accepted=pb.WorkerAccepted(lease_token=self.token))
        self._agent = asyncio.create_task(worker.agent(self))
        self._task = asyncio.create_task(self._run())

    # --- for the agent ---

    async def say(self, durable: bool = True, **event: Any) -> None:
        """Says something, and waits until it is on its way. What is durable has a number and is kept until it is
        acknowledged; the text of an open message is said again after a cut, and nothing else."""
        if now() >= self._worker.fence:
            # This process may have stood still until now.
            raise asyncio.CancelledError
        frame = self._number() if durable else 0
        self._put(frame, agent_event=pb.WorkerEvent(lease_token=self.token, frame=frame, **event))
        while self._queue or len(self._kept) >= KEPT_MAX:
            self._moved.clear()
            await self._moved.wait()

    async def begin(self) -> None:
        """Opens a message of one block of text."""
        await self.say(message_started=pb.AgentMessageStarted())

    async def text(self, delta: str) -> None:
        """More text of the open message, at most 256 KiB."""
        offset = self._open_bytes
        self._open.append(delta)
        self._open_bytes += len(delta.encode())
        await self.say(durable=False, text_delta=pb.AgentDelta(offset=offset, delta=delta))

    async def end(self) -> None:
        """Closes the open message. Its whole text replaces the deltas."""
        blocks = [pb.AgentTextBlock(text="".join(self._open))] if self._open else []
        self._open, self._open_bytes = [], 0
        await self.say(message_completed=pb.AgentMessageCompleted(blocks=blocks))

    async def tool(self, call_id: str, name: str, result_json: str) -> None:
        await self.say(tool_started=pb.AgentToolStarted(tool_call_id=call_id, tool_name=name, args_json="{}"))
        await self.say(tool_completed=pb.AgentToolCompleted(tool_call_id=call_id, result_json=result_json))

    async def ask(self, ask_id: str, title: str, tool_name: str) -> bool:
        """Asks for a permission. False where it is denied, or nobody is there to say."""
        answer = self._answers[ask_id] = asyncio.get_running_loop().create_future()
        asked = pb.AgentAsked(ask_id=ask_id, title=title, tool_name=tool_name, args_json="{}")
        asked.kind = question_pb2.QUESTION_KIND_PERMISSION
        asked.options.add(option_id="allow", label="Allow", effect=question_pb2.OPTION_EFFECT_ALLOW_ONCE)
        asked.options.add(option_id="deny", label="Deny", effect=question_pb2.OPTION_EFFECT_DENY_ONCE)
        await self.say(asked=asked)
        answered = await answer
        await self.say(answer_taken=pb.AgentAnswerTaken(ask_id=ask_id))
        return not answered.declined and answered.option_id == "allow"

    # --- for the connection ---

    def held(self) -> pb.WorkerHeldLease:
        held = pb.WorkerHeldLease(turn_id=self.assign.turn_id, attempt=self.assign.attempt, lease_token=self.token)
        held.last_acked_frame = self._acknowledged
        return held

    def cut(self) -> None:
        """The connection is gone. What is kept goes over the next one."""
        self._link = None
        self._queue.clear()
        self._moved.set()

    def resume(self, link: Link, from_frame: int) -> None:
        self._link = link
        self._sent = self._taken = 0
        self._queue = deque(request for frame, request in self._kept if frame >= from_frame)
        if self._open:
            delta = pb.AgentDelta(offset=0, delta="".join(self._open))
            event = pb.WorkerEvent(lease_token=self.token, text_delta=delta)
            self._queue.append(pb.ConnectRequest(agent_event=event))
        self._pump()

    def acknowledge(self, ack: pb.WorkerAck) -> None:
        while self._kept and self._kept[0][0] <= ack.frame:
            self._acknowledged = self._kept.popleft()[0]
        self._taken = max(self._taken, ack.taken_bytes)
        self._pump()
        if self.ended and not self._kept:
            self._worker.forget(self.token)

    def command(self, kind: str, command: Any) -> None:
        """A steer, an answer or an abort: it may come again after a cut, and is applied once."""
        self._put(applied=pb.WorkerApplied(lease_token=self.token, command_id=command.command_id))
        if command.command_id in self._applied:
            return
        self._applied.add(command.command_id)
        if kind == "steer":
            self.steers.append(command)
        elif kind == "answer":
            asked = self._answers.pop(command.ask_id, None)
            if asked is not None and not asked.done():
                asked.set_result(command.answer)
        elif kind == "abort" and not self.ended:
            self._aborted = True
            self._agent.cancel()

    def stop(self, link: Link | None = None) -> None:
        """Ends the agent, whose lease could be given away, or is; then `link` is who is told that it has ended."""
        self._stopping, self._tell = True, link
        self._agent.cancel()
        if self.ended:
            self._gone()

    def _gone(self) -> None:
        if self._tell:
            self._tell.send(stopped=pb.WorkerStopped(lease_token=self.token, frame=self._last + 1))
        self._worker.forget(self.token)

    async def _run(self) -> None:
        await asyncio.wait([self._agent])
        if self._stopping or (self._agent.cancelled() and not self._aborted):
            return self._gone()
        frame = self._number()
        self.ended = True
        completed = pb.WorkerCompleted(lease_token=self.token, frame=frame)
        if self._agent.cancelled():
            return self._put(frame, stopped=pb.WorkerStopped(lease_token=self.token, frame=frame))
        if problem := self._agent.exception():
            completed.outcome, completed.message = pb.WORKER_OUTCOME_FAILED, str(problem) or repr(problem)
        else:
            completed.outcome, completed.stop_reason = pb.WORKER_OUTCOME_COMPLETED, turn_pb2.STOP_REASON_STOP
        return self._put(frame, completed=completed)

    def _number(self) -> int:
        self._last += 1
        return self._last

    def _put(self, number: int = 0, **frame: Any) -> None:
        request = pb.ConnectRequest(**frame)
        if number:
            self._kept.append((number, request))
        if self._link:
            self._queue.append(request)
        self._pump()

    def _pump(self) -> None:
        """Sends what there is credit for; what is larger than all of it goes alone."""
        while self._link and self._queue:
            request = self._queue[0]
            cost = request.ByteSize() + FRAME_COST_BYTES if request.HasField("agent_event") else 0
            ahead = self._sent - self._taken
            if cost and ahead > 0 and ahead + cost > self._link.registered.credit_bytes:
                return
            self._sent += cost
            self._link.out.put_nowait(self._queue.popleft())
        self._moved.set()


class Worker:
    """Holds the connection, and gives each turn to the agent."""

    def __init__(self, name: str, agent_name: str, agent: Callable[[Turn], Coroutine[Any, Any, None]]) -> None:
        self.name = name
        self.agent_name = agent_name
        self.agent = agent
        self.fence = 0.0
        self._incarnation = uuid.uuid4().hex
        self._turns: dict[str, Turn] = {}
        self._link: Link | None = None
        self._call: Any = None
        self._leaving = False

    async def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.leave)
        pause = 0.1
        while self._turns or not self._leaving:
            began = now()
            try:
                await self._connection()
            except grpc.aio.AioRpcError as error:
                if error.code().name in FINAL and self._link is None:
                    raise SystemExit(error.details()) from None
            except asyncio.CancelledError:
                pass  # Our own cut.
            self._link = None
            for turn in self._turns.values():
                turn.cut()
            pause = 0.1 if now() - began > PAUSE_MAX_SECONDS else min(2 * pause, PAUSE_MAX_SECONDS)
            # Workers that lost the same gateway should not come back at once.
            await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311

    def leave(self) -> None:
        if self._leaving:
            os._exit(143)
        self._leaving = True
        if self._link:
            self._link.send(leaving=pb.WorkerLeaving())
        self.forget()

    def forget(self, token: str = "") -> None:
        self._turns.pop(token, None)
        if self._leaving and not self._turns and self._call:
            self._call.cancel()

    async def _connection(self) -> None:
        link = Link()
        register = pb.WorkerRegister(worker_name=self.name, incarnation=self._incarnation, capacity=CAPACITY)
        register.agents.add(name=self.agent_name, capabilities=CAN)
        register.held.extend(turn.held() for turn in self._turns.values())
        link.send(register=register)
        sent = now()
        beating = None
        async with self._channel() as channel:
            key = os.environ.get("QUARTERDECK_KEY", "").strip()
            metadata = (("authorization", f"Bearer {key}"),) if key else ()
            stub: Any = WorkerServiceStub(channel)  # type: ignore[no-untyped-call]
            call = self._call = stub.Connect(link.requests(), metadata=metadata)
            asyncio.get_running_loop().call_later(ANSWER_SECONDS, lambda: self._link is link or call.cancel())
            try:
                async for response in call:
                    link.heard = now()
                    kind = response.WhichOneof("frame")
                    if kind == "registered":
                        link.registered = response.registered
                        self._link = link
                        self._allow(link, sent)
                        if self._leaving:
                            link.send(leaving=pb.WorkerLeaving())
                        beating = asyncio.create_task(self._beat(link, call))
                    elif kind:
                        self._take(link, kind, getattr(response, kind))
            finally:
                if beating:
                    beating.cancel()

    def _channel(self) -> grpc.aio.Channel:
        address = os.environ.get("QUARTERDECK_ADDR", "http://127.0.0.1:7777")
        scheme, _, target = address.rpartition("://")
        # No channel is used twice: each has its own connection.
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1))
        if scheme == "https":
            return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(), options=options)
        return grpc.aio.insecure_channel(target, options=options)

    async def _beat(self, link: Link, call: Any) -> None:
        pause = link.registered.heartbeat.ToTimedelta().total_seconds() / 2
        number = 0
        while True:
            await asyncio.sleep(pause)
            if now() - link.heard > 4 * pause:
                call.cancel()  # Silent, without an end: another connection may do better.
                return
            number += 1
            link.beats[number] = now()
            link.send(heartbeat=pb.WorkerHeartbeat(number=number))

    def _allow(self, link: Link, sent: float) -> None:
        """There was contact: what was sent then was heard, no earlier. Agents may run on from there."""
        self.fence = sent + link.registered.stop_after.ToTimedelta().total_seconds()
        asyncio.get_running_loop().call_at(self.fence + 0.001, self._look_at_fence)

    def _look_at_fence(self) -> None:
        for turn in list(self._turns.values()):
            if now() >= self.fence and not turn.ended:
                turn.stop()

    def _take(self, link: Link, kind: str, frame: Any) -> None:
        token = getattr(frame, "lease_token", "")
        held = self._turns.get(token)
        if kind == "ping" and frame.heartbeat in link.beats:
            self._allow(link, link.beats.pop(frame.heartbeat))
        elif kind == "assign" and not self._leaving and len(self._turns) < 2 * CAPACITY:
            self._turns[token] = Turn(self, frame, link)
        elif kind == "assign":
            link.send(rejected=pb.WorkerRejected(lease_token=token, reason="there is no room"))
        elif kind == "terminate":
            self._leaving = True
            for turn in list(self._turns.values()):
                turn.stop(link)
            self.forget()
        elif held is None:
            if kind == "resume":  # It has ended meanwhile.
                link.send(stopped=pb.WorkerStopped(lease_token=token, frame=2**63 - 1))
        elif kind == "ack":
            held.acknowledge(frame)
        elif kind != "resume":
            held.command(kind, frame)
        elif frame.action == pb.WORKER_RESUME_ACTION_CONTINUE:
            held.resume(link, frame.from_frame)
        else:
            held.stop(link)


async def reply(turn: Turn) -> None:
    """The agent: says its prompt back, word by word. A first word asks for something else, as tests need it."""
    word, _, rest = turn.assign.text.partition(" ")
    text = rest
    if word == "!hang":
        await asyncio.Event().wait()
    elif word == "!fail":
        raise RuntimeError(rest)
    elif word == "!tool":
        await turn.tool("call_1", rest, '{"text": "done"}')
    elif word == "!ask":
        text = "allowed" if await turn.ask("ask_1", f"Run {rest}?", rest) else "denied"
    elif word == "!history":
        text = str(turn.assign.user_messages_before)
    elif word == "!endless":
        text = "word " * 1_000_000
    elif word != "!slow":
        text = turn.assign.text
    await turn.begin()
    for piece in re.findall(r"\S+\s*|\s+", text):
        await asyncio.sleep(0.1 if word == "!slow" else 0.001)
        while turn.steers:
            steer = turn.steers.popleft()
            await turn.say(steer_applied=pb.AgentSteerApplied(steer_id=steer.command_id))
            await turn.text(f"[steer: {steer.text}] ")
        await turn.text(piece)
    await turn.end()


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        raise SystemExit(__doc__)
    asyncio.run(Worker(sys.argv[2] if len(sys.argv) > 2 else "python", sys.argv[1], reply).run())
