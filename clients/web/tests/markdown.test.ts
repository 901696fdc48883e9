// @vitest-environment jsdom
import { expect, test } from "vitest";
import { isDeep, renderMarkdown, settledLength } from "../src/state/markdown";

function html(text: string): string {
  const box = document.createElement("div");
  box.append(renderMarkdown(text));
  return box.innerHTML.trim();
}

test("what is nested deeper than anybody writes is told without parsing", () => {
  for (const deep of [
    ">".repeat(33),
    "> ".repeat(33),
    "- ".repeat(33),
    "1. ".repeat(33),
    `${" ".repeat(200)}- x`,
    "[".repeat(65),
    "*a ".repeat(101),
    "*a ".repeat(101) + "b* ".repeat(101),
  ]) {
    expect(isDeep(deep), deep.slice(0, 40)).toBe(true);
  }
  for (const usual of [
    "> > > - [a](b) *c* **d**",
    "- a\n  - b\n    - c\n      1. d",
    `${" ".repeat(200)}indented`,
    "- - - - - - -",
    "[x] ".repeat(500),
    Array.from({ length: 100 }, () => "**a** *b*").join("\n\n"),
    "2 * 3 * 4 ".repeat(2000),
    "| **a** | *b* | _c_ |\n".repeat(500),
    "snake_case_name and 2*3*4 ".repeat(500),
  ]) {
    expect(isDeep(usual), usual.slice(0, 40)).toBe(false);
  }
});

test("Markdown becomes elements", () => {
  expect(html("**bold** `code`")).toBe("<p><strong>bold</strong> <code>code</code></p>");
  expect(html("- [x] done")).toContain('type="checkbox"');
  expect(html("```\n<a>\n```")).toBe(
    '<div class="code-block"><div class="code-head"><span class="code-language">Text</span><button type="button" class="copy-code">Copy</button></div>' +
      '<pre tabindex="0"><code>&lt;a&gt;\n</code></pre></div>',
  );
  expect(html("```js\nlet a\n```")).toContain('<span class="hljs-keyword">let</span> a');
  expect(html("`a`")).not.toContain("class");
});

test("a growing text is settled up to its last block", () => {
  expect(settledLength("one")).toBe(0);
  expect(settledLength("one\n\n")).toBe(0);
  expect(settledLength("one\n\ntwo")).toBe(5);
  expect(settledLength("# a\n\n- x\n\n- y")).toBe(5);
  expect(settledLength("a\n\n```\ncode\n\nmore")).toBe(3);
  expect(settledLength("a\r\n\r\nb")).toBe(0);
  const text = "# Title\n\ntext **bold\n\n1. a\n2. b\n\n> q\n\n| a |\n|---|\n| 1 |\n\nend";
  for (let at = 0; at <= text.length; at += 1) {
    const grown = text.slice(0, at);
    const settled = settledLength(grown);
    const squeeze = (drawn: string) => drawn.replace(/\s+/g, "");
    expect(squeeze(html(grown.slice(0, settled)) + html(grown.slice(settled)))).toBe(squeeze(html(grown)));
  }
});

test("raw HTML is shown as text", () => {
  expect(html("<b onclick=x>raw</b>")).toBe("<p>&lt;b onclick=x&gt;raw&lt;/b&gt;</p>");
  expect(html("<script>alert(1)</script>")).toBe("&lt;script&gt;alert(1)&lt;/script&gt;");
});

test.each(["[a](javascript:alert(1))", "[a](JaVaScRiPt:alert(1))", "[a](data:text/html,x)", "[a](vbscript:x)", "[a](//evil.test)", "[a](/local)"])(
  "%s leads nowhere",
  (text) => expect(html(text)).not.toContain("href"),
);

test("links open apart and tell nothing", () => {
  expect(html("[a](https://example.org)")).toContain('href="https://example.org" target="_blank" rel="noopener noreferrer nofollow"');
});

test("an image is shown where it holds its own bytes; every other becomes a link", () => {
  expect(html("![x](data:image/png;base64,AAAA)")).toContain('<img src="data:image/png;base64,AAAA" alt="x">');
  for (const source of ["https://example.org/x.png", "javascript:x", "data:image/svg+xml;base64,AAAA", "/x.png"]) {
    expect(html(`![x](${source})`)).not.toContain("<img");
  }
});
