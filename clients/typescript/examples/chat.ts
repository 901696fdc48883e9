/**
 * A conversation in the terminal. Ctrl-C stops the running turn; at the prompt it ends the conversation.
 *
 *     QUARTERDECK_KEY=$(cat quarterdeck-data/admin.key) node --experimental-strip-types examples/chat.ts demo
 */
import { createInterface } from "node:readline/promises";
import { createClient, QuarterdeckError, TurnFailed } from "@quarterdeck/client/node";

const sessionKey = process.argv[2] ?? "demo";
const client = createClient();
const terminal = createInterface({ input: process.stdin, output: process.stdout });
let running = false;

terminal.on("SIGINT", () => {
  if (running) {
    client.abort({ sessionKey }).catch(console.error);
  } else {
    terminal.close();
  }
});

terminal.setPrompt("> ");
terminal.prompt();
for await (const line of terminal) {
  if (line.trim() !== "") {
    running = true;
    await answer(line);
    running = false;
  }
  terminal.prompt();
}

async function answer(text: string): Promise<void> {
  try {
    for await (const piece of client.chat(sessionKey, text, { onConnection })) {
      process.stdout.write(piece);
    }
    process.stdout.write("\n");
  } catch (error) {
    if (!(error instanceof TurnFailed) && !(error instanceof QuarterdeckError)) {
      throw error;
    }
    console.error(`\n${error.name}: ${error.message}`);
  }
}

function onConnection(change: { state: string }): void {
  if (change.state === "lost") {
    console.error("\n(the connection was lost; waiting for the server)");
  }
}
