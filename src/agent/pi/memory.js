// Quarterdeck's driver loads this into pi. It puts what the gateway remembers beside the prompt of the running turn:
// taken once when the prompt comes, shown to the model before that prompt with every call of its run, and never
// stored in pi's session, so that no later turn sees it again.
import { readFileSync, rmSync } from "node:fs";

export default function (pi) {
  const file = process.env.QUARTERDECK_MEMORY_FILE;
  let memory = "";
  // Time stamp of the prompt; steers that come later stand after it.
  let prompt;

  pi.on("before_agent_start", () => {
    memory = "";
    prompt = undefined;
    try {
      memory = readFileSync(file, "utf8");
    } catch (error) {
      if (error.code !== "ENOENT") throw error;
    }
    try {
      rmSync(file, { force: true });
    } catch {
      // Where pi may only read there the server removes it, once the turn is over.
    }
  });

  pi.on("context", ({ messages }) => {
    if (!memory) return undefined;
    let at = messages.findIndex((message) => message.role === "user" && message.timestamp === prompt);
    if (at < 0) {
      // The first call of the run; or a compaction took the prompt.
      at = messages.findLastIndex((message) => message.role === "user");
      prompt = messages[at]?.timestamp;
    }
    const message = {
      role: "custom",
      customType: "quarterdeck_memory",
      content: memory,
      display: false,
      timestamp: prompt ?? Date.now(),
    };
    return { messages: messages.toSpliced(Math.max(at, 0), 0, message) };
  });
}
