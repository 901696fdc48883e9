// A real server for the tests: started on a free port with a data directory of its own, killed, started again.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const binary = process.env.QUARTERDECK_TEST_SERVER;
if (!binary) throw new Error("set QUARTERDECK_TEST_SERVER to the server's binary");

/** How long the server may take to listen, in milliseconds. */
const START_MS = 20_000;

/** A server on loopback. */
export class Server {
  #child;
  #directory;
  #arguments;
  /** Its address, `http://127.0.0.1:PORT`; stays the same over restarts. */
  address = "";

  static async start(...extra) {
    const server = new Server();
    server.#directory = await mkdtemp(join(tmpdir(), "quarterdeck-console-"));
    server.#arguments = extra;
    await server.restart();
    return server;
  }

  /** Starts it (again) on the same data directory and port. */
  async restart() {
    const listen = this.address === "" ? "127.0.0.1:0" : new URL(this.address).host;
    this.#child = spawn(binary, ["serve", "--listen", listen, "--data-dir", this.#directory, ...this.#arguments], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let log = "";
    this.#child.stderr.on("data", (piece) => (log = (log + piece).slice(-20_000)));
    const lines = createInterface({ input: this.#child.stdout });
    const late = AbortSignal.timeout(START_MS);
    for await (const [line] of on(lines, "line", late)) {
      const found = /^listening on (http:\S+)/.exec(line);
      if (found) {
        this.address = found[1];
        return;
      }
    }
    throw new Error(`the server ended:\n${log}`);
  }

  /** Ends it as a crash does. */
  async kill() {
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await ended;
  }

  /** Ends it and takes its data away. */
  async stop() {
    await this.kill();
    await rm(this.#directory, { recursive: true, force: true });
  }

  /** The key with all scopes. */
  async adminKey() {
    return (await readFile(join(this.#directory, "admin.key"), "utf8")).trim();
  }

  /** Who the server takes a credential for. */
  async whoami(key) {
    return JSON.parse(await this.command("whoami", "--json", "--key", key));
  }

  /** Runs a command of the server's own client and returns what it prints. */
  async command(...words) {
    const environment = { ...process.env, QUARTERDECK_ADDR: this.address, QUARTERDECK_KEY: await this.adminKey() };
    const child = spawn(binary, words, { env: environment, stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    child.stdout.on("data", (piece) => (text += piece));
    const [code] = await once(child, "close");
    if (code !== 0) throw new Error(`${words.join(" ")} ended with ${code}`);
    return text.trim();
  }
}

async function* on(emitter, name, signal) {
  const events = await import("node:events");
  yield* events.on(emitter, name, { signal, close: ["close"] });
}
