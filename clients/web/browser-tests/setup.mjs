// What every file of tests needs: a server, a browser, and pages that are signed in.
import assert from "node:assert/strict";
import { after, before } from "node:test";
import { launch, open, signIn } from "./browser.mjs";
import { consoleOrigin } from "./origin.mjs";
import { Server } from "./server.mjs";

/** Starts server, with a configuration of its own where one is given, and browser before the tests of a file, and ends them after. */
export function setup(config = "") {
  const world = {};
  let sessions = 0;
  before(async () => {
    world.server = await Server.start({ config });
    world.origin = await consoleOrigin(world.server);
    world.browser = await launch();
    world.key = await world.server.adminKey();
  });
  after(async () => {
    await world.browser?.close();
    await world.server?.stop();
  });
  /** Runs a test on a page of its own, signed in, which must stay without fault. */
  world.withPage = async (test, options) => {
    const { page, context, faults } = await open(world.browser, world.origin, options);
    try {
      await signIn(page, options?.key ?? world.key);
      await test(page);
      assert.deepEqual(await page.evaluate(() => window.violations), [], "violations of the content security policy");
      assert.deepEqual(faults, []);
    } finally {
      await context.close();
    }
  };
  /** A key of a session that no other test uses. */
  world.newKey = (name) => {
    sessions += 1;
    return `${name}-${sessions}`;
  };
  return world;
}

/** Goes to a session, and makes it where it isn't there. */
export async function visit(page, key) {
  await page.evaluate((hash) => (window.location.hash = hash), `#/session/${encodeURIComponent(key)}`);
  const create = page.getByRole("button", { name: "Create it" });
  await page.getByLabel("Message").or(create).first().waitFor();
  if (await create.isVisible()) await create.click();
  await page.getByLabel("Message", { exact: true }).waitFor();
}

/** Goes to a page by its link, which a phone has behind "More". */
export async function goTo(page, name) {
  const link = page.getByRole("link", { name, exact: true });
  const more = page.getByRole("button", { name: "More", exact: true });
  await page.getByRole("navigation", { name: "Places" }).waitFor();
  if ((await more.isVisible()) && !(await link.isVisible())) await more.click();
  await link.click();
  await page.getByRole("main", { name, exact: true }).waitFor();
}

/** Writes a message and sends it. */
export async function say(page, text) {
  await page.getByLabel("Message", { exact: true }).fill(text);
  await page.getByLabel("Message", { exact: true }).press("Enter");
}

/** Waits until nothing runs and nothing waits, with at least so many turns ended. */
export async function settled(page, turns = 1) {
  await page.waitForFunction(
    (wanted) =>
      document.querySelectorAll("[data-testid=turn-end]").length >= wanted &&
      document.querySelector("[data-testid=session-state]")?.textContent === "idle",
    turns,
  );
}

/** Texts of what the agent said, in order. */
export function answers(page) {
  return page.locator(".message.assistant .markdown").allInnerTexts();
}

/** Items of all messages that are shown, in order. */
export function items(page) {
  return page.locator("[data-item]").evaluateAll((all) => all.map((each) => each.dataset.item));
}
