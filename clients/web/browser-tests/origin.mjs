// Where the console is served: by the server itself.
import { readFile } from "node:fs/promises";

const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** Origin of the console. */
export async function consoleOrigin(server) {
  // By its name and not by its number, as a person would.
  const origin = server.address.replace("127.0.0.1", "localhost");
  const page = await (await fetch(`${origin}/`)).text();
  return { origin, served: page.includes('id="app"'), close: () => undefined };
}

/** TEMPORARY: gives the page its files where the server's binary has none. */
export async function serveDist(context, origin) {
  const types = { html: "text/html", js: "text/javascript", css: "text/css", svg: "image/svg+xml" };
  await context.route(
    (url) => url.origin === origin && !url.pathname.startsWith("/quarterdeck.v1."),
    async (route) => {
      const { pathname } = new URL(route.request().url());
      const file = pathname === "/" ? "index.html" : pathname.slice(1);
      const body = await readFile(new URL(`../dist/${file}`, import.meta.url));
      await route.fulfill({ body, contentType: types[file.split(".").at(-1)], headers: { "content-security-policy": policy } });
    },
  );
}
