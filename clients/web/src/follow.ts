// TEMPORARY until the package follows by itself.
import { Code } from "@connectrpc/connect";
import { type Api, failureOf } from "./api";
import { create } from "@bufbuild/protobuf";
import { type GatewayEvent, GatewayEventSchema, SessionStateChangedSchema } from "./proto";

export interface Position {
  readonly sessionKey: string;
  readonly logId: string;
  readonly seq: bigint;
}
export type Update = { kind: "event"; event: GatewayEvent } | { kind: "lost" } | { kind: "open" };

export async function* follow(api: Api, from: Position | undefined, signal: AbortSignal): AsyncGenerator<Update> {
  let seq = from?.seq ?? 0n;
  let wait = 200;
  for (;;) {
    try {
      const cursors = from ? [{ sessionKey: from.sessionKey, logId: from.logId, afterSeq: seq }] : [];
      let opened = false;
      for await (const event of merged(api, cursors, signal)) {
        if (!opened) {
          opened = true;
          wait = 200;
          yield { kind: "open" };
        }
        if (from && event.sessionKey === from.sessionKey && event.seq > 0n) seq = event.seq;
        yield { kind: "event", event };
      }
    } catch (error) {
      if (signal.aborted) return;
      const code = failureOf(error).code;
      if (code !== Code.Unavailable && code !== Code.Unknown && code !== Code.Internal) throw error;
    }
    yield { kind: "lost" };
    await new Promise((done) => setTimeout(done, wait));
    wait = Math.min(wait * 2, 3000);
  }
}

async function* merged(
  api: Api,
  cursors: { sessionKey: string; logId: string; afterSeq: bigint }[],
  signal: AbortSignal,
): AsyncGenerator<GatewayEvent> {
  try {
    yield* api.gateway.subscribeMany({ watch: {}, cursors }, { signal });
    return;
  } catch (error) {
    if (failureOf(error).code !== Code.Unimplemented) throw error;
  }
  const inner = new AbortController();
  signal.addEventListener("abort", () => inner.abort());
  const queue: GatewayEvent[] = [];
  let wake = (): void => undefined;
  let failed: unknown;
  const pump = async (source: AsyncIterable<GatewayEvent>): Promise<void> => {
    try {
      for await (const event of source) {
        queue.push(event);
        wake();
      }
    } catch (error) {
      failed ??= error;
      inner.abort();
      wake();
    }
  };
  const watch = async function* (): AsyncGenerator<GatewayEvent> {
    for await (const session of api.gateway.watchSessions({}, { signal: inner.signal })) {
      yield create(GatewayEventSchema, {
        sessionKey: session.sessionKey,
        logId: session.logId,
        kind: { case: "sessionState", value: create(SessionStateChangedSchema, { session }) },
      });
    }
  };
  void pump(watch());
  const one = cursors[0];
  if (one) {
    void pump(
      api.gateway.subscribe(
        { sessionKey: one.sessionKey, cursor: { logId: one.logId, afterSeq: one.afterSeq } },
        { signal: inner.signal },
      ),
    );
  }
  for (;;) {
    const event = queue.shift();
    if (event) yield event;
    else if (failed) throw failed as Error;
    else await new Promise<void>((done) => (wake = done));
  }
}
