// What people do all day: opening, writing, scrolling, keys, phones; and texts that are nested without end.
import assert from "node:assert/strict";
import { test } from "node:test";
import { picture } from "./browser.mjs";
import { say, settled, setup, visit } from "./setup.mjs";

const world = setup();

/** Pixels between what is seen and the end of the transcript. */
const fromEnd = (page) =>
  page.locator(".transcript").evaluate((box) => box.scrollHeight - box.scrollTop - box.clientHeight);
const atEnd = (page) =>
  page.waitForFunction(() => {
    const box = document.querySelector(".transcript");
    return box !== null && box.scrollHeight > box.clientHeight && box.scrollHeight - box.scrollTop - box.clientHeight < 3;
  });
const long = (name) => `# ${name}\n\n${Array.from({ length: 60 }, (_, line) => `- line ${line} of **${name}**, with \`code\``).join("\n")}\n\n| a | b |\n|---|---:|\n| 1 | 2 |`;

test("a session that is opened shows its end, and stays there while it is drawn", async () => {
  await world.withPage(async (page) => {
    const [first, second] = [world.newKey("end"), world.newKey("end")];
    for (const key of [first, second]) {
      await visit(page, key);
      for (const part of [1, 2, 3]) {
        await say(page, long(`${key} ${part}`));
        await settled(page, part);
      }
    }
    for (const key of [first, second, first]) {
      await page.locator(`[data-session="${key}"]`).click();
      await page.getByRole("heading", { name: `${key} 3`, level: 1 }).last().waitFor();
      await atEnd(page);
      // Later images, fonts and the queue's line move nothing either.
      await page.evaluate(() => new Promise((done) => setTimeout(done, 400)));
      assert.ok((await fromEnd(page)) < 3, `${key} stops ${await fromEnd(page)} pixels before its end`);
    }
    await picture(page, "opened-at-its-end");
  });
});

test("who sends while scrolled up sees what was sent, and who reads above is left there", async () => {
  await world.withPage(async (page) => {
    await visit(page, world.newKey("up"));
    await say(page, long("above"));
    await settled(page, 1);
    await atEnd(page);
    const box = page.locator(".transcript");
    await box.hover();
    await page.mouse.wheel(0, -600);
    await page.getByRole("button", { name: "Newest" }).waitFor();
    await say(page, "!delay=50ms !repeat=10 further down");
    await atEnd(page);
    await settled(page, 2);
    assert.ok((await fromEnd(page)) < 3);
    await say(page, "!delay=100ms !repeat=40 tick");
    await page.locator(".markdown.open", { hasText: "tick tick" }).waitFor();
    await box.hover();
    await page.mouse.wheel(0, -600);
    await page.getByRole("button", { name: "Newest" }).waitFor();
    await settled(page, 3);
    assert.ok((await fromEnd(page)) > 100, "a reader is not pulled away by what comes");
  });
});

test("keys work as often as they are pressed, also right after a session was opened", async () => {
  await world.withPage(async (page) => {
    const keys = [];
    for (let made = 0; made < 4; made += 1) {
      keys.push(world.newKey("step"));
      await world.server.command("send", keys[made], "hello");
    }
    await page.locator(`[data-session="${keys[3]}"]`).waitFor();
    await page.keyboard.press("/");
    await page.getByLabel("Search sessions").fill("step-");
    await page.keyboard.press("Escape");
    const shown = () => page.evaluate(() => decodeURIComponent(window.location.hash.split("/").at(-1)));
    const list = await page.locator("[data-session]").evaluateAll((rows) => rows.map((row) => row.dataset.session));
    assert.equal(list.length, 4);
    for (const key of list) {
      await page.keyboard.press("j");
      await page.waitForFunction((wanted) => decodeURIComponent(window.location.hash).endsWith(wanted), key);
      await page.getByLabel("Message", { exact: true }).waitFor();
    }
    await page.keyboard.press("k");
    await page.waitForFunction((wanted) => decodeURIComponent(window.location.hash).endsWith(wanted), list[2]);
    await page.getByLabel("Message", { exact: true }).waitFor();
    assert.equal(await shown(), list[2]);
    await page.keyboard.press("?");
    await page.getByRole("dialog").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    // Opened by a click it is no different.
    await page.locator(`[data-session="${list[0]}"]`).click();
    await page.getByLabel("Message", { exact: true }).waitFor();
    await page.keyboard.press("?");
    await page.getByRole("dialog").waitFor();
    await page.keyboard.press("Escape");
    await world.server.command("send", list[0], "!hang", "--detach");
    await page.getByRole("button", { name: "Stop", exact: true }).waitFor();
    await page.keyboard.press("s");
    await page.getByTestId("turn-end").filter({ hasText: "Stopped" }).waitFor();
    await page.keyboard.press("c");
    await page.keyboard.type("jk?");
    assert.equal(await page.getByLabel("Message", { exact: true }).inputValue(), "jk?");
    await page.keyboard.press("Escape");
    await page.keyboard.press("g");
    await page.keyboard.press("m");
    await page.waitForFunction(() => window.location.hash === "#/memory");
    await page.keyboard.press("g");
    await page.keyboard.press("s");
    await page.waitForFunction(() => window.location.hash !== "#/memory");
  });
});

test("the count says how many of all are shown", async () => {
  await world.withPage(async (page) => {
    const key = world.newKey("counted");
    await world.server.command("send", key, "hello");
    await page.locator(`[data-session="${key}"]`).waitFor();
    const all = Number(await page.getByTestId("session-count").innerText());
    assert.ok(all > 1);
    await page.getByLabel("Search sessions").fill(key);
    await page.waitForFunction((wanted) => document.querySelector("[data-testid=session-count]").textContent === wanted, `1 of ${all}`);
  });
});

test("refreshing all clients asks first", async () => {
  await world.withPage(async (page) => {
    await page.evaluate(() => (window.location.hash = "#/connections"));
    await page.getByRole("button", { name: "Refresh all clients" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("fresh process").waitFor();
    await picture(page, "refresh-all");
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await dialog.waitFor({ state: "detached" });
    assert.equal(await page.locator(".notice").count(), 0, "nobody was told");
    await page.getByRole("button", { name: "Refresh all clients" }).click();
    await dialog.getByRole("button", { name: "Refresh all" }).click();
    await page.locator(".notice", { hasText: "told" }).waitFor();
  });
});

test("drafts outlive the page, and go when they are sent", async () => {
  await world.withPage(async (page) => {
    const [one, other] = [world.newKey("draft"), world.newKey("draft")];
    for (const key of [one, other]) {
      await visit(page, key);
      await page.getByLabel("Message", { exact: true }).fill(`unsent in ${key}`);
    }
    await page.reload();
    await page.getByLabel("Message", { exact: true }).waitFor();
    assert.equal(await page.getByLabel("Message", { exact: true }).inputValue(), `unsent in ${other}`);
    await page.locator(`[data-session="${one}"]`).click();
    await page.waitForFunction((wanted) => document.querySelector("[data-composer]")?.value === wanted, `unsent in ${one}`);
    await page.getByLabel("Message", { exact: true }).press("Enter");
    await settled(page, 1);
    await page.reload();
    await settled(page, 1);
    assert.equal(await page.getByLabel("Message", { exact: true }).inputValue(), "");
  });
});

test("the Enter that takes an input method's word sends nothing", async () => {
  await world.withPage(async (page) => {
    await visit(page, world.newKey("word"));
    const field = page.getByLabel("Message", { exact: true });
    await field.fill("にほん");
    // As Safari tells it: the composition has ended already, and only the code says whose key it is.
    const taken = await field.evaluate((element) => {
      const press = new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true, isComposing: false });
      Object.defineProperty(press, "keyCode", { value: 229 });
      return !element.dispatchEvent(press);
    });
    assert.equal(taken, false, "the key is the input method's");
    assert.equal(await field.inputValue(), "にほん");
    await field.press("Enter");
    await settled(page, 1);
    assert.equal(await page.locator(".message.user").count(), 1);
  });
});

test("columns stand as they were asked to", async () => {
  await world.withPage(async (page) => {
    await visit(page, world.newKey("columns"));
    await say(page, "| name | price | mid |\n|---|---:|:---:|\n| tea | 12 | x |");
    await settled(page, 1);
    const aligned = await page.locator(".message.assistant td").evaluateAll((cells) => cells.map((cell) => getComputedStyle(cell).textAlign));
    assert.deepEqual(aligned, ["left", "right", "center"]);
  });
});

test("on a phone words in tables stay whole, and a session can be renamed", async () => {
  await world.withPage(
    async (page) => {
      const key = world.newKey("phone");
      await world.server.command("send", key, "| Implementation | Responsibility | Measurements |\n|---|---|---|\n| authentication | administration | responsiveness |");
      await page.evaluate((hash) => (window.location.hash = hash), `#/session/${key}`);
      await settled(page, 1);
      const lines = await page.locator(".message.assistant :is(td, th)").evaluateAll((cells) =>
        cells.map((cell) => {
          const range = document.createRange();
          range.selectNodeContents(cell);
          return new Set([...range.getClientRects()].map((rect) => Math.round(rect.top))).size;
        }),
      );
      assert.deepEqual(lines, [1, 1, 1, 1, 1, 1], "a word is on one line");
      assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 390, "the page itself does not scroll sideways");
      await page.getByRole("button", { name: "Rename" }).click();
      await page.getByLabel("Name", { exact: true }).fill("On the way");
      await page.getByRole("dialog").getByRole("button", { name: "Save", exact: true }).click();
      await page.getByRole("heading", { name: "On the way" }).waitFor();
      await picture(page, "phone-table");
    },
    { viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true },
  );
});

