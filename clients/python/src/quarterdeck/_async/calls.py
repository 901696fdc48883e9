"""Calls that are safe to repeat: the channel, deadlines, and what is tried again."""

from __future__ import annotations

import functools
import os
import time
import uuid
import weakref
from typing import Any, TypeVar

import grpc

from quarterdeck._core.endpoint import Endpoint
from quarterdeck._core.retry import FOREVER, Reach, Retry, explain
from quarterdeck._core.status import error_of
from quarterdeck.v1 import (
    admin_pb2_grpc,
    gateway_pb2_grpc,
    memory_pb2_grpc,
    model_pb2_grpc,
    schedule_pb2_grpc,
    webhook_pb2_grpc,
)

from . import io

Response = TypeVar("Response")

_STUBS: dict[str, Any] = {
    "gateway": gateway_pb2_grpc.GatewayServiceStub,
    "memory": memory_pb2_grpc.MemoryServiceStub,
    "models": model_pb2_grpc.ModelServiceStub,
    "admin": admin_pb2_grpc.AdminServiceStub,
    "schedules": schedule_pb2_grpc.ScheduleServiceStub,
    "webhooks": webhook_pb2_grpc.WebhookServiceStub,
}


class AsyncStub:
    """The generated stub of one service; its calls carry the client's key. Nothing is tried again."""

    def __init__(self, stub: Any, metadata: tuple[tuple[str, str], ...]) -> None:
        self._stub = stub
        self._metadata = metadata

    def __getattr__(self, rpc: str) -> Any:
        return functools.partial(getattr(self._stub, rpc), metadata=self._metadata)


class AsyncConnection:
    """One lazy connection to a server, and how calls over it are repeated. Shared by all parts of a client."""

    def __init__(self, endpoint: Endpoint, timeout: float, patience: float) -> None:
        self.endpoint = endpoint
        self.timeout = timeout
        self.patience = patience
        self.reach = Reach(endpoint.address)
        self.streams: weakref.WeakSet[Any] = weakref.WeakSet()
        """Those that may be open; they end with the connection."""
        self._closed = False
        self._channel: Any = None
        self._process = 0
        self._stubs: dict[str, AsyncStub] = {}

    def stub(self, service: str) -> AsyncStub:
        """The stub of `gateway`, `memory`, `models`, `admin`, `schedules` or `webhooks`."""
        if self._closed:
            raise RuntimeError("the client is closed")
        if self._channel is None:
            # Not earlier: an asyncio channel belongs to the loop that runs, and no channel survives a fork.
            self._channel = io.open_channel(self.endpoint)
            self._process = os.getpid()
        elif self._process != os.getpid():
            raise RuntimeError("the connection was made before a fork; make a new client in each process")
        if service not in self._stubs:
            self._stubs[service] = AsyncStub(_STUBS[service](self._channel), self.endpoint.metadata)
        return self._stubs[service]

    async def call(
        self, service: str, rpc: str, request: Any, response: type[Response], timeout: float | None
    ) -> Response:
        """Calls until there is an answer worth giving back, or patience or the deadline ends."""
        if "request_id" in request.DESCRIPTOR.fields_by_name and not request.request_id:
            request.request_id = str(uuid.uuid4())
        method = getattr(self.stub(service), rpc)
        until = time.monotonic() + (self.timeout if timeout is None else timeout)
        retry = Retry(self.reach, self.patience)
        while True:
            left = until - time.monotonic()
            try:
                answer = await method(request, timeout=None if left == FOREVER else max(left, 0.0))
            except grpc.RpcError as raised:
                error = error_of(raised)
            else:
                retry.worked()
                assert isinstance(answer, response)
                return answer
            pause = retry.pause(error, time.monotonic(), until)
            if pause is None:
                raise explain(error, self.reach)
            await io.sleep(pause)

    async def close(self) -> None:
        """Closes the connection; what runs is cancelled."""
        self._closed = True
        for stream in list(self.streams):
            await stream.close()
        if self._channel is not None and self._process == os.getpid():
            await self._channel.close()


class AsyncCalls:
    """Calls of one part of a client."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
