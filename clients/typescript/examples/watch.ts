/**
 * Follows one session for ever, over restarts of the server, and keeps its place in a file: started again it goes on where
 * it was.
 *
 *     QUARTERDECK_KEY=$(cat quarterdeck-data/admin.key) node --experimental-strip-types examples/watch.ts demo place.json
 */
import { readFileSync, writeFileSync } from "node:fs";
import { type Cursor, createClient, isCursorError, toPlain } from "@quarterdeck/client/node";

const [sessionKey = "demo", file = "place.json"] = process.argv.slice(2);
const client = createClient();
let after = load();

for (;;) {
  const subscription = client.subscribe(sessionKey, {
    ...(after ? { after } : { fromOldest: true }),
    deltas: false,
    onConnection: (change) => console.error(change.state),
  });
  try {
    for await (const event of subscription) {
      if (event.seq > 0n) {
        console.log(JSON.stringify(toPlain(event)));
        save(subscription.cursor);
      }
    }
    break; // The session was deleted.
  } catch (error) {
    if (!isCursorError(error) || !error.resync) {
      throw error;
    }
    // What came in between is no longer kept: here is what it led to.
    console.log(JSON.stringify(toPlain(error.resync.snapshot)));
    after = error.resync.cursor;
    save(after);
  }
}

function load(): Cursor | undefined {
  try {
    const { logId, afterSeq } = JSON.parse(readFileSync(file, "utf8")) as { logId: string; afterSeq: string };
    return { logId, afterSeq: BigInt(afterSeq) };
  } catch {
    return undefined;
  }
}

function save(cursor: Cursor | undefined): void {
  if (cursor) {
    writeFileSync(file, JSON.stringify({ logId: cursor.logId, afterSeq: String(cursor.afterSeq) }));
  }
}
