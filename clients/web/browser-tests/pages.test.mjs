// The pages of turns, schedules, usage, keys and configuration.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertAccessible, LOOKS } from "./axe.mjs";
import { picture } from "./browser.mjs";
import { goTo, say, settled, setup, visit } from "./setup.mjs";

const world = setup();

test("turns of all sessions stand in a table: what failed is marked, and state, agent and label choose", async () => {
  await world.withPage(async (page) => {
    const [good, bad] = [world.newKey("good"), world.newKey("bad")];
    await world.server.command("sessions", "create", good, "--label", "team=search");
    await world.server.command("send", good, "went <b>well</b>");
    await visit(page, bad);
    await say(page, "!fail=out_of_rum no luck");
    await settled(page);
    await goTo(page, "Turns");
    const rows = page.getByTestId("turn");
    const shown = async (...texts) => {
      await page.waitForFunction((wanted) => {
        const found = [...document.querySelectorAll("[data-testid=turn]")].map((row) => row.textContent);
        return found.length === wanted.length && wanted.every((text, at) => found[at].includes(text));
      }, texts);
    };
    await shown("no luck", "went <b>well</b>");
    assert.match(await rows.first().innerText(), /Failed/);
    assert.equal(await rows.first().evaluate((row) => row.classList.contains("error")), true, "what failed stands out");
    assert.equal(await rows.nth(1).evaluate((row) => row.classList.contains("error")), false);
    await picture(page, "turns");
    await page.getByLabel("State").selectOption({ label: "Failed" });
    await shown("no luck");
    await page.getByLabel("State").selectOption({ label: "Completed" });
    await shown("went <b>well</b>");
    await page.getByLabel("State").selectOption({ label: "Any state" });
    await page.getByLabel("Label of the session").fill("team=search");
    await shown("went <b>well</b>");
    await page.getByLabel("Label of the session").fill("team=none");
    await page.getByText("No turn matches.").waitFor();
    await page.getByLabel("Label of the session").fill("");
    await page.getByLabel("Agent").selectOption({ label: "echo" });
    await shown("no luck", "went <b>well</b>");
    await rows.first().getByRole("link", { name: bad }).click();
    await page.getByRole("heading", { name: bad }).waitFor();
  });
});

