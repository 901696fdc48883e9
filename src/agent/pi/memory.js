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

  // The gateway's memory tools, called with a credential that stands in a file of this session's alone and is worth
  // nothing once this process is gone.
  const credential = () => JSON.parse(readFileSync(process.env.QUARTERDECK_CREDENTIAL_FILE, "utf8"));
  const call = async (name, args, signal) => {
    const { address, token } = credential();
    const response = await fetch(`${address}/mcp`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${token}`,
        "content-type": "application/json",
        accept: "application/json, text/event-stream",
      },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name, arguments: args } }),
      signal,
    });
    const text = await response.text();
    if (!response.ok) throw new Error(text.trim());
    const { result, error } = JSON.parse(text);
    if (error) throw new Error(error.message);
    const said = result.content.map((part) => part.text ?? "").join("\n");
    if (result.isError) throw new Error(said);
    return { content: [{ type: "text", text: said }], details: {} };
  };
  let tools = [];
  try {
    if (process.env.QUARTERDECK_CREDENTIAL_FILE) tools = credential().tools;
  } catch (error) {
    // pi is of use without them.
    console.error(`quarterdeck: no memory tools: ${error.message}`);
  }
  for (const { name, description, inputSchema } of tools) {
    const { $schema, title, ...parameters } = inputSchema;
    // Between id and arguments on the one side and the signal on the other pi's versions pass different things.
    const execute = (_id, args, ...rest) => call(name, args, rest.find((it) => it instanceof AbortSignal));
    pi.registerTool({ name, label: name, description, parameters, execute });
  }

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
