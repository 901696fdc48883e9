"""A Slack bot: who mentions it in a channel is answered there. Each channel is a session of its own.

Slack posts mentions to the gateway, whose webhook in makes a turn of each; the gateway posts the turn's end to this bot,
which reads the answer and puts it into the channel. Nothing is lost where the bot or Slack is away: the gateway tries
again until it is taken. Python alone is enough.

1. In Slack's app: the scopes app_mentions:read and chat:write, and the event app_mention alone, so that the bot does not
   answer itself; the request URL is https://YOUR-GATEWAY/webhooks/slack.
2. In the gateway's configuration:

       [webhooks.slack]
       kind = "slack"
       secrets = { now = "Slack's signing secret" }
       principal = "default/slack"
       session_key = "slack:{/event/channel}"
       text = "{/event/text}"

3. A key for the bot: quarterdeck keys create --subject slack --scopes session.read,webhook.write
4. Run: SLACK_BOT_TOKEN=xoxb-… BOT_SECRET=whsec_… BOT_URL=https://bot.example.org python3 bot.py
   BOT_SECRET is yours to make: printf whsec_; head -c 32 /dev/urandom | base64
"""

import base64
import hashlib
import hmac
import json
import os
import time
import urllib.parse
import urllib.request
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GATEWAY = os.environ.get("QUARTERDECK_URL", "http://localhost:7777")
KEY = os.environ.get("QUARTERDECK_KEY")
SLACK = os.environ.get("SLACK_API", "https://slack.com/api")
TOKEN = os.environ["SLACK_BOT_TOKEN"]
SECRET = os.environ["BOT_SECRET"]
# A delivery that is older was kept back by somebody.
AGE_MAX_SECONDS = 300
BODY_MAX_BYTES = 1 << 20
# The same delivery may come again; so many are remembered.
SEEN_MAX = 1000
seen: deque[str] = deque(maxlen=SEEN_MAX)


def call(method: str, url: str, key: str | None, body: dict | None = None) -> dict:
    headers = {"content-type": "application/json; charset=utf-8"}
    if key:
        headers["authorization"] = f"Bearer {key}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    # The gateway waits 10 s for a delivery's answer.
    with urllib.request.urlopen(request, timeout=8) as answer:
        return json.load(answer)


def is_signed(headers, body: bytes) -> bool:
    """Standard Webhooks; any of its libraries does the same."""
    moment = headers.get("webhook-timestamp", "")
    if not moment.isdigit() or abs(time.time() - int(moment)) > AGE_MAX_SECONDS:
        return False
    signed = f"{headers['webhook-id']}.{moment}.".encode() + body
    made = hmac.new(base64.b64decode(SECRET.removeprefix("whsec_")), signed, hashlib.sha256).digest()
    ours = "v1," + base64.b64encode(made).decode()
    return any(hmac.compare_digest(ours, theirs) for theirs in headers.get("webhook-signature", "").split())


def answer(told: dict) -> None:
    """Puts what a turn came to into its channel."""
    key = told["sessionKey"]
    path = f"/v1/sessions/{urllib.parse.quote(key, safe='')}/turns/{told['turnId']}"
    turn = call("GET", GATEWAY + path, KEY)["turn"]
    text = turn["responseText"] if turn["state"] == "TURN_STATE_COMPLETED" else "Sorry, that did not work."
    said = call("POST", f"{SLACK}/chat.postMessage", TOKEN, {"channel": key.removeprefix("slack:"), "text": text})
    if not said.get("ok"):
        raise RuntimeError(f"Slack did not take it: {said.get('error')}")


class Bot(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length) if length <= BODY_MAX_BYTES else b""
        if not is_signed(self.headers, body):
            self.send_error(401)
            return
        delivery = self.headers["webhook-id"]
        try:
            if delivery not in seen:
                answer(json.loads(body)["data"])
                seen.append(delivery)
            self.send_response(204)
            self.end_headers()
        except (OSError, RuntimeError) as problem:
            # The gateway tries again.
            print(problem, flush=True)
            self.send_error(503)


def listen_to(url: str) -> None:
    """Makes the webhook, or the one of before is told the secret of now."""
    webhook = {"url": url, "kinds": ["turn_ended"], "filter": {"sessionKeyPrefix": "slack:"}}
    there = call("GET", f"{GATEWAY}/v1/webhooks?page_size=1000", KEY).get("webhooks", [])
    for old in there:
        if old["url"] == url:
            body = {"webhook": webhook, "updateMask": "kinds,filter", "secrets": [SECRET]}
            call("PATCH", f"{GATEWAY}/v1/webhooks/{old['webhookId']}", KEY, body)
            return
    call("POST", f"{GATEWAY}/v1/webhooks", KEY, {"webhook": webhook, "secrets": [SECRET]})


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8010"))), Bot)
    here = f"http://127.0.0.1:{server.server_port}"
    listen_to(os.environ.get("BOT_URL", here + "/"))
    print(f"listening on {here}", flush=True)
    server.serve_forever()
