// What one does with messages: copying, unfolding, trying again, saving; and that a long answer never holds the page up.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { picture } from "./browser.mjs";
import { longestTask } from "./tasks.mjs";
import { answers, say, settled, setup, visit } from "./setup.mjs";

const world = setup();

/** Longest time that the page may be held up, in milliseconds. */
const TASK_MAX_MS = 100;
/** Words of a long answer. */
const WORDS = 20_000;

const clipboard = { permissions: ["clipboard-read", "clipboard-write"] };
const copied = (page) => page.evaluate(() => navigator.clipboard.readText());

test("code has its language, its colours and a button that copies it", async () => {
  await world.withPage(async (page) => {
    await visit(page, world.newKey("code"));
    const code = 'fn main() {\n    // greets\n    println!("<b>hi</b> {}", 42);\n}';
    await say(page, `Look:\n\n\`\`\`rust\n${code}\n\`\`\`\n\n\`\`\`\nplain\n\`\`\`\n\n\`\`\`made-up"><img src=x onerror=window.pwned=1>\nodd <i>\n\`\`\``);
    await settled(page);
    const blocks = page.locator(".message.assistant .code-block");
    assert.deepEqual(await blocks.locator(".code-language").allInnerTexts(), ["Rust", "Text", "made-up"]);
    const first = blocks.first();
    assert.equal(await first.locator("code").innerText(), `${code}\n`);
    const colour = (name) => first.locator(name).first().evaluate((element) => getComputedStyle(element).color);
    const plain = await first.locator("code").evaluate((element) => getComputedStyle(element).color);
    for (const name of [".hljs-keyword", ".hljs-string", ".hljs-comment", ".hljs-number"]) assert.notEqual(await colour(name), plain, name);
    await Promise.all([first.getByRole("button", { name: "Copied" }).waitFor(), first.getByRole("button", { name: "Copy" }).click()]);
    assert.equal(await copied(page), `${code}\n`);
    assert.equal(await page.locator(".transcript-inner :is(b, i, img)").count(), 0);
    assert.equal(await page.evaluate(() => window.pwned), undefined);
    await page.locator(".message.assistant").hover();
    await page.locator(".message.assistant").getByRole("button", { name: "Copy message" }).click();
    assert.ok((await copied(page)).startsWith("Look:\n\n```rust\n"), "a message is copied as it was written");
    await picture(page, "code-light");
    await page.emulateMedia({ colorScheme: "dark" });
    await picture(page, "code-dark");
  }, clipboard);
});

test("a long prompt is folded, and copied whole", async () => {
  await world.withPage(async (page) => {
    await visit(page, world.newKey("long-prompt"));
    const prompt = Array.from({ length: 80 }, (_, line) => `line ${line}`).join("\n");
    await say(page, prompt);
    await settled(page);
    const shown = page.locator(".message.user .plain-text");
    assert.ok(!(await shown.innerText()).includes("line 40"));
    await picture(page, "long-prompt");
    await page.locator(".message.user").hover();
    await page.locator(".message.user").getByRole("button", { name: "Copy message" }).click();
    assert.equal(await copied(page), prompt);
    await page.getByRole("button", { name: /^Show all/ }).click();
    assert.ok((await shown.innerText()).includes("line 79"));
    await page.getByRole("button", { name: "Show less" }).click();
    assert.ok(!(await shown.innerText()).includes("line 40"));
    await say(page, "a short one");
    await settled(page, 2);
    assert.equal(await page.getByRole("button", { name: /^Show/ }).count(), 1);
  }, clipboard);
});

test("a turn is tried again in a copy of what was said before it, and the session stays as it is", async () => {
  await world.withPage(async (page) => {
    const key = world.newKey("retry");
    await visit(page, key);
    for (const [at, text] of ["first", "!history second", "third"].entries()) {
      await say(page, text);
      await settled(page, at + 1);
    }
    await page.getByTestId("turn-end").nth(1).hover();
    await page.getByTestId("turn-end").nth(1).getByRole("button", { name: "Retry" }).click();
    await page.waitForFunction((before) => decodeURIComponent(window.location.hash).startsWith(`#/session/${before}-retry-`), key);
    await settled(page, 1);
    const prompts = () => page.locator(".message.user .plain-text").allInnerTexts();
    assert.deepEqual(await prompts(), ["first", "!history second"]);
    const again = await answers(page);
    await page.evaluate((hash) => (window.location.hash = hash), `#/session/${key}`);
    await page.locator(".message.user", { hasText: "third" }).waitFor();
    assert.deepEqual(await prompts(), ["first", "!history second", "third"]);
    assert.deepEqual(again, (await answers(page)).slice(0, 2), "the agent knew the same");
  });
});

