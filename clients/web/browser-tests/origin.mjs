// Where the console is served: by the server itself.

/** Origin of the console. Throws where the binary was built without it. */
export async function consoleOrigin(server) {
  // By its name and not by its number, as a person would.
  const origin = server.address.replace("127.0.0.1", "localhost");
  const page = await (await fetch(`${origin}/`)).text();
  if (page.includes('id="app"')) return { origin, close: () => undefined };
  return preview(server, page);
}

async function preview(server) {
  process.env.QUARTERDECK_ADDR = server.address;
  const { preview: start } = await import("vite");
  const running = await start({ root: new URL("..", import.meta.url).pathname, preview: { port: 0, strictPort: false }, logLevel: "error" });
  const { port } = running.httpServer.address();
  return { origin: `http://localhost:${port}`, close: () => running.close() };
}
