import { expect, test } from "vitest";
import { ago, count, duration, enumName, prettyJson, size, span } from "../src/state/format";
import { pieces } from "../src/state/highlight";
import { hashOf, parseRoute } from "../src/state/route";
import { meaning, SHORTCUTS } from "../src/state/shortcuts";
import { readResult } from "../src/state/toolResult";
import { create } from "@bufbuild/protobuf";
import { DurationSchema } from "@bufbuild/protobuf/wkt";

test("JSON gets line breaks, and numbers keep their digits", () => {
  expect(prettyJson('{"a":1}')).toBe('{\n  "a": 1\n}');
  expect(prettyJson('{"a":12345678901234567890}')).toBe('{"a":12345678901234567890}');
  expect(prettyJson('{"a":1.0}')).toBe('{"a":1.0}');
  expect(prettyJson('"cut te')).toBe('"cut te');
  expect(prettyJson('"a\\nb"')).toBe("a\nb");
});

test("results of the usual shape are text and images, all others JSON", () => {
  // A picture that was taken out stands beside it; one that could not be kept is missing.
  expect(readResult('{"content":[{"type":"text","text":"hi"},{"type":"image","attachmentId":"h","size":9}]}')).toEqual({
    text: "hi",
    images: [],
  });
  expect(readResult('{"content":[{"type":"image","omitted":"too large"}]}').text).toBe("(too large)");
  expect(readResult('{"content":[{"type":"text","text":"hi"},{"type":"image","data":"AAAA","mimeType":"image/png"}]}')).toEqual({
    text: "hi",
    images: ["data:image/png;base64,AAAA"],
  });
  for (const odd of [
    '{"content":[{"type":"image","data":"AAAA","mimeType":"image/svg+xml"}]}',
    '{"content":[{"type":"image","data":"x\\" onerror=","mimeType":"image/png"}]}',
    '{"content":[{"type":"other"}]}',
    '{"content":[]}',
    "null",
  ]) {
    expect(readResult(odd).images).toEqual([]);
    expect(readResult(odd).text).toBe(prettyJson(odd));
  }
});

test("a place stands in the hash and comes back from it", () => {
  for (const sessionKey of ["", "main", "a@b:c~d+e=f", "0"]) {
    expect(parseRoute(hashOf({ place: "sessions", sessionKey }))).toEqual({ place: "sessions", sessionKey });
  }
  for (const place of ["turns", "schedules", "memory", "usage", "connections", "logs", "keys", "configuration", "server"] as const) {
    expect(parseRoute(hashOf({ place }))).toEqual({ place });
  }
  for (const odd of ["#/session/%", "#/session/../x", "#/session/a%20b", "#javascript:x", "#/session/http%3A%2F%2Fx"]) {
    expect(parseRoute(odd)).toEqual({ place: "sessions", sessionKey: "" });
  }
});

test("keys mean what the help says, and only without Ctrl and the like", () => {
  const press = (key: string, more = {}) => ({ key, ctrlKey: false, metaKey: false, altKey: false, ...more });
  for (const { keys, command } of SHORTCUTS) {
    const [first = "", second] = keys;
    const one = meaning(press(first), "");
    expect(second === undefined ? one.command : meaning(press(second), one.pending).command).toBe(command);
  }
  expect(meaning(press("n", { ctrlKey: true }), "")).toEqual({ pending: "" });
  expect(meaning(press("x"), "g")).toEqual({ pending: "" });
  expect(new Set(SHORTCUTS.map(({ keys }) => keys.join())).size).toBe(SHORTCUTS.length);
});

test("matches are counted in bytes of UTF-8", () => {
  expect(pieces("één fish", [{ start: 6, end: 10 }])).toEqual([
    { text: "één ", match: false },
    { text: "fish", match: true },
  ]);
  expect(pieces("abc", [{ start: 2, end: 9 }, { start: 1, end: 0 }])).toEqual([{ text: "abc", match: false }]);
});

test("sizes and times are short", () => {
  expect([0, 1023, 1024, 1536, 10 * 1024 ** 2].map(size)).toEqual(["0 B", "1023 B", "1 KiB", "1.5 KiB", "10 MiB"]);
  expect([5, 4200, 59_400, 185_000, 7_200_000, 50 * 3_600_000].map(span)).toEqual(["5 ms", "4.2 s", "59 s", "3 min 5 s", "2 h", "2 d 2 h"]);
  expect(duration(create(DurationSchema, { seconds: 3600n }))).toBe("1 h");
  expect([0, 60_000, 7_200_000, 3 * 86_400_000].map((past) => ago(0, past))).toEqual(["now", "1 m", "2 h", "3 d"]);
  expect([count(1, "turn"), count(2, "turn"), count(0n, "memory", "memories")]).toEqual(["1 turn", "2 turns", "0 memories"]);
  expect([enumName({ 1: "API_KEY" }, 1), enumName({}, 9)]).toEqual(["api key", "unknown"]);
});
