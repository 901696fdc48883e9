// Where the console is served: by the server itself.

/** Origin of the console. Throws where the server was compiled without it. */
export async function consoleOrigin(server) {
  // By its name and not by its number, as a person would.
  const origin = server.address.replace("127.0.0.1", "localhost");
  const page = await (await fetch(`${origin}/`)).text();
  if (!page.includes('id="app"')) throw new Error("the server has no console: run ./check here, then compile it");
  return origin;
}
