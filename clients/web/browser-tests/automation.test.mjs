// The pages of webhooks, workers and routing, with a real receiver and a real worker's process.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { createServer } from "node:http";
import { after, test } from "node:test";
import { assertAccessible, LOOKS } from "./axe.mjs";
import { picture } from "./browser.mjs";
import { Worker } from "./server.mjs";
import { goTo, say, settled, setup, visit } from "./setup.mjs";

const world = setup(`
webhook_private_addresses = true
worker_heartbeat = "500ms"
worker_stop_after = "4s"
worker_lease = "6s"
default_agent = "echo"
[agents.echo]
driver = "echo"
[agents.far]
driver = "worker"
worker_principals = ["default/local"]
worker_labels = ["gpu=a100"]
`);

/** How long something of another process may take, in milliseconds. */
const SOON_MS = 30_000;

const opened = [];
after(async () => {
  for (const each of opened) await each.stop();
});

/** An address that takes deliveries, or refuses them, and keeps what came. */
class Receiver {
  #server;
  #news = new EventEmitter();
  /** What is answered. */
  status = 204;
  got = [];
  url = "";

  static async start() {
    const receiver = new Receiver();
    receiver.#server = createServer(async (request, response) => {
      let body = "";
      for await (const piece of request) body += piece;
      receiver.got.push({ id: request.headers["webhook-id"], headers: request.headers, body });
      response.writeHead(receiver.status).end();
      receiver.#news.emit("got");
    });
    await new Promise((listening) => receiver.#server.listen(0, "127.0.0.1", listening));
    receiver.url = `http://127.0.0.1:${receiver.#server.address().port}/hook`;
    opened.push(receiver);
    return receiver;
  }

  /** Waits for one of that kind beyond the first `after`. The same may come more than once. */
  async have(wanted, after = 0) {
    const late = AbortSignal.timeout(SOON_MS);
    while (!this.got.slice(after).some(wanted)) await once(this.#news, "got", { signal: late });
  }

  async stop() {
    this.#server.closeAllConnections();
    await new Promise((closed) => this.#server.close(closed));
  }
}

/** Whether a delivery is signed with a secret, as Standard Webhooks has it. */
function isSigned({ id, headers, body }, secret) {
  const key = Buffer.from(secret.replace("whsec_", ""), "base64");
  const signature = createHmac("sha256", key).update(`${id}.${headers["webhook-timestamp"]}.${body}`).digest("base64");
  return headers["webhook-signature"].split(" ").includes(`v1,${signature}`);
}

test("a webhook is made with a secret that is shown once, tells what failed, is tried again, changed, paused and deleted", async () => {
  const receiver = await Receiver.start();
  receiver.status = 500;
  await world.withPage(async (page) => {
    const key = world.newKey("hooked");
    await goTo(page, "Webhooks");
    await page.getByText("There are no webhooks yet.").waitFor();
    await page.getByRole("button", { name: "New webhook" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Address").fill("ftp://127.0.0.1/");
    await dialog.getByLabel("Name (optional)").fill("the <b>bell</b>");
    await dialog.getByLabel("Events", { exact: true }).selectOption({ label: "those that I choose" });
    await dialog.getByRole("button", { name: "Make" }).click();
    await dialog.getByRole("alert").filter({ hasText: "Choose an event." }).waitFor();
    await dialog.getByLabel("turn_ended", { exact: true }).check();
    await dialog.getByLabel("Only keys that begin with").fill("hooked");
    await dialog.getByRole("button", { name: "Make" }).click();
    await dialog.getByRole("alert").filter({ hasText: "url" }).waitFor();
    await dialog.getByLabel("Address").fill(receiver.url);
    await picture(page, "new-webhook");
    await dialog.getByRole("button", { name: "Make" }).click();
    await page.getByRole("dialog", { name: "The secret that signs its deliveries" }).waitFor();
    const secret = await dialog.getByTestId("secret").innerText();
    assert.match(secret, /^whsec_/);
    await picture(page, "webhook-secret");
    await dialog.getByRole("button", { name: "Done" }).click();
    const card = page.getByTestId("webhook");
    await card.filter({ hasText: "the <b>bell</b>" }).filter({ hasText: receiver.url }).filter({ hasText: "keys that begin with hooked" }).waitFor();
    const everything = await page.evaluate(() => document.documentElement.outerHTML + JSON.stringify({ ...localStorage, ...sessionStorage }));
    assert.ok(!everything.includes(secret), "the secret is not on the page any more");

    await world.server.command("send", key, "ring");
    await receiver.have((each) => isSigned(each, secret));
    await card.filter({ hasText: "Failing, is tried again" }).filter({ hasText: "next try" }).waitFor();
    await picture(page, "webhooks-failing");
    await page.getByRole("button", { name: /^Deliveries of/ }).click();
    const delivery = page.getByTestId("delivery");
    await delivery.filter({ hasText: "turn_ended" }).filter({ hasText: key }).filter({ hasText: "Failed, is tried again" }).filter({ hasText: "500" }).waitFor();
    await picture(page, "webhook-deliveries");
    await page.keyboard.press("Escape");

    receiver.status = 204;
    await page.getByRole("button", { name: /^Try .* at once$/ }).click();
    await card.filter({ hasText: "Active" }).waitFor();
    await page.getByRole("button", { name: /^Deliveries of/ }).click();
    await delivery.filter({ hasText: "Delivered" }).filter({ hasText: "204" }).waitFor();
    const before = receiver.got.length;
    await delivery.getByRole("button", { name: new RegExp(`^Deliver ${key} again from event \\d+ on$`) }).click();
    await page.getByRole("dialog").getByRole("status").filter({ hasText: "is delivered again." }).waitFor();
    await receiver.have(() => true, before);
    assert.equal(new Set(receiver.got.map(({ id }) => id)).size, 1, "it is one event under one id");
    await page.keyboard.press("Escape");

    await page.getByRole("button", { name: /^Change the/ }).click();
    assert.equal(await dialog.getByLabel("Address").inputValue(), receiver.url);
    assert.equal(await dialog.getByLabel("turn_ended", { exact: true }).isChecked(), true);
    await dialog.getByLabel("Name (optional)").fill("bell");
    await dialog.getByLabel("What is told of them").selectOption({ label: "the whole event" });
    await dialog.getByLabel("Only keys that begin with").fill("");
    await dialog.getByRole("button", { name: "Save" }).click();
    await card.filter({ hasText: "bell" }).filter({ hasText: "the whole event" }).filter({ hasText: "all that you may read" }).waitFor();

    await page.getByRole("button", { name: "Pause bell" }).click();
    await card.filter({ hasText: "Paused" }).filter({ hasText: "in the console" }).waitFor();
    await world.server.command("send", key, "while it is paused");
    await page.getByRole("button", { name: "Resume bell" }).click();
    // The whole event is told now.
    await receiver.have(({ body }) => body.includes("turnEnded"));
    await card.filter({ hasText: "Active" }).waitFor();
    await page.getByRole("button", { name: "Delete bell" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await page.getByText("There are no webhooks yet.").waitFor();
  });
});

test("who may not change webhooks sees none of the buttons, and workers and routing name the scopes they need", async () => {
  const key = await world.server.command("keys", "create", "--subject", "local", "--scopes", "session.read");
  await world.withPage(
    async (page) => {
      await goTo(page, "Webhooks");
      await page.getByText("these are your own").waitFor();
      assert.equal(await page.getByRole("button", { name: "New webhook" }).count(), 0);
      for (const [place, scope] of [
        ["Workers", "tenant.sessions"],
        ["Routing", "admin.config"],
      ]) {
        await page.getByRole("link", { name: place }).click();
        await page.getByRole("main").getByText(scope).waitFor();
      }
    },
    { key },
  );
});

test("a turn waits for a worker and says why; a worker is seen with what it runs, and is ended", async () => {
  await world.withPage(async (page) => {
    const key = world.newKey("far");
    await world.server.command("sessions", "create", key, "--agent", "far");
    await visit(page, key);
    await say(page, "!hang");
    await goTo(page, "Workers");
    await page.getByText("No worker is connected.").waitFor();
    const waiting = page.getByTestId("waiting").filter({ hasText: key });
    await waiting.filter({ hasText: "No worker that has the agent far is connected." }).waitFor();
    await page.getByTestId("wanted").filter({ hasText: "1 session for far with gpu=a100" }).waitFor();
    await picture(page, "workers-wanted");
    const other = await Worker.start(world.server, { name: "cpu-1", agent: "far", label: "gpu=none" });
    opened.push(other);
    const card = (name) => page.locator(`[data-worker="${name}"]`);
    await card("cpu-1").filter({ hasText: "gpu=none" }).waitFor();
    await waiting.filter({ hasText: "No worker of far has the labels gpu=a100." }).waitFor();
    const worker = await Worker.start(world.server, { name: "gpu-1", agent: "far", label: "gpu=a100" });
    opened.push(worker);
    await card("gpu-1").filter({ hasText: "Connected" }).filter({ hasText: "gpu=a100" }).filter({ hasText: "1 of 4 turns in use" }).waitFor();
    await card("gpu-1").getByTestId("lease").getByRole("link", { name: key }).waitFor();
    await page.getByText("No turn of a session that you may see waits.").waitFor();
    await picture(page, "workers");
    await page.getByRole("button", { name: "End gpu-1" }).click();
    const dialog = page.getByRole("dialog", { name: "End gpu-1?" });
    await dialog.getByText("It ends what it runs: 1 turn").waitFor();
    await dialog.getByLabel("Why").fill("the machine is moved");
    await dialog.getByRole("button", { name: "End it" }).click();
    await card("gpu-1").waitFor({ state: "detached" });
    assert.equal(await worker.left, 0);
    await visit(page, key);
    await settled(page);
  });
});

test("rules of routing are written, ordered, tried and taken away, and what others changed is not written over", async () => {
  await world.withPage(async (page) => {
    await goTo(page, "Routing");
    await page.getByText("There are no rules").waitFor();
    const dialog = page.getByRole("dialog");
    const make = async (name, write) => {
      await page.getByRole("button", { name: "New rule" }).click();
      await dialog.getByLabel("Name", { exact: true }).first().fill(name);
      await write();
      await dialog.getByRole("button", { name: "Save" }).click();
      await page.locator(`[data-route="${name}"]`).waitFor();
    };
    const rules = async (...names) => {
      await page.waitForFunction((wanted) => {
        const found = [...document.querySelectorAll("[data-testid=route]")].map((rule) => rule.dataset.route);
        return found.join(" ") === wanted;
      }, names.join(" "));
    };
    await make("any", async () => {
      await dialog.getByLabel("The text matches").fill("(never closed");
      await dialog.getByRole("button", { name: "Save" }).click();
      await dialog.getByRole("alert").filter({ hasText: "Say what is used" }).waitFor();
      await dialog.getByLabel("Agent", { exact: true }).selectOption({ label: "echo" });
      await dialog.getByRole("button", { name: "Save" }).click();
      await dialog.getByRole("alert").filter({ hasText: "text_matches" }).waitFor();
      await dialog.getByLabel("The text matches").fill("");
    });
    await make("search", async () => {
      await dialog.getByRole("button", { name: "Add label of the session" }).click();
      await dialog.getByLabel("Name 1").fill("team");
      await dialog.getByLabel("Value 1").fill("search");
      await dialog.getByLabel("Agent", { exact: true }).selectOption({ label: "far" });
      await picture(page, "routing-form");
    });
    await rules("any", "search");
    const attempt = page.getByRole("region", { name: "Try the rules" });
    await attempt.getByRole("button", { name: "Add label of the session" }).click();
    await attempt.getByLabel("Name 1").fill("team");
    await attempt.getByLabel("Value 1").fill("search");
    await attempt.getByRole("button", { name: "Try", exact: true }).click();
    const resolved = attempt.getByTestId("resolved");
    await resolved.filter({ hasText: "agent echo" }).filter({ hasText: "any" }).waitFor();
    await page.getByRole("button", { name: "Move search up" }).click();
    await rules("search", "any");
    await attempt.getByRole("button", { name: "Try", exact: true }).click();
    await resolved.filter({ hasText: "agent far" }).filter({ hasText: "search" }).waitFor();
    await picture(page, "routing");

    // Somebody else takes a rule away meanwhile.
    const { routes } = JSON.parse(await world.server.command("routes", "--json"));
    await world.server.command("routes", "set", await world.server.file("routes.json", JSON.stringify({ routes: routes.slice(0, 1) })));
    await page.getByRole("button", { name: "Delete search" }).click();
    await dialog.getByRole("button", { name: "Delete" }).click();
    await page.locator(".notice", { hasText: "Not deleted" }).waitFor();
    await rules("search");
    await page.getByRole("button", { name: "Change search" }).click();
    assert.equal(await dialog.getByLabel("Value 1").inputValue(), "search");
    await dialog.getByLabel("Its source is (one a line)").fill("console\nnightly");
    await dialog.getByRole("button", { name: "Save" }).click();
    await page.getByTestId("route").filter({ hasText: "its source is console or nightly" }).waitFor();
    await page.getByRole("button", { name: "Delete search" }).click();
    await dialog.getByRole("button", { name: "Delete" }).click();
    await page.getByText("There are no rules").waitFor();
  });
});

test("none of these pages has a fault of accessibility, in light, dark and on a phone", async () => {
  const receiver = await Receiver.start();
  receiver.status = 500;
  const key = world.newKey("seen");
  await world.server.command("webhooks", "create", receiver.url, "--kind", "turn_ended");
  await world.server.command("send", key, "ring");
  await receiver.have(() => true);
  await world.server.command("sessions", "create", "far-seen", "--agent", "far");
  await world.server.command("send", "far-seen", "!hang", "--detach");
  const worker = await Worker.start(world.server, { name: "seen", agent: "far", label: "gpu=none" });
  opened.push(worker);
  const rule = { name: "search", when: { labels: { team: "search" }, minTextBytes: "400" }, use: { agent: "far" } };
  await world.server.command("routes", "set", await world.server.file("routes.json", JSON.stringify({ routes: [rule] })));
  for (const [look, options] of Object.entries(LOOKS)) {
    await world.withPage(async (page) => {
      const dialog = page.getByRole("dialog");
      await goTo(page, "Webhooks");
      await page.getByTestId("webhook").filter({ hasText: receiver.url }).filter({ hasText: "Failing" }).waitFor();
      await assertAccessible(page, `Webhooks, ${look}`);
      await picture(page, `webhooks-${look}`);
      await page.getByRole("button", { name: `Deliveries of ${receiver.url}` }).click();
      await dialog.getByTestId("delivery").waitFor();
      await assertAccessible(page, `deliveries, ${look}`);
      await picture(page, `deliveries-${look}`);
      await page.keyboard.press("Escape");
      await page.getByRole("button", { name: "New webhook" }).click();
      await dialog.waitFor();
      await dialog.getByLabel("Events", { exact: true }).selectOption({ label: "those that I choose" });
      await dialog.getByLabel("turn_ended", { exact: true }).check();
      await assertAccessible(page, `the form of webhooks, ${look}`);
      await picture(page, `webhook-form-${look}`);
      await page.keyboard.press("Escape");
      await goTo(page, "Workers");
      await page.locator('[data-worker="seen"]').waitFor();
      await page.getByTestId("waiting").first().waitFor();
      await assertAccessible(page, `Workers, ${look}`);
      await picture(page, `workers-${look}`);
      await page.getByRole("button", { name: "End seen" }).click();
      await dialog.waitFor();
      await assertAccessible(page, `the end of a worker, ${look}`);
      await page.keyboard.press("Escape");
      await goTo(page, "Routing");
      await page.getByTestId("route").waitFor();
      await page.getByRole("button", { name: "Try", exact: true }).click();
      await page.getByTestId("resolved").filter({ hasText: "Rule" }).waitFor();
      await assertAccessible(page, `Routing, ${look}`);
      await picture(page, `routing-${look}`);
      await page.getByRole("button", { name: "Change search" }).click();
      await dialog.waitFor();
      await assertAccessible(page, `the form of routing, ${look}`);
      await picture(page, `routing-form-${look}`);
    }, options);
  }
});
