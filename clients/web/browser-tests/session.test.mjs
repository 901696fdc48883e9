// One session: what a person sees while an agent works, and what is left when the server dies under it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { picture } from "./browser.mjs";
import { answers, items, say, settled, setup, visit } from "./setup.mjs";

const world = setup();

test("a new session is made by its form, and its answer comes word by word", async () => {
  await world.withPage(async (page) => {
    await page.getByRole("button", { name: "New session" }).first().click();
    await page.getByLabel("Key", { exact: true }).fill("first");
    await page.getByLabel("Name (optional)").fill("First steps");
    await page.getByRole("button", { name: "Create", exact: true }).click();
    await page.getByRole("heading", { name: "First steps" }).waitFor();
    await page.evaluate(() => {
      window.lengths = [];
      new MutationObserver(() => {
        const text = document.querySelector(".message.assistant .markdown")?.textContent ?? "";
        if (window.lengths.at(-1) !== text.length) window.lengths.push(text.length);
      }).observe(document.body, { childList: true, subtree: true, characterData: true });
    });
    await say(page, "!think=let_me_see !delay=60ms one two three four five six seven eight");
    await settled(page);
    const lengths = await page.evaluate(() => window.lengths);
    assert.ok(lengths.length >= 6, `the text grew in steps: ${lengths}`);
    assert.ok(lengths.every((length, at) => at === 0 || length >= lengths[at - 1]), `it never shrank: ${lengths}`);
    assert.deepEqual(await answers(page), ["one two three four five six seven eight"]);
    await page.locator('[data-session="first"]', { hasText: "one two three" }).waitFor();
    assert.equal(await page.locator(".thinking[open]").count(), 0, "thinking is folded");
  });
});

test("a running turn is steered, and says so", async () => {
  await world.withPage(async (page) => {
    await visit(page, world.newKey("steer"));
    await say(page, "!delay=150ms !repeat=12 tick");
    await page.getByRole("button", { name: "Steer", exact: true }).first().waitFor();
    await page.getByLabel("Message", { exact: true }).fill("look at this");
    await picture(page, "steer");
    await page.getByLabel("Message", { exact: true }).press("Enter");
    await page.getByText("[steer: look at this]").first().waitFor();
    await settled(page);
    assert.equal(await page.locator(".message.user", { hasText: "look at this" }).count(), 1, "the steer is shown once, as said");
    assert.equal(await page.locator(".event", { hasText: "Steering with" }).count(), 0, "nothing waits any more");
  });
});

test("Stop tells the truth: stopping until there is proof, then stopped", async () => {
  await world.withPage(async (page) => {
    await visit(page, world.newKey("stop"));
    await say(page, "!stubborn !delay=100ms !repeat=1000 tick");
    await page.locator(".markdown.open", { hasText: "tick tick" }).waitFor();
    await page.getByRole("button", { name: "Stop", exact: true }).click();
    await page.getByTestId("stopping").waitFor();
    assert.equal(await page.getByTestId("turn-end").count(), 0, "a stubborn agent is not called stopped");
    await picture(page, "stopping");
    await page.getByRole("button", { name: "Force" }).click();
    await page.getByTestId("turn-end").filter({ hasText: "Stopped" }).waitFor();
    assert.equal(await page.getByTestId("stopping").count(), 0);
    assert.equal(await page.getByText("Cut off here.").count(), 1, "what was said before stays");
  });
});

test("a server that dies in mid-sentence and comes back: nothing completed is lost or repeated", async () => {
  await world.withPage(async (page) => {
    await visit(page, world.newKey("crash"));
    await say(page, "!tool=calculator before the crash");
    await settled(page);
    await say(page, "!delay=120ms !repeat=500 tick");
    // The server promises to lose no more than the last second of what was not completed.
    await page.locator(".markdown.open", { hasText: "tick ".repeat(20).trim() }).waitFor();
    const before = await items(page);
    await world.server.kill();
    await page.getByTestId("connection-lost").waitFor();
    await picture(page, "server-gone");
    await world.server.restart();
    await page.getByTestId("connection-lost").waitFor({ state: "detached", timeout: 30_000 });
    await page.getByTestId("turn-end").filter({ hasText: "Interrupted" }).waitFor({ timeout: 30_000 });
    await say(page, "after the crash");
    await settled(page, 3);
    const after = await items(page);
    assert.deepEqual(after.slice(0, before.length), before, "what was there stands where it stood");
    assert.equal(new Set(after).size, after.length, "no message is there twice");
    const said = await answers(page);
    assert.equal(said[0], "before the crash");
    assert.match(said[1], /^(tick ?)+$/);
    assert.equal(said[2], "after the crash");
    assert.equal(await page.getByTestId("tool-call").count(), 1);
    await picture(page, "server-back");
    // What a page that comes fresh sees is the same.
    await page.reload();
    await settled(page, 3);
    assert.deepEqual(await items(page), after);
    assert.deepEqual(await answers(page), said);
  });
});

