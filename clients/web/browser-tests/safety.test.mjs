// What must not happen: script in a message, inaccessible parts, slow first paint, a large bundle.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { open, picture } from "./browser.mjs";
import { say, settled, setup, visit } from "./setup.mjs";

const world = setup();
const require = createRequire(import.meta.url);

/** All of the page together, packed, in bytes. */
const BUNDLE_MAX = 200 * 1024;
/** First paint on loopback, in milliseconds. */
const PAINT_MAX_MS = 1000;

test("script in messages and results never runs, and never becomes an element", async () => {
  await world.withPage(async (page) => {
    await visit(page, world.newKey("attack"));
    const attacks = [
      "<script>window.pwned=1</script>",
      '<img src="x" onerror="window.pwned=1">',
      '<svg onload="window.pwned=1"><animate onbegin="window.pwned=1"/></svg>',
      "[a](javascript:window.pwned=1) [b](data:text/html,<script>window.pwned=1</script>) [c](vbscript:x)",
      "![x](javascript:window.pwned=1) ![y](http://localhost:9/beacon.png) ![z](data:image/svg+xml;base64,PHN2Zy8+)",
      '<iframe srcdoc="<script>parent.pwned=1</script>"></iframe><form action="/x"><button>send</button></form>',
      '<a href="javascript:window.pwned=1" style="position:fixed;inset:0">all</a><style>body{display:none}</style>',
      "`<img src=x onerror=window.pwned=1>` <math><mtext><table><mglyph><style><img src=x onerror=window.pwned=1>",
    ];
    for (const [at, attack] of attacks.entries()) {
      await say(page, `!tool=<b>calc</b> ${attack}`);
      await settled(page, at + 1);
    }
    for (const call of await page.getByTestId("tool-call").all()) await call.locator("summary").click();
    for (const link of await page.locator(".message.assistant a").all()) {
      const href = await link.getAttribute("href");
      if (href !== null) assert.match(href, /^(https?|mailto):/);
      if (href !== null) assert.match((await link.getAttribute("rel")) ?? "", /noopener/);
    }
    const forbidden = "script, iframe, form, style, object, embed, svg:not(.icon), math, [onerror], [onload], [style], img:not([src^='blob:'], [src^='data:image/png'])";
    assert.equal(await page.locator(".transcript-inner").locator(forbidden).count(), 0);
    assert.equal(await page.evaluate(() => window.pwned), undefined);
    await picture(page, "attack");
  });
});

test("no part has a serious fault of accessibility, light or dark", async () => {
  const axe = await readFile(require.resolve("axe-core/axe.min.js"), "utf8");
  for (const colorScheme of ["light", "dark"]) {
    await world.withPage(
      async (page) => {
        const check = async (where) => {
          // Animations fade texts in and out; what they come to is what counts.
          await page.evaluate(() => Promise.all(document.getAnimations().map((each) => each.effect?.getTiming().iterations === Infinity || each.finished)));
          await page.evaluate(axe);
          const found = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
          const serious = found.violations
            .filter(({ impact }) => impact === "serious" || impact === "critical" || impact === "moderate")
            .map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.target} ${node.any[0]?.message ?? ""}`).join(", ")}`);
          assert.deepEqual(serious, [], `${where}, ${colorScheme}`);
        };
        const key = world.newKey("axe");
        await check("the list");
        await visit(page, key);
        await say(page, "!think=let_me_see !tool=calculator # Title\n\nSome **text** with `code` and [a link](https://example.org).\n\n- [x] done\n- [ ] open\n\n> quoted\n\n```\ncode\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |");
        await settled(page, 1);
        await say(page, "!toolfail=calculator !fail=no_reason");
        await settled(page, 2);
        await say(page, "!hang");
        await page.getByRole("button", { name: "Queue", exact: true }).first().click();
        await say(page, "waiting");
        await page.getByTestId("queued").waitFor();
        for (const fold of await page.locator(".transcript summary").all()) await fold.click();
        await check("a session");
        await picture(page, `session-${colorScheme}`);
        await page.getByRole("button", { name: "Stop", exact: true }).click();
        await settled(page, 4);
        await page.keyboard.press("Escape");
        await page.keyboard.press("?");
        await page.getByRole("dialog").waitFor();
        await check("the help");
        await page.keyboard.press("Escape");
        await page.keyboard.press("n");
        await check("the form for a session");
        await page.keyboard.press("Escape");
        for (const place of ["Memory", "Connections", "Logs", "Server"]) {
          await page.getByRole("link", { name: place }).click();
          await page.getByRole("main", { name: place }).waitFor();
          await check(place);
          await picture(page, `${place.toLowerCase()}-${colorScheme}`);
        }
      },
      { colorScheme },
    );
  }
  const { page, context } = await open(world.browser, world.origin);
  await page.getByLabel("API key").waitFor();
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run());
  assert.deepEqual(violations.map(({ id }) => id), [], "the form for the key");
  await picture(page, "sign-in");
  await context.close();
});

