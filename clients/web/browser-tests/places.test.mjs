// Everything around the sessions: memory, who is connected, logs, server, keyboard, phone, scopes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { open, picture, signIn } from "./browser.mjs";
import { Server } from "./server.mjs";
import { consoleOrigin } from "./origin.mjs";
import { goTo, say, settled, setup, visit } from "./setup.mjs";

const world = setup();

test("a wrong key is refused in place, a right one goes in, and signing out erases it", async () => {
  const { page, context, faults } = await open(world.browser, world.origin);
  await page.getByLabel("API key").fill("qdk_nobody");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("alert").filter({ hasText: /\S/ }).waitFor();
  await picture(page, "sign-in-refused");
  await signIn(page, world.key);
  const stored = () => page.evaluate(() => [sessionStorage.length, localStorage.getItem("quarterdeck.key")]);
  const neverThePastedKey = async () => {
    const all = await page.evaluate(() => JSON.stringify([{ ...sessionStorage }, { ...localStorage }, document.cookie]));
    assert.ok(!all.includes("qdk_"), "the key itself is kept nowhere");
    assert.ok(all.includes("qdx_"), "what it was exchanged for is");
  };
  await neverThePastedKey();
  assert.deepEqual(await stored(), [1, null], "without the tick it is kept for this tab alone");
  assert.ok(!page.url().includes("qdk_"));
  await page.reload();
  await page.getByRole("navigation", { name: "Places" }).waitFor();
  await page.getByRole("button", { name: /^Sign out/ }).click();
  await page.getByLabel("API key").waitFor();
  assert.deepEqual(await stored(), [0, null]);
  await page.getByLabel("Remember the sign-in in this browser").check();
  await signIn(page, world.key);
  assert.match((await stored())[1], /^qdx_/);
  await neverThePastedKey();
  await page.getByRole("button", { name: /^Sign out/ }).click();
  await page.getByLabel("API key").waitFor();
  assert.deepEqual(await stored(), [0, null]);
  assert.deepEqual(faults, []);
  await context.close();
});

test("what is kept in the browser makes no keys, ends calmly, and a key of an earlier console is exchanged", async () => {
  const { page, context, faults } = await open(world.browser, world.origin);
  await signIn(page, world.key);
  const kept = await page.evaluate(() => sessionStorage.getItem("quarterdeck.key"));
  const who = await world.server.whoami(kept);
  assert.ok(who.scopes.includes("session.write"));
  assert.ok(!who.scopes.includes("admin.keys") && !who.scopes.includes("*"), "it makes no keys");
  const hours = (Date.parse(who.expireTime) - Date.now()) / 3_600_000;
  assert.ok(hours > 11.9 && hours <= 12, `it ends in ${hours} hours`);
  // It is over: the page asks again, and where one was is kept.
  await page.evaluate(() => {
    window.location.hash = "#/memory";
    sessionStorage.setItem("quarterdeck.key", "qdx_over");
  });
  await page.reload();
  await page.getByRole("alert").filter({ hasText: "Sign in again" }).waitFor();
  assert.ok(page.url().endsWith("#/memory"));
  await page.evaluate((key) => localStorage.setItem("quarterdeck.key", key), world.key);
  await page.reload();
  await page.getByRole("navigation", { name: "Places" }).waitFor();
  const all = await page.evaluate(() => JSON.stringify([{ ...sessionStorage }, { ...localStorage }]));
  assert.ok(!all.includes("qdk_"), "the key of before is gone");
  assert.match(await page.evaluate(() => localStorage.getItem("quarterdeck.key")), /^qdx_/);
  assert.deepEqual(faults, []);
  await context.close();
});

test("a server that asks for no key is entered at once", async () => {
  const server = await Server.start({ flags: ["--no-auth"] });
  const { page, context } = await open(world.browser, await consoleOrigin(server));
  await page.getByRole("navigation", { name: "Places" }).waitFor();
  assert.equal(await page.getByRole("button", { name: /^Sign out/ }).count(), 0);
  await context.close();
  await server.stop();
});

test("an address in the location changes nothing about where calls go", async () => {
  const { page, context, faults } = await open(world.browser, world.origin);
  await page.goto(`${world.origin}/?address=http://localhost:9&gatewayUrl=ws://localhost:9#/session/main?address=http://localhost:9`);
  await signIn(page, world.key);
  await page.locator('[data-session="main"]').waitFor();
  assert.deepEqual(faults, [], "no call left the console's own origin");
  await context.close();
});