test("a schedule is made, tells its next times, is run, paused, resumed, changed and deleted", async () => {
  await world.withPage(async (page) => {
    const key = world.newKey("scheduled");
    await goTo(page, "Schedules");
    await page.getByText("There are no schedules yet.").waitFor();
    await page.getByRole("button", { name: "New schedule" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Name", { exact: true }).fill("nightly");
    await dialog.getByLabel("Prompt").fill("report <i>now</i>");
    await dialog.getByLabel("Key of the session").fill(key);
    await dialog.getByLabel("Times").fill("61 * * * *");
    await dialog.getByTestId("preview").filter({ hasText: /\S/ }).filter({ hasNotText: "Next" }).waitFor();
    await dialog.getByLabel("Times").fill("30 2 * * *");
    await dialog.getByLabel("Time zone").fill("Europe/Berlin");
    await dialog.getByTestId("preview").filter({ hasText: /^Next, by your time: .*0[0-2]:30/ }).waitFor();
    await picture(page, "new-schedule");
    await dialog.getByRole("button", { name: "Make" }).click();
    const card = page.getByTestId("schedule");
    await card.filter({ hasText: "nightly" }).filter({ hasText: "30 2 * * * (Europe/Berlin)" }).filter({ hasText: key }).waitFor();
    assert.equal((await card.getByTestId("next-times").innerText()).split(" · ").length, 5);
    assert.match(await card.innerText(), /report <i>now<\/i>/);
    await page.getByRole("button", { name: "Run nightly now" }).click();
    await page.locator(".notice", { hasText: "nightly: Started" }).waitFor();
    await page.getByRole("button", { name: "Pause nightly" }).click();
    await card.filter({ hasText: "Paused" }).filter({ hasText: "when it is resumed" }).waitFor();
    await page.getByRole("button", { name: "Resume nightly" }).click();
    await card.filter({ hasText: "Active" }).waitFor();
    await page.getByRole("button", { name: "Runs of nightly" }).click();
    const run = page.getByTestId("run");
    await run.filter({ hasText: "Started" }).filter({ hasText: "by hand" }).filter({ hasText: key }).waitFor();
    await picture(page, "schedule-runs");
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Change nightly" }).click();
    assert.equal(await dialog.getByLabel("Prompt").inputValue(), "report <i>now</i>");
    assert.equal(await dialog.getByLabel("Times", { exact: true }).inputValue(), "30 2 * * *");
    await dialog.getByLabel("Prompt").fill("report <i>later</i>");
    await dialog.getByLabel("When").selectOption({ label: "once" });
    await dialog.getByLabel("At", { exact: true }).fill("some day");
    await dialog.getByTestId("preview").filter({ hasText: "Say when" }).waitFor();
    const year = new Date().getFullYear() + 1;
    await dialog.getByLabel("At", { exact: true }).fill(`${year}-01-31 18:00`);
    await dialog.getByTestId("preview").filter({ hasText: `Next, by your time: 31 Jan ${year}, 18:00` }).waitFor();
    await dialog.getByLabel("While the run before is not finished").selectOption({ label: "let each wait" });
    await dialog.getByLabel("Runs that are left").fill("1");
    await dialog.getByRole("button", { name: "Save" }).click();
    await card.filter({ hasText: "report <i>later</i>" }).filter({ hasText: "once, " }).filter({ hasText: "1 run" }).waitFor();
    const stored = JSON.parse(await world.server.command("schedules", "list", "--json"));
    assert.deepEqual([stored.overlap, stored.enqueue.sessionKey, stored.remainingRuns], ["OVERLAP_POLICY_QUEUE", key, "1"]);
    await picture(page, "schedules");
    await page.getByRole("button", { name: "Delete nightly" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await page.getByText("There are no schedules yet.").waitFor();
    await page.evaluate((hash) => (window.location.hash = hash), `#/session/${key}`);
    await page.locator(".message.assistant", { hasText: "report <i>now</i>" }).waitFor();
  });
});

test("what was used is summed up by day, session, agent and label, and budgets bound it", async () => {
  await world.withPage(async (page) => {
    const key = world.newKey("used");
    await world.server.command("sessions", "create", key, "--label", "team=search");
    await world.server.command("send", key, "!usage=1200,300 hello");
    await goTo(page, "Usage");
    const rows = page.getByTestId("usage");
    await rows.filter({ hasText: new Date().toISOString().slice(0, 10) }).waitFor();
    await page.getByLabel("Group").selectOption({ label: "By session" });
    await rows.filter({ hasText: key }).filter({ hasText: "1,500" }).waitFor();
    await picture(page, "usage");
    await page.getByLabel("Group").selectOption({ label: "By agent" });
    await rows.filter({ hasText: "echo" }).waitFor();
    await page.getByLabel("Group").selectOption({ label: "By label" });
    await page.getByLabel("Name of the label").fill("team");
    await rows.filter({ hasText: "search" }).filter({ hasText: "1,500" }).waitFor();
    await page.getByLabel("Time").selectOption({ label: "All time" });
    await rows.filter({ hasText: "search" }).waitFor();
    await page.getByRole("button", { name: "Set a budget" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("For", { exact: true }).selectOption({ label: "A session" });
    await dialog.getByLabel("Key of the session").fill(key);
    await dialog.getByLabel("At most, in tokens").fill("a lot");
    await dialog.getByRole("button", { name: "Set", exact: true }).click();
    await dialog.getByRole("alert").filter({ hasText: "a lot is no whole number." }).waitFor();
    await dialog.getByLabel("At most, in tokens").fill("1 000");
    await dialog.getByRole("button", { name: "Set", exact: true }).click();
    const budget = page.getByTestId("budget").filter({ hasText: `Session ${key}` });
    await budget.filter({ hasText: "used up" }).filter({ hasText: "1,000" }).waitFor();
    await picture(page, "budgets");
    await budget.getByRole("button", { name: /^Take the budget/ }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Take away" }).click();
    await page.getByText("There is no budget").waitFor();
  });
});

test("keys are shown to a key that may manage them, are made and revoked, and no secret is kept", async () => {
  await world.withPage(async (page) => {
    await goTo(page, "API keys");
    const reader = await world.server.command("keys", "create", "--subject", "local", "--scopes", "session.read");
    await page.getByLabel("API key", { exact: true }).fill(reader);
    await page.getByRole("button", { name: "Show keys" }).click();
    await page.getByRole("alert").filter({ hasText: "admin.keys" }).waitFor();
    await picture(page, "keys-locked");
    await page.getByLabel("API key", { exact: true }).fill(world.key);
    await page.getByRole("button", { name: "Show keys" }).click();
    const row = (id) => page.locator(`[data-key="${id}"]`);
    await row(reader.split("_")[1]).filter({ hasText: "session.read" }).waitFor();
    await page.getByRole("button", { name: "New key" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("What for").fill("nightly <b>reports</b>");
    await dialog.getByLabel("Calls as").fill("reporter");
    await dialog.getByLabel("Ends after").fill("1h");
    await dialog.getByLabel("session.write").check();
    await picture(page, "new-key");
    await dialog.getByRole("button", { name: "Make the key" }).click();
    const secret = await dialog.getByTestId("secret").innerText();
    assert.match(secret, /^qdk_/);
    const who = await world.server.whoami(secret);
    assert.equal(who.principal, "default/reporter");
    assert.deepEqual(who.scopes, ["session.read", "session.write"]);
    await dialog.getByRole("button", { name: "Done" }).click();
    const made = row(secret.split("_")[1]);
    await made.filter({ hasText: "nightly <b>reports</b>" }).waitFor();
    await picture(page, "keys");
    await made.getByRole("button", { name: /^Revoke/ }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
    await made.waitFor({ state: "detached" });
    await page.getByLabel("Revoked and expired ones too").check();
    await made.filter({ hasText: "revoked" }).waitFor();
    await assert.rejects(world.server.whoami(secret));
    const everything = await page.evaluate(() => document.documentElement.outerHTML + JSON.stringify({ ...localStorage, ...sessionStorage }));
    assert.ok(!everything.includes(secret) && !everything.includes(world.key), "no secret is on the page or kept");
    // Who goes away has to enter it again.
    await goTo(page, "Server");
    await goTo(page, "API keys");
    await page.getByRole("button", { name: "Show keys" }).waitFor();
  });
});

test("the configuration is searched, changed within its bounds, and a change is taken back", async () => {
  await world.withPage(async (page) => {
    await goTo(page, "Configuration");
    const row = page.locator("[data-key=queue_limit_turns]");
    await row.waitFor();
    const before = await row.locator("td").nth(1).innerText();
    await page.getByLabel("Search the configuration").fill("queue_limit_turns");
    await page.waitForFunction(() => document.querySelectorAll("[data-testid=config]").length < 5);
    await row.getByRole("button", { name: /^Change/ }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Value").fill("-3");
    await dialog.getByRole("button", { name: "Change", exact: true }).click();
    await dialog.getByRole("alert").filter({ hasText: /\S/ }).waitFor();
    await dialog.getByLabel("Value").fill("7");
    await dialog.getByRole("button", { name: "Change", exact: true }).click();
    await row.filter({ hasText: "changed here" }).waitFor();
    assert.equal(await row.locator("td").nth(1).innerText(), "7");
    await picture(page, "configuration-changed");
    await row.getByRole("button", { name: /^Take the change/ }).click();
    await dialog.getByRole("button", { name: "Take back" }).click();
    await row.filter({ hasNotText: "changed here" }).waitFor();
    assert.equal(await row.locator("td").nth(1).innerText(), before);
    await page.getByLabel("Search the configuration").fill("");
    await page.getByLabel("Only what can be changed here").check();
    assert.equal(await page.getByTestId("config").count(), await page.getByRole("button", { name: /^Change / }).count());
  });
});

test("no page has a fault of accessibility, in light, dark and on a phone", async () => {
  const key = world.newKey("looks");
  await world.server.command("sessions", "create", key, "--label", "team=search");
  await world.server.command("send", key, "!usage=1200,300 hello");
  await world.server.command("send", key, "!fail=out_of_rum no luck").catch(() => undefined);
  for (const [look, options] of Object.entries(LOOKS)) {
    await world.withPage(async (page) => {
      if (look === "light") {
        await goTo(page, "Schedules");
        await page.getByRole("button", { name: "New schedule" }).click();
        await page.getByLabel("Name", { exact: true }).fill("looks");
        await page.getByLabel("Prompt").fill("report on what happened in the night");
        await page.getByLabel("Key of the session").fill(key);
        await assertAccessible(page, "the form of schedules");
        await page.getByRole("dialog").getByRole("button", { name: "Make" }).click();
        await page.getByTestId("schedule").waitFor();
        await goTo(page, "Usage");
        await page.getByRole("button", { name: "Set a budget" }).click();
        await page.getByLabel("At most, in tokens").fill("100");
        await assertAccessible(page, "the form of budgets");
        await page.getByRole("dialog").getByRole("button", { name: "Set", exact: true }).click();
        await page.getByTestId("budget").waitFor();
      }
      for (const [name, ready] of [
        ["Turns", "[data-testid=turn]"],
        ["Schedules", "[data-testid=schedule]"],
        ["Usage", "[data-testid=budget]"],
        ["API keys", "#manager"],
        ["Configuration", "[data-testid=config]"],
        ["Connections", ".table tbody tr"],
        ["Server", ".card"],
      ]) {
        await goTo(page, name);
        await page.locator(ready).first().waitFor();
        await assertAccessible(page, `${name}, ${look}`);
        await picture(page, `${name.toLowerCase().replace(" ", "-")}-${look}`);
        if (name !== "API keys") continue;
        await page.locator("#manager").fill(world.key);
        await page.getByRole("button", { name: "Show keys" }).click();
        await page.getByTestId("key").first().waitFor();
        await assertAccessible(page, `API keys, unlocked, ${look}`);
        await picture(page, `api-keys-unlocked-${look}`);
        await page.getByRole("button", { name: "New key" }).click();
        await page.getByRole("dialog").waitFor();
        await assertAccessible(page, `the form of keys, ${look}`);
        await page.keyboard.press("Escape");
      }
      if (look !== "phone") return;
      await page.getByRole("button", { name: "More", exact: true }).click();
      await assertAccessible(page, "the places behind More");
      await picture(page, "phone-more");
    }, options);
  }
});
