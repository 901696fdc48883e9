// What agents ask: a person sees it, answers it, and sees what became of it; a secret is never shown again.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "node:test";
import { picture } from "./browser.mjs";
import { answers, say, settled, setup, visit } from "./setup.mjs";

const world = setup();
const require = createRequire(import.meta.url);

/** The closed question, in the words of its line. */
const closed = (page) => page.getByTestId("question-closed").last();
const card = (page) => page.getByTestId("question");

test("a permission is shown with its arguments and allowed by a click", async () => {
  await world.withPage(async (page) => {
    const key = world.newKey("permission");
    await visit(page, key);
    await say(page, "!plan=look,answer !ask=bash rm -rf <b>build</b>");
    await card(page).getByRole("heading", { name: "Run bash?" }).waitFor();
    await page.getByTestId("session-state").filter({ hasText: "waiting for input" }).waitFor();
    assert.equal(await card(page).locator("pre").innerText(), '{\n  "text": "rm -rf <b>build</b>"\n}', "arguments are text");
    await page.locator(`[data-session="${key}"]`, { hasText: "Waiting for input" }).waitFor();
    await page.waitForFunction(() => document.title.startsWith("(1) "));
    await picture(page, "question-permission");
    await card(page).getByRole("button", { name: "Allow once" }).click();
    await settled(page);
    assert.deepEqual(await answers(page), ["[bash: allowed] rm -rf <b>build</b>"]);
    await closed(page).filter({ hasText: /Run bash\? “Allow once” by default\/\S+$/ }).waitFor();
    assert.equal(await card(page).count(), 0);
    await page.waitForFunction(() => !document.title.startsWith("("));
    assert.deepEqual(await page.getByTestId("plan").locator("li").allTextContents(), ["look, done", "answer, done"]);
  });
});

test("a permission is denied by the keyboard, and the focus goes to where one writes", async () => {
  await world.withPage(async (page) => {
    await visit(page, world.newKey("denied"));
    await say(page, "!ask=bash hello");
    await card(page).getByRole("button", { name: "Deny" }).focus();
    await page.keyboard.press("Enter");
    await settled(page);
    assert.deepEqual(await answers(page), ["[bash: denied] hello"]);
    assert.equal(await page.evaluate(() => document.activeElement?.getAttribute("aria-label")), "Message");
  });
});

test("a form takes a secret, which is never shown", async () => {
  await world.withPage(async (page) => {
    await visit(page, world.newKey("form"));
    await say(page, "!form=name,*token hello");
    await card(page).getByLabel("name").fill("Ada");
    const secret = card(page).getByLabel("token");
    assert.equal(await secret.getAttribute("type"), "password");
    await secret.fill("s3cret-of-ada");
    await picture(page, "question-form");
    await card(page).getByRole("button", { name: "Send" }).click();
    await settled(page);
    await closed(page).filter({ hasText: "Ada" }).waitFor();
    await page.reload();
    await settled(page);
    const everything = await page.evaluate(() => document.documentElement.outerHTML + JSON.stringify({ ...localStorage, ...sessionStorage }));
    assert.ok(!everything.includes("s3cret-of-ada"), "the secret is nowhere on the page");
    assert.deepEqual(await answers(page), ['[form: {"name":"Ada"}] hello']);
  });
});

test("a link is opened by a click alone, apart from the page", async () => {
  await world.withPage(async (page) => {
    await visit(page, world.newKey("link"));
    await say(page, `!link=${world.origin}/elsewhere hello`);
    const host = new URL(world.origin).host;
    const opened = page.context().waitForEvent("page");
    // What the other page sees of this one also depends on that page, so the call itself is looked at.
    await page.evaluate(() => {
      const open = window.open.bind(window);
      window.open = (...given) => {
        window.given = given;
        return open(...given);
      };
    });
    await card(page).getByText(`${world.origin}/elsewhere`).waitFor();
    assert.equal(await card(page).locator("a").count(), 0, "it is text");
    assert.equal(page.context().pages().length, 1, "nothing was opened by itself");
    await card(page).getByRole("button", { name: `Open ${host}` }).click();
    const other = await opened;
    assert.deepEqual(await page.evaluate(() => window.given), [`${world.origin}/elsewhere`, "_blank", "noopener,noreferrer"]);
    await other.close();
    await card(page).getByRole("button", { name: "Done" }).click();
    await settled(page);
    await say(page, "!link=javascript:alert(1) again");
    await card(page).getByText("This page opens no such link.").waitFor();
    await card(page).getByRole("button", { name: "Decline" }).click();
    await settled(page, 2);
    assert.deepEqual(await answers(page), ["[link: done] hello", "[declined] again"]);
  });
});

test("a tool that the caller runs is answered with text, JSON, or not at all", async () => {
  await world.withPage(async (page) => {
    await visit(page, world.newKey("tool"));
    await say(page, "!call=weather Paris");
    await card(page).getByLabel("Its result").fill("21 degrees");
    await card(page).getByRole("button", { name: "Send result" }).click();
    await settled(page);
    await say(page, "!call=weather Rome");
    await card(page).getByRole("button", { name: "Decline" }).click();
    await settled(page, 2);
    assert.deepEqual(await answers(page), ['[weather: "21 degrees"] Paris', "[declined] Rome"]);
  });
});