test("memory is remembered, found with its match marked, changed, and forgotten", async () => {
  await world.withPage(async (page) => {
    await page.getByRole("link", { name: "Memory" }).click();
    for (const [content, key] of [
      ["Ana eats no fish", "diet"],
      ["The ship leaves at dawn", "plan"],
    ]) {
      await page.getByRole("button", { name: "Remember", exact: true }).click();
      await page.getByLabel("What").fill(content);
      await page.getByLabel("Key (optional)").fill(key);
      await page.getByLabel("Tags").fill("people, food");
      await page.getByRole("dialog").getByRole("button", { name: "Remember" }).click();
      await page.getByTestId("memory").filter({ hasText: content }).waitFor();
    }
    await page.getByLabel("Search memory").fill("fish");
    await page.locator("mark", { hasText: "fish" }).waitFor();
    await page.waitForFunction(() => document.querySelectorAll("[data-testid=memory]").length === 1);
    await picture(page, "memory");
    await page.getByRole("button", { name: "Edit" }).click();
    await page.getByLabel("What").fill("Ana eats fish on Fridays");
    await page.getByRole("dialog").getByRole("button", { name: "Save" }).click();
    await page.getByTestId("memory").filter({ hasText: "Fridays" }).waitFor();
    await page.getByRole("button", { name: "History" }).click();
    await page.getByRole("dialog").getByText("Ana eats no fish").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Forget" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Forget" }).click();
    await page.getByText("Nothing was found.").waitFor();
    await page.getByLabel("Search memory").fill("");
    await page.waitForFunction(() => document.querySelectorAll("[data-testid=memory]").length === 1);
  });
});

test("what was said in a conversation is found from the memory", async () => {
  await world.withPage(async (page) => {
    const key = world.newKey("said");
    await visit(page, key);
    await say(page, "the password of the galley is barnacle");
    await settled(page);
    await page.getByRole("link", { name: "Memory" }).click();
    await page.getByLabel("Search memory").fill("barnacle");
    await page.getByTestId("episode").first().getByRole("link", { name: key }).click();
    await page.getByRole("heading", { name: key }).waitFor();
  });
});

test("the console holds one stream, and one more while the logs are shown", async () => {
  await world.withPage(async (page) => {
    await visit(page, world.newKey("streams"));
    await say(page, "hello");
    await settled(page);
    const rows = async () => (await page.locator(".table tbody tr td:nth-child(2)").allInnerTexts()).map((text) => text.trim());
    await page.getByRole("link", { name: "Connections" }).click();
    await page.locator(".table tbody tr").first().waitFor();
    await page.waitForFunction(() => document.querySelectorAll(".table tbody tr").length === 1, undefined, { timeout: 15_000 });
    assert.deepEqual(await rows(), ["SubscribeMany"]);
    await picture(page, "connections");
  });
});

test("the log is followed from a level on", async () => {
  await world.withPage(async (page) => {
    await page.getByRole("link", { name: "Logs" }).click();
    await page.locator(".log-line", { hasText: "accepting calls" }).waitFor();
    await world.server.command("send", world.newKey("logged"), "make a record");
    await page.locator(".log-line.info", { hasText: "ended" }).first().waitFor();
    await picture(page, "logs");
    await page.getByLabel("Level").selectOption({ label: "Errors" });
    await page.getByText("No records yet.").waitFor();
  });
});

test("server facts are shown", async () => {
  await world.withPage(async (page) => {
    await page.getByRole("link", { name: "Server" }).click();
    await page.getByText("Turns that wait in a session").waitFor();
    await page.getByRole("region", { name: "Agents" }).getByText("default").waitFor();
    await picture(page, "server");
  });
});

