// Runs the tests of the console in a real browser against a real server; see README.md.
import { spawn } from "node:child_process";
import { readdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const wanted = process.argv.slice(2);
const files = (await readdir(here)).filter((name) => name.endsWith(".test.mjs")).map((name) => here + name);
const only = wanted.length > 0 ? [`--test-name-pattern=${wanted.join("|")}`] : [];
const child = spawn(process.execPath, ["--test", "--test-concurrency=1", "--test-reporter=spec", ...only, ...files], { stdio: "inherit" });
child.on("exit", (code) => process.exit(code ?? 1));
