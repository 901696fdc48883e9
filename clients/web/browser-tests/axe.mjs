// Accessibility: what axe-core finds on a page as it stands.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/** Light, dark, and a phone. */
export const LOOKS = {
  light: { colorScheme: "light" },
  dark: { colorScheme: "dark" },
  phone: { colorScheme: "light", viewport: { width: 390, height: 844 } },
};

/** Fails where the page has a fault that counts. */
export async function assertAccessible(page, where) {
  // What comes in and changes fades, and a text that is half there has another contrast: what it comes to is what counts.
  await page.emulateMedia({ reducedMotion: "reduce" });
  const moving = await page.evaluate(() =>
    document.getAnimations().filter((each) => each.effect?.getTiming().iterations !== Infinity).map((each) => each.animationName ?? each.transitionProperty),
  );
  assert.deepEqual(moving, [], `${where}: nothing moves once for those who want less motion`);
  await page.evaluate(axe);
  const found = await page.evaluate((rules) => window.axe.run(document, { runOnly: rules }), RULES);
  const faults = found.violations
    .filter(({ impact }) => impact === "serious" || impact === "critical" || impact === "moderate")
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.target} ${node.any[0]?.message ?? ""}`).join(", ")}`);
  assert.deepEqual(faults, [], where);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), `${where}: nothing runs over the side`);
}
