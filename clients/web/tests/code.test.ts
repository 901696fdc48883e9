// @vitest-environment jsdom
import { expect, test } from "vitest";
import { codeBlock, coloured, fenced, languageOf } from "../src/state/code";

test("a language is told by its name, an unknown one by its word, and nothing else of the line", () => {
  expect(languageOf("js")).toEqual({ label: "JavaScript", grammar: "js" });
  expect(languageOf("rust,ignore")).toEqual({ label: "Rust", grammar: "rust" });
  expect(languageOf("made-up")).toEqual({ label: "made-up", grammar: undefined });
  expect(languageOf('"><img src=x>')).toEqual({ label: "", grammar: undefined });
  expect(languageOf("x".repeat(100)).label.length).toBe(24);
  // Names that every object has are no languages.
  for (const name of ["constructor", "__proto__", "toString"]) expect(languageOf(name).grammar).toBeUndefined();
});

test("colours change no letter, and code never becomes an element", () => {
  for (const code of [
    'let a = "<b>x</b>"; // <script>alert(1)</script>',
    "<img src=x onerror=alert(1)>\n</code></pre><script>x</script>",
    "&lt;b&gt; &amp; \u0000 \u2028",
    "${`${'<svg onload=x>'}`}",
  ]) {
    for (const grammar of ["js", "html", "bash", "python", "json", undefined]) {
      const block = codeBlock(code, grammar ?? "", true);
      expect(block.querySelector("code")?.textContent).toBe(code);
      expect([...block.querySelectorAll("code *")].every(({ tagName, attributes }) => tagName === "SPAN" && attributes.length <= 1)).toBe(true);
      expect(block.querySelectorAll("script, img, svg, b").length).toBe(0);
    }
  }
  expect(coloured("let a", "js")?.querySelector(".hljs-keyword")?.textContent).toBe("let");
  expect(coloured("let a;\n".repeat(5000), "js")).toBeUndefined();
});

test("what stands in a fence is told, closed or not", () => {
  expect(fenced("```js\nlet a\n```\n")).toEqual({ info: "js", code: "let a" });
  expect(fenced("````\n```\nx\n````")).toEqual({ info: "", code: "```\nx" });
  expect(fenced("```js\nlet a\n")).toEqual({ info: "js", code: "let a\n" });
  expect(fenced("text ```js\nx```")).toBeUndefined();
});
