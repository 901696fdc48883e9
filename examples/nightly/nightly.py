"""A report each night: makes its schedule, or brings it up to date, so that running this twice does no harm.

Each night's report has a session of its own. Python alone is enough; the key needs the scopes session.read, session.write
and schedule.write. Run: python3 nightly.py          with --now it also runs once at once, and its answer is printed
"""

import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request

GATEWAY = os.environ.get("QUARTERDECK_URL", "http://localhost:7777")
KEY = os.environ.get("QUARTERDECK_KEY")
NAME = "nightly-report"
# How long one waits for a report that was asked for now.
WAIT_SECONDS = 600

SCHEDULE = {
    "spec": {"cron": "0 3 * * *", "timeZone": "Europe/Berlin"},
    "enqueue": {"text": os.environ.get("REPORT_PROMPT", "Report what changed since yesterday.")},
    "sessionMode": "SESSION_MODE_NEW",
    "keyTemplate": "report-{time}",
    # Where the server was off at three, it is made up for until noon.
    "missedWindow": "32400s",
}


def call(method: str, path: str, body: dict | None = None) -> dict:
    headers = {"content-type": "application/json"}
    if KEY:
        headers["authorization"] = f"Bearer {KEY}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(GATEWAY + path, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=WAIT_SECONDS + 30) as answer:
        return json.load(answer)


def schedule() -> dict:
    try:
        call("GET", f"/v1/schedules/{NAME}")
    except urllib.error.HTTPError as refused:
        if refused.code != 404:
            raise
        return call("POST", "/v1/schedules", {"schedule": {"scheduleName": NAME, **SCHEDULE}})["schedule"]
    return call("PATCH", f"/v1/schedules/{NAME}", SCHEDULE)["schedule"]


def report_now() -> str:
    run = call("POST", f"/v1/schedules/{NAME}/run", {})["run"]
    if run["outcome"] != "SCHEDULE_OUTCOME_STARTED":
        raise SystemExit(f"not run: {run['reason']}")
    session = urllib.parse.quote(run["sessionKey"], safe="")
    turn = call("GET", f"/v1/sessions/{session}/turns/{run['turnId']}/await?wait={WAIT_SECONDS}s")["turn"]
    return turn["responseText"] if turn["state"] == "TURN_STATE_COMPLETED" else f"{turn['state']}: {turn.get('error')}"


if __name__ == "__main__":
    try:
        print("next:", ", ".join(schedule()["nextTimes"][:3]))
        if "--now" in sys.argv[1:]:
            print(report_now())
    except urllib.error.HTTPError as refused:
        problem = json.load(refused)
        raise SystemExit(f"{problem.get('reason')}: {problem.get('detail')}") from None
