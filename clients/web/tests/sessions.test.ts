import { SessionState } from "@quarterdeck/client";
import { describe, expect, test } from "vitest";
import { applyReports, beginList, chooseSessions, endList, isUnread, markSeen, NO_SESSIONS, type SessionList } from "../src/state/sessions";
import { session } from "./events";

const listed = (...keys: string[]): SessionList => endList(applyReports(NO_SESSIONS, keys.map((key) => session(key))));
const keys = (list: SessionList): string[] => [...list.sessions.keys()];

describe("the list of sessions", () => {
  test("loses what a new list doesn't name, once that is complete", () => {
    const again = applyReports(beginList(listed("a", "b")), [session("b"), session("c")]);
    expect(keys(again)).toEqual(["a", "b", "c"]);
    expect(keys(endList(again))).toEqual(["b", "c"]);
  });

  test("keeps everything at a heartbeat", () => {
    expect(keys(endList(listed("a")))).toEqual(["a"]);
  });

  test("loses deleted sessions", () => {
    expect(keys(applyReports(listed("a"), [session("a", { state: SessionState.DELETED })]))).toEqual([]);
  });

  test("is not set back by an older report of the same log", () => {
    const newer = applyReports(listed(), [session("a", { headSeq: 9n, displayName: "new" })]);
    const older = applyReports(newer, [session("a", { headSeq: 4n, displayName: "old" })]);
    expect(older.sessions.get("a")?.displayName).toBe("new");
  });
});

test("a session is unread when messages came that nobody looked at", () => {
  const old = endList(applyReports(NO_SESSIONS, [session("a", { messageCount: 2n })]));
  const read = (list: SessionList) => !isUnread(list, list.sessions.get("a") ?? session("a"));
  expect(read(old)).toBe(true);
  const news = applyReports(old, [session("a", { messageCount: 3n, headSeq: 5n })]);
  expect(read(news)).toBe(false);
  expect(read(markSeen(news, "a"))).toBe(true);
  // One that came while this page looked is news as soon as something was said in it.
  const born = applyReports(old, [session("b"), session("c", { messageCount: 1n })]);
  expect(["b", "c"].map((key) => isUnread(born, born.sessions.get(key) ?? session(key)))).toEqual([false, true]);
});

test("search needs every word, in key, name, agent, preview or labels; the newest active comes first", () => {
  const list = applyReports(NO_SESSIONS, [
    session("billing", { displayName: "Invoices", lastActiveTime: { seconds: 1n } }),
    session("ops", { labels: { team: "billing" }, lastActiveTime: { seconds: 3n }, queueDepth: 2 }),
    session("other", { lastActiveTime: { seconds: 2n } }),
  ]);
  const found = (search: string, filter: "all" | "busy" = "all") => chooseSessions(list, search, filter).map((each) => each.sessionKey);
  expect(found("")).toEqual(["ops", "other", "billing"]);
  expect(found("billing")).toEqual(["ops", "billing"]);
  expect(found("billing INV")).toEqual(["billing"]);
  expect(found("", "busy")).toEqual(["ops"]);
});
