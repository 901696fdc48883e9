"""Feeds a session with the lines of standard input, and waits where its queue is full.

Each line gets one id for all its tries, so that a try whose answer was lost is repeated safely. Python alone is enough.
Run: python3 worker.py SESSION < prompts.txt
"""

import json
import os
import random
import sys
import time
import urllib.error
import urllib.request
import uuid

GATEWAY = os.environ.get("QUARTERDECK_URL", "http://localhost:7777")
KEY = os.environ.get("QUARTERDECK_KEY")
# A server that is away, or full, for longer than that is somebody's to look at.
PATIENCE_SECONDS = 600


def post(path: str, body: dict, once: str) -> dict:
    headers = {"content-type": "application/json", "idempotency-key": once}
    if KEY:
        headers["authorization"] = f"Bearer {KEY}"
    request = urllib.request.Request(GATEWAY + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def enqueue(session: str, text: str) -> str:
    """Returns the turn's id, once the gateway has taken it for good."""
    once = str(uuid.uuid4())
    give_up = time.monotonic() + PATIENCE_SECONDS
    wait = 0.25
    while True:
        try:
            return post(f"/v1/sessions/{session}/turns", {"text": text}, once)["turn"]["turnId"]
        except urllib.error.HTTPError as refused:
            problem = json.load(refused)
            # 429 and 503 pass; what else is refused stays so.
            if refused.code not in (429, 503) or time.monotonic() > give_up:
                raise SystemExit(f"{problem.get('reason')}: {problem.get('detail')}") from None
            pause, why = float(refused.headers.get("retry-after") or wait), problem.get("reason")
        except (urllib.error.URLError, TimeoutError) as lost:
            if time.monotonic() > give_up:
                raise SystemExit(f"the gateway is away: {lost}") from None
            pause, why = wait, "the gateway is away"
        # Everybody who waits should not come back at once.
        pause *= random.uniform(1, 1.5)
        print(f"{why}: again in {pause:.1f} s", file=sys.stderr)
        time.sleep(pause)
        wait = min(wait * 2, 30)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    for line in sys.stdin:
        if line.strip():
            print(enqueue(sys.argv[1], line.strip()), flush=True)