test("the keyboard does what its help says", async () => {
  await world.withPage(async (page) => {
    await visit(page, world.newKey("keys"));
    await visit(page, "main");
    await page.keyboard.press("Escape");
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
    await picture(page, "help");
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.keyboard.press("g");
    await page.keyboard.press("m");
    await page.getByRole("main", { name: "Memory" }).waitFor();
    await page.keyboard.press("g");
    await page.keyboard.press("s");
    await page.keyboard.press("j");
    await page.getByRole("main", { name: /^Session / }).waitFor();
    const before = page.url();
    await page.keyboard.press("Escape");
    await page.keyboard.press("j");
    await page.waitForFunction((url) => window.location.href !== url, before);
    await page.getByLabel("Message", { exact: true }).waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.press("/");
    assert.equal(await page.evaluate(() => document.activeElement?.getAttribute("aria-label")), "Search sessions");
    await page.keyboard.type("nothing is called so");
    await page.getByText("No session matches.").waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.press("n");
    await page.getByRole("dialog", { name: "New session" }).waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.press("c");
    assert.equal(await page.evaluate(() => document.activeElement?.getAttribute("aria-label")), "Message");
    await page.keyboard.type("n/?");
    assert.equal(await page.getByLabel("Message", { exact: true }).inputValue(), "n/?", "fields keep their keys");
  });
});

test("everything can be used at the width of a phone", async () => {
  const phone = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };
  await world.withPage(async (page) => {
    const fits = async (where) => {
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= 360, `${where} is ${width} pixels wide`);
      const cut = await page.evaluate(() =>
        [...document.querySelectorAll("button, a, input, select, textarea")]
          .filter((each) => each.checkVisibility() && !each.closest(".unseen") && !each.closest(".table-frame"))
          .filter((each) => each.getBoundingClientRect().right > 361 || each.getBoundingClientRect().left < -1)
          .filter((each) => !each.classList.contains("unseen"))
          .map((each) => each.outerHTML.slice(0, 120)),
      );
      assert.deepEqual(cut, [], `${where}: nothing stands outside`);
    };
    await page.locator('[data-session="main"]').waitFor();
    await fits("the list");
    await picture(page, "phone-list");
    await page.locator('[data-session="main"]').click();
    await page.getByLabel("Message", { exact: true }).fill("!tool=calculator !delay=40ms # A heading\n\n| a | b |\n|---|---|\n| averyveryveryverylongwordthatdoesnotfitanywhereonaphone | 2 |\n\n```\na line of code that is much longer than a phone is wide, and scrolls\n```");
    await page.getByRole("button", { name: "Send" }).click();
    await page.getByRole("button", { name: "Stop", exact: true }).waitFor();
    await fits("a running session");
    await picture(page, "phone-running");
    await settled(page);
    await page.getByTestId("tool-call").last().locator("summary").click();
    await fits("a session");
    await picture(page, "phone-session");
    await page.getByRole("button", { name: "All sessions" }).click();
    for (const place of ["Turns", "Schedules", "Webhooks", "Workers", "Routing", "Memory", "Usage", "Connections", "Logs", "API keys", "Configuration", "Server"]) {
      await goTo(page, place);
      await page.getByRole("main", { name: place }).waitFor();
      await fits(place);
      await picture(page, `phone-${place.toLowerCase().replace(" ", "-")}`);
    }
  }, phone);
});

test("what a key may not do is hidden, or names the scope that is missing", async () => {
  const key = await world.server.command("keys", "create", "--subject", "local", "--scopes", "session.read");
  await world.withPage(
    async (page) => {
      await page.locator('[data-session="main"]').click();
      await page.getByText("session.write").waitFor();
      assert.equal(await page.getByRole("button", { name: "New session" }).count(), 0);
      assert.equal(await page.getByRole("button", { name: "Reset" }).count(), 0);
      for (const [place, scope] of [
        ["Memory", "memory.read"],
        ["Logs", "admin.logs"],
        ["Connections", "admin.logs"],
        ["Configuration", "admin.config"],
      ]) {
        await page.getByRole("link", { name: place }).click();
        await page.getByRole("main").getByText(scope).waitFor();
      }
      await picture(page, "missing-scope");
    },
    { key },
  );
});

test("a revoked key leads back to the form", async () => {
  const key = await world.server.command("keys", "create", "--subject", "local", "--scopes", "session.read");
  await world.withPage(
    async (page) => {
      await page.locator('[data-session="main"]').waitFor();
      const id = key.split("_")[1];
      await world.server.command("keys", "revoke", id);
      await page.getByLabel("API key").waitFor();
      assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    },
    { key },
  );
});
