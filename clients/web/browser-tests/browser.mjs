// Debian's Chromium, and pages that note everything that should not happen.
import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { servePages } from "./origin.mjs";
import { chromium } from "playwright-core";

const results = fileURLToPath(new URL("../test-results/", import.meta.url));

/** Chromium must not look for anything outside this machine. As root it needs to do without its sandbox. */
const flags = [
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
];

/** Starts the browser. */
export async function launch() {
  await mkdir(results, { recursive: true });
  return chromium.launch({ executablePath: process.env.QUARTERDECK_TEST_CHROMIUM ?? "/usr/bin/chromium", args: flags });
}

/** Opens a page of the console. What is wrong on it is gathered in `faults`. */
export async function open(browser, origin, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: "en-GB", ...options });
  await servePages(context, origin);
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const faults = [];
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) =>
      window.violations.push(`${event.violatedDirective} ${event.blockedURI}`),
    );
  });
  page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
  page.on("dialog", (dialog) => {
    faults.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("request", (request) => {
    if (/^https?:/.test(request.url()) && !request.url().startsWith(origin)) faults.push(`request to ${request.url()}`);
    if (request.url().includes("qdk_")) faults.push("a key in an address");
  });
  page.on("console", (message) => {
    if (/content security policy/i.test(message.text())) faults.push(message.text());
  });
  await page.goto(`${origin}/`);
  return { page, context, faults };
}

/** Signs in by the form. */
export async function signIn(page, key) {
  await page.getByLabel("API key").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("navigation", { name: "Places" }).waitFor();
}

/** Keeps a picture for people to look at. */
export async function picture(page, name) {
  await page.screenshot({ path: `${results}${name}.png`, animations: "disabled" });
}
