// A real server for the tests: started on a free port with a data directory of its own, killed, started again.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
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

  /** Starts one: with more flags, and with the text of a configuration file. */
  static async start({ flags = [], config = "" } = {}) {
    const server = new Server();
    server.#directory = await mkdtemp(join(tmpdir(), "quarterdeck-console-"));
    server.#arguments = flags;
    if (config !== "") {
      const file = join(server.#directory, "quarterdeck.toml");
      await writeFile(file, config);
      server.#arguments = [...flags, "--config", file];
    }
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

  /** Writes a file beside its data and returns where it is. */
  async file(name, text) {
    const path = join(this.#directory, name);
    await writeFile(path, text);
    return path;
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

/** A process that runs turns of a server's agents of the driver `worker`, with echo. */
export class Worker {
  #child;
  #directory;
  /** Its exit code, once it has left. */
  left;

  static async start(server, { name, agent, label }) {
    const worker = new Worker();
    worker.#directory = await mkdtemp(join(tmpdir(), "quarterdeck-worker-"));
    const config = join(worker.#directory, "worker.toml");
    await writeFile(config, `[agents.${agent}]\ndriver = "echo"\n`);
    const words = ["--name", name, "--agent", agent, "--worker-label", label, "--config", config, "--data-dir", join(worker.#directory, "data")];
    const environment = { ...process.env, QUARTERDECK_ADDR: server.address, QUARTERDECK_KEY: await server.adminKey() };
    worker.#child = spawn(binary, ["worker", ...words], { env: environment, stdio: "ignore" });
    worker.left = once(worker.#child, "exit").then(([code]) => code);
    return worker;
  }

  /** Ends it where it is still there, and takes its data away. */
  async stop() {
    this.#child.kill("SIGKILL");
    await this.left;
    await rm(this.#directory, { recursive: true, force: true });
  }
}

async function* on(emitter, name, signal) {
  const events = await import("node:events");
  yield* events.on(emitter, name, { signal, close: ["close"] });
}
