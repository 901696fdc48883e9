// The details of a session: what they tell, and each setting that can be changed there.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertAccessible, LOOKS } from "./axe.mjs";
import { picture } from "./browser.mjs";
import { say, settled, setup, visit } from "./setup.mjs";

const world = setup();

const details = (page) => page.getByRole("complementary", { name: "Details" });
/** The value that stands beside a name. */
const value = (page, name) => details(page).locator("dl > div").filter({ has: page.locator("dt").getByText(name, { exact: true }) }).locator("dd > span");

/** Opens the form of a setting, fills it in and saves. */
async function change(page, button, fill) {
  await details(page).getByRole("button", { name: button }).click();
  const dialog = page.getByRole("dialog");
  await fill(dialog);
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.waitFor({ state: "detached" });
}

test("details tell what a session used, whose it is and what its ids are", async () => {
  await world.withPage(
    async (page) => {
      const key = world.newKey("details");
      await visit(page, key);
      await say(page, "!usage=1200,300 hello");
      await settled(page);
      assert.equal(await details(page).count(), 0, "they are closed at first");
      await page.getByRole("button", { name: "Details", exact: true }).click();
      await value(page, "Owner").filter({ hasText: /^default\// }).waitFor();
      for (const [name, text] of [
        ["Key", key],
        ["Agent", /^echo$/],
        ["Messages", "2"],
        ["Shared with", "nobody"],
        ["Labels", "none"],
        ["Directory", "the session's own"],
        ["Memory", "the session's own"],
        ["Deleted when idle for", "never"],
        ["Tool rules", "the agent's own"],
        ["Session id", /^[0-9a-f-]{36}$/],
        ["Log id", /^[0-9a-f-]{36}$/],
      ]) {
        await value(page, name).filter({ hasText: text }).waitFor();
      }
      for (const name of ["Tokens", "Model calls", "Cost", "Context", "Created", "Last active"]) assert.notEqual(await value(page, name).innerText(), "", name);
      await details(page).getByRole("button", { name: "Copy session id" }).click();
      assert.equal(await page.evaluate(() => navigator.clipboard.readText()), await value(page, "Session id").innerText());
      await page.keyboard.press("d");
      await details(page).waitFor({ state: "detached" });
      await page.keyboard.press("d");
      await details(page).waitFor();
    },
    { permissions: ["clipboard-read", "clipboard-write"] },
  );
});

test("each setting is changed by its form, and one that is refused says why", async () => {
  await world.withPage(async (page) => {
    const key = world.newKey("settings");
    await visit(page, key);
    await page.keyboard.press("Escape");
    await page.keyboard.press("d");
    await change(page, "Change name", (dialog) => dialog.getByLabel("Name", { exact: true }).fill("Ship's log"));
    await page.getByRole("heading", { name: "Ship's log" }).waitFor();
    await change(page, "Change labels", async (dialog) => {
      await dialog.getByRole("button", { name: "Add label" }).click();
      await dialog.getByLabel("Name 1").fill("team");
      await dialog.getByLabel("Value 1").fill("<b>search</b>");
      await dialog.getByRole("button", { name: "Add label" }).click();
      await dialog.getByLabel("Name 2").fill("tier");
      await dialog.getByLabel("Value 2").fill("gold");
    });
    await value(page, "Labels").filter({ hasText: "team=<b>search</b>" }).filter({ hasText: "tier=gold" }).waitFor();
    await change(page, "Change labels", (dialog) => dialog.getByRole("button", { name: "Remove label 1" }).click());
    await value(page, "Labels").filter({ hasText: /^tier=gold$/ }).waitFor();
    await change(page, "Change sharing", async (dialog) => {
      await dialog.getByRole("button", { name: "Add person" }).click();
      await dialog.getByLabel("tenant/name 1").fill("default/ada");
      await dialog.getByLabel("Access 1").selectOption({ label: "may read and write" });
    });
    await value(page, "Shared with").filter({ hasText: "default/ada (read and write)" }).waitFor();
    await change(page, "Change memory", (dialog) => dialog.getByLabel("Memory that the agent reaches").fill("@session\nprojects"));
    await value(page, "Memory").filter({ hasText: "the session's own, projects" }).waitFor();
    await change(page, "Change idle time", (dialog) => dialog.getByLabel("Delete after").fill("7d"));
    await value(page, "Deleted when idle for").filter({ hasText: "7d" }).waitFor();
    await change(page, "Change idle time", (dialog) => dialog.getByLabel("Delete after").fill(""));
    await value(page, "Deleted when idle for").filter({ hasText: "never" }).waitFor();
    await change(page, "Change questions", async (dialog) => {
      await dialog.getByLabel("Where nobody is there to answer").selectOption({ label: "It is denied at once" });
    });
    await value(page, "Unanswered questions").filter({ hasText: "denied at once" }).waitFor();
    await change(page, "Change tool rules", async (dialog) => {
      await dialog.getByRole("button", { name: "Add rule" }).click();
      await dialog.getByLabel("Tool 1", { exact: true }).fill("bash");
      await dialog.getByLabel("What happens 1").selectOption({ label: "never run" });
    });
    await value(page, "Tool rules").filter({ hasText: "bash: deny" }).waitFor();
    await picture(page, "details-settings");
    // Refused: it lies below none of the agent's roots.
    await details(page).getByRole("button", { name: "Change directory" }).click();
    await page.getByRole("dialog").getByLabel("Directory on the server").fill("/");
    await page.getByRole("dialog").getByRole("button", { name: "Save" }).click();
    await page.getByRole("dialog").getByRole("alert").filter({ hasText: /\S/ }).waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
    await details(page).getByRole("button", { name: "Change idle time" }).click();
    await page.getByRole("dialog").getByLabel("Delete after").fill("soon");
    await page.getByRole("dialog").getByRole("button", { name: "Save" }).click();
    await page.getByRole("dialog").getByRole("alert").filter({ hasText: "write it like" }).waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
    // The agent of the next conversation.
    await details(page).getByRole("button", { name: "Change agent" }).click();
    await page.getByRole("dialog").getByLabel("Agent").waitFor();
    await page.keyboard.press("Escape");
    await page.reload();
    await page.getByRole("button", { name: "Details", exact: true }).click();
    await value(page, "Labels").filter({ hasText: "tier=gold" }).waitFor();
    await value(page, "Shared with").filter({ hasText: "default/ada" }).waitFor();
  });
});

test("details have no fault of accessibility, in light, dark and on a phone", async () => {
  for (const [look, options] of Object.entries(LOOKS)) {
    await world.withPage(async (page) => {
      await visit(page, world.newKey(`details-${look}`));
      await say(page, "!usage=1200,300 hello");
      await settled(page);
      await page.getByRole("button", { name: "Details", exact: true }).click();
      await details(page).waitFor();
      await assertAccessible(page, `details, ${look}`);
      await picture(page, `details-${look}`);
      await details(page).getByRole("button", { name: "Change labels" }).click();
      await page.getByRole("dialog").getByRole("button", { name: "Add label" }).click();
      await assertAccessible(page, `the form of labels, ${look}`);
      await picture(page, `details-labels-${look}`);
    }, options);
  }
});
