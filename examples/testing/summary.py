"""A piece of somebody's product: it asks an agent, and waits for the answer."""

import json
import urllib.request
import uuid


class AgentFailed(Exception):
    """The turn ended without an answer."""


def summary(url: str, text: str, before: str = "") -> str:
    session = f"summary:{uuid.uuid4()}"
    turn = call(f"{url}/v1/sessions/{session}/turns", {"text": f"{before}Sum up: {text}"})["turn"]
    while turn["state"] in ("TURN_STATE_QUEUED", "TURN_STATE_RUNNING"):
        turn = call(f"{url}/v1/sessions/{session}/turns/{turn['turnId']}/await")["turn"]
    if turn["state"] != "TURN_STATE_COMPLETED":
        raise AgentFailed(turn["error"]["message"])
    return turn["responseText"]


def call(url: str, body: dict | None = None) -> dict:
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, body and json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)
