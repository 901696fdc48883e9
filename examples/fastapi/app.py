"""A back end that puts an agent behind routes of its own. The browser never sees the gateway's key.

QUARTERDECK_URL and QUARTERDECK_KEY name the gateway. Run: uvicorn app:app
"""

import os
import re
import uuid
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

GATEWAY = os.environ.get("QUARTERDECK_URL", "http://localhost:7777")
KEY = os.environ.get("QUARTERDECK_KEY")
# A stream is silent for as long as nothing happens; the gateway sends a comment each 15 s.
SILENCE_MAX_SECONDS = 60


@asynccontextmanager
async def lifespan(app: FastAPI):
    headers = {"authorization": f"Bearer {KEY}"} if KEY else {}
    timeout = httpx.Timeout(30, read=SILENCE_MAX_SECONDS)
    async with httpx.AsyncClient(base_url=GATEWAY, headers=headers, timeout=timeout) as client:
        app.state.gateway = client
        yield


app = FastAPI(lifespan=lifespan)


def user_of(request: Request) -> tuple[str, dict[str, str]]:
    """Who asks, and what the browser is told to remember. Yours knows by its own sign-in; here a cookie will do."""
    known = request.cookies.get("user", "")
    if re.fullmatch(r"[\w-]{1,64}", known):
        return known, {}
    user = str(uuid.uuid4())
    return user, {"set-cookie": f"user={user}; Path=/; HttpOnly; SameSite=Strict"}


def pass_on(answer: httpx.Response, cookie: dict[str, str]) -> Response:
    """Answers what the gateway answered: its errors say what to do (problem+json)."""
    kept = {name: answer.headers[name] for name in ("content-type", "retry-after") if name in answer.headers}
    return Response(answer.content, answer.status_code, {**kept, **cookie})


@app.post("/ask")
async def ask(request: Request):
    user, cookie = user_of(request)
    text = str((await request.json()).get("text", ""))
    # The browser's own id makes a repeated click safe: it never runs twice.
    once = {"idempotency-key": request.headers.get("idempotency-key") or str(uuid.uuid4())}
    turns = f"/v1/sessions/chat:{user}/turns"
    return pass_on(await request.app.state.gateway.post(turns, json={"text": text}, headers=once), cookie)


@app.post("/stop")
async def stop(request: Request):
    user, cookie = user_of(request)
    return pass_on(await request.app.state.gateway.post(f"/v1/sessions/chat:{user}/abort", json={}), cookie)


@app.get("/events")
async def events(request: Request):
    user, cookie = user_of(request)
    gateway = request.app.state.gateway
    # There must be something to listen to. One that is there already (409) is as good.
    await gateway.post("/v1/sessions", json={"sessionKey": f"chat:{user}"})
    headers = {"accept": "text/event-stream"}
    if seen := request.headers.get("last-event-id"):
        headers["last-event-id"] = seen
    called = gateway.build_request("GET", f"/v1/sessions/chat:{user}/events", headers=headers)
    stream = await gateway.send(called, stream=True)
    if stream.is_error:
        await stream.aread()
        return pass_on(stream, cookie)

    async def told():
        # The browser comes back with the id of the last event that it saw, whichever side was cut.
        try:
            async for part in stream.aiter_raw():
                yield part
        except httpx.TransportError:
            pass
        finally:
            await stream.aclose()

    headers = {"cache-control": "no-cache", "x-accel-buffering": "no", **cookie}
    return StreamingResponse(told(), media_type="text/event-stream", headers=headers)
