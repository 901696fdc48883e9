"""The official libraries of Python: as libraries.mjs, line by line."""

import json
import sys
from datetime import datetime, timezone

import stripe
from slack_sdk.signature import SignatureVerifier
from standardwebhooks.webhooks import Webhook
from svix.webhooks import Webhook as Svix


class Clock:
    """Slack's verifier takes the time from here."""

    def now(self):
        return datetime.now(timezone.utc).timestamp()


def specified(library):
    """A library of the Standard Webhooks specification."""

    def sign(asked):
        moment = datetime.fromtimestamp(asked["time"], timezone.utc)
        return {
            "webhook-id": asked["id"],
            "webhook-timestamp": str(asked["time"]),
            "webhook-signature": library(asked["secret"]).sign(asked["id"], moment, asked["body"]),
        }

    def verify(asked):
        library(asked["secret"]).verify(asked["body"], asked["headers"])
        return True

    return sign, verify


def stripe_sign(asked):
    signed = f"{asked['time']}.{asked['body']}"
    made = stripe.WebhookSignature._compute_signature(signed, asked["secret"])
    return {"stripe-signature": f"t={asked['time']},v1={made}"}


def stripe_verify(asked):
    header = asked["headers"]["stripe-signature"]
    stripe.WebhookSignature.verify_header(asked["body"], header, asked["secret"], 300)
    return True


def slack_sign(asked):
    time = str(asked["time"])
    made = SignatureVerifier(asked["secret"]).generate_signature(timestamp=time, body=asked["body"])
    return {"x-slack-request-timestamp": time, "x-slack-signature": made}


def slack_verify(asked):
    headers = asked["headers"]
    verifier = SignatureVerifier(asked["secret"], Clock())
    return verifier.is_valid(asked["body"], headers["x-slack-request-timestamp"], headers["x-slack-signature"])


LIBRARIES = {
    "standardwebhooks": specified(Webhook),
    "svix": specified(Svix),
    "stripe": (stripe_sign, stripe_verify),
    "slack": (slack_sign, slack_verify),
}

for line in sys.stdin:
    asked = json.loads(line)
    sign, verify = LIBRARIES[asked["library"]]
    if asked["do"] == "sign":
        said = {"headers": sign(asked)}
    else:
        try:
            said = {"valid": verify(asked) is True}
        except Exception:
            said = {"valid": False}
    print(json.dumps(said), flush=True)
