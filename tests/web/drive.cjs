// Opens a page in a headless browser and runs functions of its `window.calls`, as standard input says: one JSON array of
// `[url, function, argument]`. Says what each returned, as one JSON array, and keeps a picture after each.
//
//     NODE_PATH=… node drive.cjs CHROMIUM PICTURE < STEPS
const { chromium } = require("playwright-core");

const [executablePath, picture] = process.argv.slice(2);
const PATIENCE = 60_000; // milliseconds

(async () => {
  const steps = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
  // The sandbox needs a user other than root, which a container of tests rarely has.
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on("pageerror", (error) => console.error(String(error)));
  const results = [];
  for (const [url, name, argument] of steps) {
    if (page.url() !== url) await page.goto(url);
    results.push(await page.evaluate(([name, argument]) => window.calls[name](argument), [name, argument]));
    await page.screenshot({ path: `${picture}-${name}.png` });
  }
  await browser.close();
  console.log(JSON.stringify(results));
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
