// Saving a conversation as a file, all of its present generation.
import type { Message, SessionSnapshot } from "@quarterdeck/client";
import { asJson, asMarkdown, type ExportFormat, fileName } from "../state/export";
import { client } from "./account";

/** Messages of a page. */
const PAGE = 500;
/** Messages of a file; a longer conversation is refused. */
const MESSAGES_MAX = 50_000;

/** Reads a conversation and saves it. Throws where it can't be read. */
export async function exportConversation(session: SessionSnapshot, format: ExportFormat): Promise<void> {
  const messages = await allMessages(session);
  const text = format === "json" ? asJson(session, messages) : asMarkdown(session, messages);
  save(fileName(session.sessionKey, format), text, format === "json" ? "application/json" : "text/markdown");
}

async function allMessages({ sessionKey, generation }: SessionSnapshot): Promise<Message[]> {
  const pages: Message[][] = [];
  let pageToken = "";
  let count = 0;
  do {
    const page = await client().listMessages({ sessionKey, generation, pageSize: PAGE, pageToken });
    pages.unshift(page.messages);
    count += page.messages.length;
    if (count > MESSAGES_MAX) throw new Error(`At most ${MESSAGES_MAX.toLocaleString()} messages can be saved here.`);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return pages.flat();
}

/** Gives the browser a file to save. */
function save(name: string, text: string, type: string): void {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  // The browser has it once the click was handled.
  setTimeout(() => URL.revokeObjectURL(address), 0);
}
