// Syntax colours of code. What the highlighter makes goes through DOMPurify, which lets bare spans with its own classes
// through; where that is not letter for letter the code, the code stands without colours.
import DOMPurify from "dompurify";
import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import c from "highlight.js/lib/languages/c";
import cpp from "highlight.js/lib/languages/cpp";
import csharp from "highlight.js/lib/languages/csharp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import dockerfile from "highlight.js/lib/languages/dockerfile";
import go from "highlight.js/lib/languages/go";
import ini from "highlight.js/lib/languages/ini";
import java from "highlight.js/lib/languages/java";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import kotlin from "highlight.js/lib/languages/kotlin";
import python from "highlight.js/lib/languages/python";
import protobuf from "highlight.js/lib/languages/protobuf";
import ruby from "highlight.js/lib/languages/ruby";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";

const LANGUAGES = {
  bash, c, cpp, csharp, css, diff, dockerfile, go, ini, java, javascript, json, kotlin, protobuf, python, ruby, rust, sql,
  typescript, xml, yaml,
};
for (const [name, grammar] of Object.entries(LANGUAGES)) hljs.registerLanguage(name, grammar);

/** Characters of code that are coloured; longer code would hold the page up. */
const COLOURED_MAX = 20_000;
/** Characters of a language's name that are shown. */
const LABEL_MAX = 24;

/** What the first word behind a fence names: the language as it is shown, and its grammar where there is one. */
export function languageOf(info: string): { readonly label: string; readonly grammar: string | undefined } {
  const word = /^[\w+#.-]*/.exec(info.trim())?.[0].slice(0, LABEL_MAX) ?? "";
  const grammar = hljs.getLanguage(word);
  return { label: grammar?.name?.split(",")[0] ?? word, grammar: grammar ? word : undefined };
}

/** Code with its colours; undefined where it has none. */
export function coloured(code: string, grammar: string | undefined): DocumentFragment | undefined {
  if (grammar === undefined || code.length > COLOURED_MAX) return undefined;
  const html = hljs.highlight(code, { language: grammar, ignoreIllegals: true }).value;
  const fragment = DOMPurify.sanitize(html, {
    ALLOWED_TAGS: ["span"],
    ALLOWED_ATTR: ["class"],
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    RETURN_DOM_FRAGMENT: true,
  });
  return fragment.textContent === code ? fragment : undefined;
}

/** A block of code with its language and a button that copies it. `withColours` is false while the code still grows. */
export function codeBlock(code: string, info: string, withColours: boolean): HTMLElement {
  const { label, grammar } = languageOf(info);
  const block = document.createElement("div");
  block.className = "code-block";
  const head = document.createElement("div");
  head.className = "code-head";
  const language = document.createElement("span");
  language.className = "code-language";
  language.textContent = label === "" ? "Text" : label;
  const copy = document.createElement("button");
  copy.type = "button";
  copy.className = "copy-code";
  copy.textContent = "Copy";
  head.append(language, copy);
  const pre = document.createElement("pre");
  // Long lines scroll inside their block, which the keyboard must reach too.
  pre.tabIndex = 0;
  const body = document.createElement("code");
  const colours = withColours ? coloured(code, grammar) : undefined;
  if (colours) body.append(colours);
  else body.textContent = code;
  pre.append(body);
  block.append(head, pre);
  return block;
}

/** A fence that is not closed yet or is, its language, and what stands in it. */
const FENCE = /^(`{3,}|~{3,})([^`\n]*)\n([^]*)$/;

/** What stands in a text that is one fence, closed or not; undefined for another text. */
export function fenced(text: string): { readonly info: string; readonly code: string } | undefined {
  const [, ticks = "", info = "", rest = ""] = FENCE.exec(text) ?? [];
  if (ticks === "") return undefined;
  const lines = rest.trimEnd().split("\n");
  const closed = lines.at(-1)?.startsWith(ticks) ?? false;
  return { info, code: closed ? lines.slice(0, -1).join("\n") : rest };
}
