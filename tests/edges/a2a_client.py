"""What another agent does with the official A2A library for Python, over its three bindings. Run: a2a_client.py ADDRESS"""

import asyncio
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue

import grpc
import httpx
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.types import a2a_pb2 as pb
from a2a.utils import errors
from google.protobuf.json_format import ParseDict

ADDRESS = sys.argv[1]
S = pb.TaskState


def message(text, number=[0], **also):
    number[0] += 1
    parts = [pb.Part(text=text)] if isinstance(text, str) else text
    return pb.SendMessageRequest(
        message=pb.Message(message_id=f"py-{os.getpid()}-{number[0]}", role=pb.ROLE_USER, parts=parts, **also)
    )


async def read(stream):
    """What a client has of a task when its stream ends."""
    task, states, text, asked = None, [], "", None
    async for event in stream:
        kind = event.WhichOneof("payload")
        if kind == "task":
            task = event.task
        elif kind == "status_update":
            states.append(event.status_update.status.state)
            asked = event.status_update.status.message
        elif kind == "artifact_update":
            piece = event.artifact_update.artifact.parts[0].text
            text = text + piece if event.artifact_update.append else piece
        assert task is not None, f"first {event}"
    return task, states, text, asked


async def raises(kind, call):
    try:
        await call
    except kind:
        return
    raise AssertionError(f"no {kind.__name__}")


class Receiver(ThreadingHTTPServer):
    """An address that takes pushes, the first one at its second try."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Push)
        self.arrived = Queue()
        self.answers = [503]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/push"


class Push(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.arrived.put((dict(self.headers), ParseDict(body, pb.StreamResponse())))
        self.send_response(self.server.answers.pop() if self.server.answers else 204)
        self.end_headers()

    def log_message(self, *_):
        pass


async def pushed(client, name):
    receiver = Receiver()
    request = message("hello there")
    request.configuration.return_immediately = True
    push = request.configuration.task_push_notification_config
    push.url, push.token = receiver.url, "a-token"
    push.authentication.scheme, push.authentication.credentials = "Basic", "YTpi"
    task, *_ = await read(client.send_message(request))
    states, ids = [], []
    while not states or states[-1] != S.TASK_STATE_COMPLETED:
        headers, told = await asyncio.to_thread(receiver.arrived.get, timeout=20)
        headers = {key.lower(): value for key, value in headers.items()}
        assert (headers["x-a2a-notification-token"], headers["authorization"]) == ("a-token", "Basic YTpi"), headers
        kind = told.WhichOneof("payload")
        states.append(getattr(told, kind).status.state)
        ids.append(headers["webhook-id"])
    submitted = S.TASK_STATE_SUBMITTED
    assert states == [submitted, submitted, S.TASK_STATE_WORKING, S.TASK_STATE_COMPLETED], states
    assert ids[0] == ids[1] and len(set(ids)) == 3, ids
    assert told.task.id == task.id and told.task.artifacts[0].parts[0].text == "hello there"

    request = message("!hang x")
    request.configuration.return_immediately = True
    stream = client.send_message(request)
    async for event in stream:
        task = event.task
        break
    await stream.aclose()
    made = await client.create_task_push_notification_config(
        pb.TaskPushNotificationConfig(task_id=task.id, id="mine", url=receiver.url)
    )
    assert (made.id, made.task_id, made.url) == ("mine", task.id, receiver.url)
    named = {"task_id": task.id, "id": "mine"}
    get = pb.GetTaskPushNotificationConfigRequest(**named)
    assert await client.get_task_push_notification_config(get) == made
    every = pb.ListTaskPushNotificationConfigsRequest(task_id=task.id)
    assert list((await client.list_task_push_notification_configs(every)).configs) == [made]
    await client.delete_task_push_notification_config(pb.DeleteTaskPushNotificationConfigRequest(**named))
    await raises(errors.TaskNotFoundError, client.get_task_push_notification_config(get))
    assert not (await client.list_task_push_notification_configs(every)).configs
    await client.cancel_task(pb.CancelTaskRequest(id=task.id))
    receiver.shutdown()
    print(f"ok {name} push")


async def with_binding(name, http):
    card = await A2ACardResolver(http, f"{ADDRESS}/a2a/echo").get_agent_card()
    assert {it.protocol_binding for it in card.supported_interfaces} == {"JSONRPC", "HTTP+JSON", "GRPC"}
    config = ClientConfig(
        streaming=True,
        httpx_client=http,
        grpc_channel_factory=grpc.aio.insecure_channel,
        supported_protocol_bindings=[name],
    )
    client = ClientFactory(config).create(card)

    task, states, text, _ = await read(client.send_message(message("!tool=calculator !delay=10ms one two")))
    assert (states[0], states[-1], text) == (S.TASK_STATE_WORKING, S.TASK_STATE_COMPLETED, "one two"), states
    print(f"ok {name} stream")

    known = await client.get_task(pb.GetTaskRequest(id=task.id))
    assert known.status.state == S.TASK_STATE_COMPLETED and known.artifacts[0].parts[0].text == "one two"
    listed = await client.list_tasks(pb.ListTasksRequest(context_id=task.context_id))
    assert (listed.total_size, listed.tasks[0].id) == (1, task.id)
    print(f"ok {name} get and list")

    await raises(errors.TaskNotFoundError, client.get_task(pb.GetTaskRequest(id="nothing")))
    await raises(errors.TaskNotCancelableError, client.cancel_task(pb.CancelTaskRequest(id=task.id)))
    await raises(errors.UnsupportedOperationError, read(client.subscribe(pb.SubscribeToTaskRequest(id=task.id))))
    print(f"ok {name} refusals")

    task, states, _, asked = await read(client.send_message(message("!ask=bash then")))
    assert states[-1] == S.TASK_STATE_INPUT_REQUIRED
    assert any(part.HasField("data") for part in asked.parts), asked
    also = {"task_id": task.id, "context_id": task.context_id}
    _, states, text, _ = await read(client.send_message(message("yes", **also)))
    assert states[-1] == S.TASK_STATE_COMPLETED and "then" in text
    print(f"ok {name} approval")

    request = message("!hang x")
    request.configuration.return_immediately = True
    stream = client.send_message(request)
    async for event in stream:
        task = event.task
        break
    await stream.aclose()
    follower = asyncio.create_task(read(client.subscribe(pb.SubscribeToTaskRequest(id=task.id))))
    await asyncio.sleep(0)
    canceled = await client.cancel_task(pb.CancelTaskRequest(id=task.id))
    assert canceled.status.state == S.TASK_STATE_CANCELED
    try:
        _, states, _, _ = await follower
        assert states[-1] == S.TASK_STATE_CANCELED
    except errors.UnsupportedOperationError:
        pass  # It was over before somebody subscribed.
    print(f"ok {name} cut, subscribe and cancel")

    file = [pb.Part(text="look"), pb.Part(raw=b"hi", filename="a.txt", media_type="text/plain")]
    _, states, _, _ = await read(client.send_message(message(file)))
    assert states[-1] == S.TASK_STATE_COMPLETED
    print(f"ok {name} file")
    await pushed(client, name)


async def main():
    async with httpx.AsyncClient(timeout=30) as http:
        for name in ["JSONRPC", "HTTP+JSON", "GRPC"]:
            await with_binding(name, http)


asyncio.run(main())