test("waiting turns are edited, moved, removed and cleared", async () => {
  await world.withPage(async (page) => {
    const key = world.newKey("queue");
    await visit(page, key);
    await say(page, "!hang");
    await page.getByRole("button", { name: "Queue", exact: true }).first().click();
    for (const text of ["alpha", "beta", "gamma", "delta"]) {
      await say(page, text);
      await page.getByTestId("queued").filter({ hasText: text }).waitFor();
    }
    const waiting = () => page.getByTestId("queued").locator(".queue-text").allInnerTexts();
    const becomes = async (...texts) => {
      await page.waitForFunction(
        (wanted) => [...document.querySelectorAll(".queue-text")].map((each) => each.textContent).join() === wanted,
        texts.join(),
      );
    };
    await picture(page, "queue");
    await page.getByTestId("queued").filter({ hasText: "gamma" }).getByRole("button", { name: "Move up" }).click();
    await becomes("alpha", "gamma", "beta", "delta");
    await page.getByTestId("queued").filter({ hasText: "alpha" }).getByRole("button", { name: "Remove" }).click();
    await becomes("gamma", "beta", "delta");
    await page.getByTestId("queued").filter({ hasText: "beta" }).getByRole("button", { name: "Edit" }).click();
    await page.getByLabel("Text").fill("beta, changed");
    await page.getByRole("button", { name: "Save" }).click();
    await becomes("gamma", "beta, changed", "delta");
    await page.locator(`[data-session="${key}"] .badge`, { hasText: "3" }).waitFor();
    await page.getByRole("button", { name: "Clear", exact: true }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Clear" }).click();
    await page.getByTestId("queued").first().waitFor({ state: "detached" });
    assert.deepEqual(await waiting(), []);
    await page.getByRole("button", { name: "Stop", exact: true }).click();
    await settled(page);
  });
});

test("Reset asks first and begins afresh; what was said before is read by scrolling up", async () => {
  await world.withPage(async (page) => {
    await visit(page, world.newKey("reset"));
    await say(page, "remember the old days");
    await settled(page);
    await page.getByRole("button", { name: "Reset" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("button", { name: "Reset" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Reset" }).click();
    await page.getByText("Conversation 2").waitFor();
    await say(page, "!history how many");
    await page.locator(".message.assistant .markdown", { hasText: /^0/ }).waitFor();
    await page.locator(".message.assistant", { hasText: "remember the old days" }).waitFor();
    const order = await page.locator(".message.user .plain-text").allInnerTexts();
    assert.deepEqual(order, ["remember the old days", "!history how many"]);
  });
});

test("a conversation is forked from a turn that has ended", async () => {
  await world.withPage(async (page) => {
    const key = world.newKey("fork");
    await visit(page, key);
    await say(page, "to be kept");
    await settled(page, 1);
    await say(page, "to be left out");
    await settled(page, 2);
    await page.getByTestId("turn-end").first().hover();
    await page.getByRole("button", { name: "Fork from here" }).first().click();
    await page.getByLabel("Key of the new session").fill(`${key}-copy`);
    await page.getByRole("dialog").getByRole("button", { name: "Fork" }).click();
    await page.getByRole("heading", { name: `${key}-copy` }).waitFor();
    await page.locator(".message.assistant", { hasText: "to be kept" }).waitFor();
    assert.equal(await page.locator(".transcript").getByText("to be left out").count(), 0);
  });
});

test("older messages come by scrolling, each once, and what is read does not jump", async () => {
  await world.withPage(async (page) => {
    const key = world.newKey("long");
    await visit(page, key);
    // 80 turns are 160 messages, more than three pages of 50.
    for (let batch = 0; batch < 80; batch += 20) {
      await Promise.all(
        Array.from({ length: 20 }, (_, at) => world.server.command("send", "--detach", key, `number ${batch + at} ${"word ".repeat(30)}`)),
      );
      await page.waitForFunction(
        (wanted) => document.querySelectorAll("[data-testid=turn-end]").length >= wanted && !document.querySelector("[data-queue]"),
        batch + 20,
      );
    }
    await page.reload();
    await page.getByTestId("turn-end").first().waitFor();
    const first = await items(page);
    assert.ok(first.length < 160, `only the newest are read at first, ${first.length}`);
    for (let step = 0; step < 60 && (await page.locator(".older").count()) > 0; step += 1) {
      await page.getByRole("region", { name: "Transcript" }).evaluate((box) => (box.scrollTop = 0));
      await page.waitForTimeout(50);
    }
    const all = await items(page);
    assert.equal(all.length, 160);
    assert.equal(new Set(all).size, 160);
    assert.deepEqual(all.slice(-first.length), first);
  });
});

test("images are attached by the button and by pasting, and shown in the transcript", async () => {
  const png = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAoAAAAKCAYAAACNMs+9AAAAFUlEQVR42mNk+M9Qz0AEYBxVSF+FABJADveWkH6oAAAAAElFTkSuQmCC", "base64");
  await world.withPage(async (page) => {
    await visit(page, world.newKey("files"));
    await page.getByLabel("Files to attach").setInputFiles({ name: "red.png", mimeType: "image/png", buffer: png });
    await page.locator(".files li", { hasText: "red.png" }).waitFor();
    await page.getByLabel("Message", { exact: true }).evaluate((field, bytes) => {
      const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from(bytes)], "pasted.png", { type: "image/png" }));
      field.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
    }, [...png, 0]);
    await page.locator(".files li", { hasText: "pasted.png" }).waitFor();
    await say(page, "what is this?");
    await settled(page);
    await page.waitForFunction(() => {
      const images = [...document.querySelectorAll(".attachment img")];
      return images.length === 2 && images.every((image) => image.naturalWidth === 10);
    });
    assert.equal(await page.locator(".files li").count(), 0);
  });
});

test("what is refused stays written, and says why", async () => {
  await world.withPage(async (page) => {
    await visit(page, world.newKey("full"));
    await say(page, "!hang");
    await page.getByRole("button", { name: "Queue", exact: true }).first().click();
    const text = "word ".repeat(103 * 1024);
    await page.getByLabel("Message", { exact: true }).fill(text);
    await page.getByLabel("Message", { exact: true }).press("Enter");
    await page.locator(".composer .problem", { hasText: "text must be at most 524288 bytes" }).waitFor();
    assert.equal((await page.getByLabel("Message", { exact: true }).inputValue()).length, text.length);
    await page.getByRole("button", { name: "Stop", exact: true }).click();
    await settled(page);
  });
});

test("a session is renamed and deleted", async () => {
  await world.withPage(async (page) => {
    const key = world.newKey("gone");
    await visit(page, key);
    await page.getByRole("button", { name: "Rename" }).click();
    await page.getByLabel("Name", { exact: true }).fill("Short-lived");
    await page.getByRole("dialog").getByRole("button", { name: "Save" }).click();
    await page.locator(`[data-session="${key}"]`, { hasText: "Short-lived" }).waitFor();
    await page.waitForFunction(() => document.title === "Short-lived · Quarterdeck");
    await page.getByRole("button", { name: "Delete session" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await page.locator(`[data-session="${key}"]`).waitFor({ state: "detached" });
    await page.getByRole("heading", { name: "Choose a session" }).waitFor();
    await page.evaluate((hash) => (window.location.hash = hash), `#/session/${key}`);
    await page.getByRole("button", { name: "Create it" }).waitFor();
    await world.server.command("send", key, "born again");
    await page.locator(".message.assistant", { hasText: "born again" }).waitFor();
  });
});

test("an unviewed session that says something new is marked", async () => {
  await world.withPage(async (page) => {
    const [here, there] = [world.newKey("here"), world.newKey("there")];
    await visit(page, there);
    await say(page, "old");
    await settled(page);
    await visit(page, here);
    await world.server.command("send", there, "news");
    await page.locator(`[data-session="${there}"].unread`).waitFor();
    await page.locator(`[data-session="${there}"]`).click();
    await page.locator(".message.assistant", { hasText: "news" }).waitFor();
    await page.locator(`[data-session="${there}"]:not(.unread)`).waitFor();
  });
});