test("questions of all sessions are counted in the title, and one that waited before is there", async () => {
  await world.withPage(async (page) => {
    const [one, two] = [world.newKey("counted"), world.newKey("counted")];
    for (const key of [one, two]) {
      await visit(page, key);
      await say(page, "!ask=bash hello");
      await card(page).waitFor();
    }
    await page.waitForFunction(() => document.title.startsWith("(2) "));
    await page.reload();
    await page.waitForFunction(() => document.title.startsWith("(2) "));
    await card(page).getByRole("button", { name: "Allow once" }).click();
    await settled(page);
    await page.waitForFunction(() => document.title.startsWith("(1) "));
    // Somebody else answers: the card closes by itself.
    await visit(page, one);
    await card(page).waitFor();
    const [waiting] = (await world.server.command("questions", one, "--json")).split("\n").map((line) => JSON.parse(line));
    await world.server.command("questions", "answer", one, waiting.questionId ?? waiting.question_id, "y");
    await closed(page).filter({ hasText: "Allow once" }).waitFor();
    await settled(page);
    await page.waitForFunction(() => !document.title.startsWith("("));
  });
});

test("who asked for it is notified of a question in a session that is not looked at, and a click goes there", async () => {
  await world.withPage(
    async (page) => {
      // A real notification is the desktop's matter; what the page asks for is its own.
      await page.addInitScript(() => {
        window.shown = [];
        window.Notification = class {
          static permission = "default";
          static requestPermission() {
            this.permission = "granted";
            return Promise.resolve("granted");
          }
          constructor(title, options) {
            window.shown.push({ title, ...options, notification: this });
          }
          close() {}
        };
      });
      await page.reload();
      const [here, there] = [world.newKey("here"), world.newKey("asks")];
      await visit(page, here);
      await visit(page, there);
      await visit(page, here);
      await world.server.command("send", "--detach", there, "!ask=bash <b>hello</b>");
      await page.waitForFunction(() => document.title.startsWith("(1) "));
      assert.equal(await page.evaluate(() => window.shown.length), 0, "nobody asked for notifications yet");
      await page.getByRole("button", { name: "Notify me of questions" }).click();
      await page.getByRole("button", { name: "Stop notifying me of questions" }).waitFor();
      assert.equal(await page.evaluate(() => window.shown.length), 0, "what waited before is no news");
      await visit(page, there);
      await card(page).getByRole("button", { name: "Deny" }).click();
      await settled(page);
      await visit(page, here);
      await world.server.command("send", "--detach", there, "!ask=bash <b>again</b>");
      await page.waitForFunction(() => window.shown.length === 1);
      const [{ title, body }] = await page.evaluate(() => window.shown.map(({ title, body }) => ({ title, body })));
      assert.deepEqual([title, body], ["An agent asks", `${there} waits for your answer.`]);
      await page.evaluate(() => window.shown[0].notification.onclick());
      await card(page).waitFor();
      await card(page).getByRole("button", { name: "Deny" }).click();
      await settled(page, 2);
      await page.getByRole("button", { name: "Stop notifying me of questions" }).click();
      await visit(page, here);
      await world.server.command("send", "--detach", there, "!ask=bash third");
      await page.waitForFunction(() => document.title.startsWith("(1) "));
      assert.equal(await page.evaluate(() => window.shown.length), 1, "nor after they were turned off");
      await visit(page, there);
      await card(page).getByRole("button", { name: "Deny" }).click();
      await settled(page, 3);
    },
    { permissions: ["notifications"] },
  );
});

test("cards have no fault of accessibility, in light, dark and on a phone", async () => {
  const axe = await readFile(require.resolve("axe-core/axe.min.js"), "utf8");
  for (const [name, options] of Object.entries({
    light: { colorScheme: "light" },
    dark: { colorScheme: "dark" },
    phone: { colorScheme: "light", viewport: { width: 390, height: 844 } },
  })) {
    await world.withPage(async (page) => {
      await visit(page, world.newKey(`cards-${name}`));
      await say(page, "!plan=read_the_code,change_it !ask=bash !form=name,*token !link=https://example.com/sign-in !call=weather make it so");
      await page.waitForFunction(() => document.querySelectorAll("[data-testid=question]").length === 4);
      await page.evaluate(axe);
      const found = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
      const serious = found.violations
        .filter(({ impact }) => impact === "serious" || impact === "critical" || impact === "moderate")
        .map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).join(", ")}`);
      assert.deepEqual(serious, [], name);
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth), false, "nothing runs over the side");
      await card(page).first().scrollIntoViewIfNeeded();
      await picture(page, `questions-${name}`);
      await card(page).last().scrollIntoViewIfNeeded();
      await picture(page, `questions-${name}-end`);
      await page.getByRole("button", { name: "Stop", exact: true }).click();
      await settled(page);
      await picture(page, `questions-${name}-closed`);
      assert.equal(await closed(page).count(), 1);
      assert.equal(await page.getByTestId("question-closed").filter({ hasText: "the turn was stopped" }).count(), 4);
    }, options);
  }
});
