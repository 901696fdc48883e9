// The official libraries of Node: each line of standard input is a case, each line of standard output what they say of it.
//
// {"do": "sign", "library", "secret", "id", "time", "body"}    → {"headers": {…}}
// {"do": "verify", "library", "secret", "headers", "body"}     → {"valid": true | false}
import { createHmac } from "node:crypto";
import { createInterface } from "node:readline";
import * as linear from "@linear/sdk/webhooks";
import * as octokit from "@octokit/webhooks-methods";
import bolt from "@slack/bolt";
import * as standard from "standardwebhooks";
import Stripe from "stripe";
import { Webhook as Svix } from "svix";

const stripe = new Stripe("sk_test_none");

const specified = (Webhook) => ({
  sign: ({ secret, id, time, body }) => ({
    "webhook-id": id,
    "webhook-timestamp": `${time}`,
    "webhook-signature": new Webhook(secret).sign(id, new Date(time * 1000), body),
  }),
  verify: ({ secret, headers, body }) => Boolean(new Webhook(secret).verify(body, headers)),
});

const libraries = {
  standardwebhooks: specified(standard.Webhook),
  svix: {
    ...specified(Svix),
    verify: ({ secret, headers, body }) => {
      new Svix(secret).verify(body, headers);
      return true;
    },
  },
  slack: {
    // It has no signer of its own; what it takes is what counts.
    sign: ({ secret, time, body }) => ({
      "x-slack-request-timestamp": `${time}`,
      "x-slack-signature": `v0=${createHmac("sha256", secret).update(`v0:${time}:${body}`).digest("hex")}`,
    }),
    verify: ({ secret, headers, body }) => {
      const time = Number(headers["x-slack-request-timestamp"]);
      bolt.verifySlackRequest({
        signingSecret: secret,
        headers: { "x-slack-signature": headers["x-slack-signature"], "x-slack-request-timestamp": time },
        body,
      });
      return true;
    },
  },
  octokit: {
    sign: async ({ secret, body }) => ({ "x-hub-signature-256": await octokit.sign(secret, body) }),
    verify: ({ secret, headers, body }) => octokit.verify(secret, body, headers["x-hub-signature-256"]),
  },
  stripe: {
    sign: ({ secret, time, body }) => ({
      "stripe-signature": stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp: time }),
    }),
    verify: ({ secret, headers, body }) =>
      Boolean(stripe.webhooks.constructEvent(body, headers["stripe-signature"], secret)),
  },
  linear: {
    // It has no signer of its own; what it takes is what counts.
    sign: ({ secret, body }) => ({ "linear-signature": createHmac("sha256", secret).update(body).digest("hex") }),
    verify: ({ secret, headers, body }) =>
      new linear.LinearWebhookClient(secret).verify(
        Buffer.from(body),
        headers["linear-signature"],
        JSON.parse(body).webhookTimestamp,
      ),
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  const library = libraries[asked.library];
  let said;
  if (asked.do === "sign") {
    said = { headers: await library.sign(asked) };
  } else {
    try {
      said = { valid: (await library.verify(asked)) === true };
    } catch {
      said = { valid: false };
    }
  }
  console.log(JSON.stringify(said));
}
