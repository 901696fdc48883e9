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
  // Animations fade texts in and out; what they come to is what counts.
  // One whose element goes is cut off, and rejects.
  await page.evaluate(() => Promise.allSettled(document.getAnimations().map((each) => each.effect?.getTiming().iterations === Infinity || each.finished)));
  await page.evaluate(axe);
  const found = await page.evaluate((rules) => window.axe.run(document, { runOnly: rules }), RULES);
  const faults = found.violations
    .filter(({ impact }) => impact === "serious" || impact === "critical" || impact === "moderate")
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.target} ${node.any[0]?.message ?? ""}`).join(", ")}`);
  assert.deepEqual(faults, [], where);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), `${where}: nothing runs over the side`);
}
