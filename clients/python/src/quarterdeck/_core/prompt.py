"""A prompt and how it is to be run."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from typing_extensions import TypedDict, Unpack

from quarterdeck.v1.gateway_pb2 import ClientTool, EnqueueRequest, OnBusy
from quarterdeck.v1.message_pb2 import Attachment
from quarterdeck.v1.turn_pb2 import OnInterrupt

from .values import Seconds, duration


class PromptOptions(TypedDict, total=False):
    """What may go with a prompt. The fields from ``agent`` on are for a session that the prompt creates."""

    attachments: Iterable[Attachment]
    """Files for the agent."""
    source: str
    """Where the input comes from, for people."""
    metadata: Mapping[str, str]
    """Facts of your own, kept with the turn."""
    request_id: str
    """Makes repeats of this call one; the client makes one itself for its own repeats."""
    on_busy: OnBusy | str
    """What to do while a turn is active or waiting, such as ``"ON_BUSY_REJECT"``. Default: wait in the queue."""
    on_interrupt: OnInterrupt | str
    """What a crash of the server does to the turn."""
    turn_timeout: Seconds
    """How long the turn may run. Default: an hour."""
    queue_ttl: Seconds
    """How long the turn may wait in the queue. Default: for ever."""
    output_schema: str
    """JSON Schema, as JSON text, that the turn is to answer by; ``ask`` sets it."""
    client_tools: Iterable[ClientTool]
    """Tools that you run, in place of the session's: what the model calls comes as questions of kind TOOL_CALL."""
    expected_generation: int
    """Refuses with ``GenerationMismatch`` where the session is in another generation."""
    agent: str
    """Agent. Default: the server's."""
    model: str
    """Model. Default: the agent's."""
    thinking_level: str
    """Thinking level. Default: the agent's."""
    labels: Mapping[str, str]
    """Labels to find it by."""
    cwd: str
    """Working directory; must lie where the server allows it."""
    display_name: str
    """Name for people."""
    memory_namespaces: Iterable[str]
    """Memory that it is given."""


def enqueue_request(session_key: str, text: str, **options: Unpack[PromptOptions]) -> EnqueueRequest:
    """The request, with a ``request_id`` that its repeats keep."""
    fields: dict[str, Any] = {**options}
    for name in ("turn_timeout", "queue_ttl"):
        fields[name] = duration(fields.get(name))
    request = EnqueueRequest(session_key=session_key, text=text, **fields)
    request.request_id = request.request_id or str(uuid.uuid4())
    return request