test("a prompt is edited and sent again, also the first one, with its files", async () => {
  const png = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAoAAAAKCAYAAACNMs+9AAAAFUlEQVR42mNk+M9Qz0AEYBxVSF+FABJADveWkH6oAAAAAElFTkSuQmCC", "base64");
  await world.withPage(async (page) => {
    const key = world.newKey("edit");
    await visit(page, key);
    await page.getByLabel("Files to attach").setInputFiles({ name: "red.png", mimeType: "image/png", buffer: png });
    await page.locator(".files li", { hasText: "red.png" }).waitFor();
    await say(page, "what is tihs?");
    await settled(page, 1);
    await say(page, "and then?");
    await settled(page, 2);
    await page.getByTestId("turn-end").first().hover();
    await page.getByTestId("turn-end").first().getByRole("button", { name: "Edit and resend" }).click();
    const dialog = page.getByRole("dialog");
    assert.equal(await dialog.getByLabel("Prompt").inputValue(), "what is tihs?");
    await dialog.getByText("1 attachment").waitFor();
    await picture(page, "edit-and-resend");
    await dialog.getByLabel("Prompt").fill("what is this?");
    await dialog.getByLabel("Key of the new session").fill(`${key}-better`);
    await dialog.getByRole("button", { name: "Send", exact: true }).click();
    await page.getByRole("heading", { name: `${key}-better` }).waitFor();
    await settled(page, 1);
    assert.deepEqual(await page.locator(".message.user .plain-text").allInnerTexts(), ["what is this?"]);
    await page.waitForFunction(() => document.querySelector(".message.user .attachment img")?.naturalWidth === 10);
    // What is refused says so in place.
    await page.evaluate((hash) => (window.location.hash = hash), `#/session/${key}`);
    await page.locator(".message.user", { hasText: "and then?" }).waitFor();
    await page.getByTestId("turn-end").last().hover();
    await page.getByTestId("turn-end").last().getByRole("button", { name: "Edit and resend" }).click();
    await dialog.getByLabel("Key of the new session").fill(key);
    await dialog.getByRole("button", { name: "Send", exact: true }).click();
    await dialog.getByRole("alert").filter({ hasText: /\S/ }).waitFor();
  });
});

test("a conversation is saved as Markdown and as JSON, all of it", async () => {
  await world.withPage(async (page) => {
    const key = world.newKey("export");
    await visit(page, key);
    for (let turn = 0; turn < 40; turn += 20) {
      await Promise.all(Array.from({ length: 20 }, (_, at) => world.server.command("send", "--detach", key, `number ${turn + at}`)));
      await page.waitForFunction((wanted) => document.querySelectorAll("[data-testid=turn-end]").length >= wanted && !document.querySelector("[data-queue]"), turn + 20);
    }
    await say(page, "!tool=calculator ```not a fence");
    await settled(page);
    const save = async (button) => {
      await page.getByRole("button", { name: "Export", exact: true }).click();
      const file = page.waitForEvent("download");
      await page.getByRole("dialog").getByRole("button", { name: button }).click();
      const download = await file;
      return [download.suggestedFilename(), await readFile(await download.path(), "utf8")];
    };
    const [markdownName, markdown] = await save("Save Markdown");
    assert.equal(markdownName, `${key}.md`);
    for (const text of [`# ${key}`, "number 0", "number 39", "### Tool calculator", "## You", "## echo"]) assert.ok(markdown.includes(text), text);
    const [jsonName, json] = await save("Save JSON");
    assert.equal(jsonName, `${key}.json`);
    const { session, messages } = JSON.parse(json);
    assert.equal(session.sessionKey, key);
    assert.equal(messages.filter(({ role }) => role === "ROLE_USER").length, 41);
    assert.equal(messages.filter(({ role }) => role === "ROLE_TOOL").length, 1);
  });
});

test("an answer of 20 000 words never holds the page up, as it comes, when it ends, and when it is read again", async (context) => {
  await world.withPage(async (page) => {
    const busy = () =>
      page.evaluate(
        () =>
          new Promise((done) =>
            setTimeout(() => {
              for (const end = performance.now() + 1000; performance.now() < end; );
              done();
            }, 0),
          ),
      );
    assert.ok((await longestTask(world.browser, page, busy)) > TASK_MAX_MS, "what holds the page up is seen");
  });
  for (const [name, prompt] of [
    ["one paragraph", "!repeat=40 " + "word ".repeat(WORDS / 40)],
    ["many blocks", Array.from({ length: WORDS / 40 }, (_, at) => `## Part ${at}\n\n${"several words of **text** and _more_ ".repeat(5)}\n\n- one\n- two\n`).join("\n")],
    ["one block of code", "```python\n" + "print('some words of code', 42)  # and more\n".repeat(WORDS / 8) + "```"],
  ]) {
    await world.withPage(async (page) => {
      await visit(page, world.newKey("long-answer"));
      page.setDefaultTimeout(120_000);
      const key = await page.evaluate(() => decodeURIComponent(window.location.hash.split("/").at(-1)));
      const other = world.newKey("elsewhere");
      const drawn = () =>
        page.waitForFunction(
          (wanted) => (document.querySelector(".message.assistant")?.textContent.length ?? 0) >= wanted && !document.querySelector(".markdown.open"),
          WORDS * 4,
        );
      const streaming = await longestTask(world.browser, page, async () => {
        await world.server.command("send", "--detach", key, prompt);
        await settled(page, 1);
        await drawn();
      });
      // Away and back: it is read and drawn as a whole.
      await visit(page, other);
      const opening = await longestTask(world.browser, page, async () => {
        await page.locator(`[data-session="${key}"]`).click();
        await drawn();
        await page.evaluate(() => new Promise((done) => setTimeout(done, 300)));
      });
      context.diagnostic(`${name}: longest task ${streaming.toFixed(0)} ms as it came, ${opening.toFixed(0)} ms as it was opened`);
      assert.ok(streaming <= TASK_MAX_MS && opening <= TASK_MAX_MS, `${name}: ${streaming} ms as it came, ${opening} ms as it was opened`);
    });
  }
});