test("texts that are nested without end are shown as text, and the page goes on", async () => {
  await world.withPage(async (page) => {
    await visit(page, world.newKey("deep"));
    const deep = {
      quotes: ">".repeat(20_000),
      "spaced quotes": "> ".repeat(20_000),
      "items in one line": "- ".repeat(20_000),
      "numbers in one line": "1. ".repeat(10_000),
      "items below each other": Array.from({ length: 400 }, (_, depth) => `${" ".repeat(depth * 2)}- x`).join("\n"),
      brackets: "[".repeat(20_000),
      images: "![".repeat(10_000),
      emphases: "*a **b ".repeat(5_000),
      "quoted emphases": `> ${"**a _b ~~c ".repeat(2_000)}`,
    };
    let turns = 0;
    for (const [name, text] of Object.entries(deep)) {
      const began = Date.now();
      await say(page, `${text} END of ${name}`);
      turns += 1;
      await settled(page, turns);
      await page.locator(".message.assistant", { hasText: `END of ${name}` }).waitFor();
      const answered = await page.evaluate(() => performance.now() > 0);
      assert.ok(answered && Date.now() - began < 10_000, `${name} took ${Date.now() - began} ms`);
    }
    await say(page, "and **then** on");
    await settled(page, turns + 1);
    assert.equal(await page.locator(".message.assistant strong", { hasText: "then" }).count(), 1);
    await picture(page, "deep");
    // Who comes later sees it too.
    await page.reload();
    await settled(page, 2);
  });
});
