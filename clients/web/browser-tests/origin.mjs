// Where the console is served: by the server itself; or, while one works on it, its files out of dist/.
import { readFile } from "node:fs/promises";
import { extname } from "node:path";

const dist = new URL("../dist/", import.meta.url);
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml" };

/** Origin of the console. Throws where the server was compiled without it. */
export async function consoleOrigin(server) {
  // By its name and not by its number, as a person would.
  const origin = server.address.replace("127.0.0.1", "localhost");
  if (process.env.QUARTERDECK_TEST_DIST) return origin;
  const page = await (await fetch(`${origin}/`)).text();
  if (!page.includes('id="app"')) throw new Error("the server has no console: run ./check here, then compile it");
  return origin;
}

/** With `QUARTERDECK_TEST_DIST` pages get the files that were built last, under the server's own policy. */
export async function servePages(context, origin) {
  if (!process.env.QUARTERDECK_TEST_DIST) return;
  const policy = (await fetch(`${origin}/`)).headers.get("content-security-policy");
  const isFile = (url) => url.origin === origin && (url.pathname === "/" || url.pathname.startsWith("/assets/") || url.pathname === "/icon.svg");
  await context.route(isFile, async (route) => {
    const { pathname } = new URL(route.request().url());
    const path = pathname === "/" ? "index.html" : pathname.slice(1);
    const body = await readFile(new URL(path, dist));
    await route.fulfill({ body, headers: { "content-type": TYPES[extname(path)], "content-security-policy": policy } });
  });
}