test("light and dark follow the system until a person chooses", async () => {
  await world.withPage(
    async (page) => {
      const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      const dark = await ground();
      await page.emulateMedia({ colorScheme: "light" });
      const light = await ground();
      assert.notEqual(light, dark);
      await page.getByRole("button", { name: /^Theme/ }).click();
      assert.equal(await ground(), light);
      await page.getByRole("button", { name: /^Theme: light/ }).click();
      assert.equal(await ground(), dark);
      await page.reload();
      await page.getByRole("button", { name: /^Theme: dark/ }).waitFor();
      assert.equal(await ground(), dark, "the choice stays");
    },
    { colorScheme: "dark" },
  );
});

test("the first paint comes within a second", async (context) => {
  const paints = [];
  for (let run = 0; run < 3; run += 1) {
    const { page, context: own } = await open(world.browser, world.origin);
    await page.getByLabel("API key").waitFor();
    paints.push(
      await page.evaluate(
        () =>
          new Promise((done) => {
            new PerformanceObserver((list) => {
              const paint = list.getEntries().find(({ name }) => name === "first-contentful-paint");
              if (paint) done(Math.round(paint.startTime));
            }).observe({ type: "paint", buffered: true });
          }),
      ),
    );
    await own.close();
  }
  context.diagnostic(`first contentful paint: ${paints.join(", ")} ms`);
  assert.ok(Math.max(...paints) < PAINT_MAX_MS, `${paints} ms`);
});

test("what the server serves is small, has no source maps, and comes with its policy", async (context) => {
  const page = await fetch(`${world.origin}/`);
  const policy = page.headers.get("content-security-policy") ?? "";
  assert.match(policy, /default-src 'none'/);
  assert.doesNotMatch(policy, /unsafe|\*/);
  const html = await page.text();
  assert.doesNotMatch(html, /<style|style=|<script(?![^>]* src=)/, "nothing is inline");
  const files = [...html.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, path]) => path);
  assert.ok(files.some((path) => path.endsWith(".js")) && files.some((path) => path.endsWith(".css")), `${files}`);
  let packed = gzipSync(html).length;
  for (const path of files) {
    const answer = await fetch(`${world.origin}${path}`);
    assert.equal(answer.status, 200, path);
    if (/\.(?:js|css)$/.test(path)) assert.equal(answer.headers.get("content-encoding"), "gzip", `${path} is sent packed`);
    const bytes = Buffer.from(await answer.arrayBuffer());
    assert.ok(!bytes.includes("sourceMappingURL"), path);
    packed += gzipSync(bytes).length;
    assert.notEqual((await fetch(`${world.origin}${path}.map`)).status, 200, `${path}.map`);
  }
  context.diagnostic(`bundle: ${(packed / 1024).toFixed(1)} KiB packed`);
  assert.ok(packed < BUNDLE_MAX, `${packed} bytes`);
});
