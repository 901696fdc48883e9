// Markdown of agents into nodes that are safe to show.
//
// Two fences: marked turns raw HTML into text here, and DOMPurify lets only the elements below through. What an agent
// writes can make no element that runs, loads or styles anything; a link is followed by a click alone, in a new tab.
import DOMPurify from "dompurify";
import { Marked, type Token, type Tokens } from "marked";
import { codeBlock } from "./code";

/** Elements that Markdown may make. */
const ELEMENTS = [
  "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "img", "input", "li", "ol", "p",
  "pre", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
];
/** Attributes that they may have. */
const ATTRIBUTES = ["align", "alt", "checked", "class", "disabled", "href", "src", "start", "title", "type"];
/** The one class that Markdown may give: the language of a block of code. */
const LANGUAGE = /^language-(\S+)$/;
/** Links that may be followed. */
const LINK = /^(?:https?:|mailto:)/i;
/** Images that hold their own bytes: nothing is fetched. SVG is left out because it is a document. */
const OWN_IMAGE = /^data:image\/(?:png|jpeg|gif|webp);base64,/i;

/** Quotes and lists that may stand in each other. */
const DEPTH_MAX = 32;
/** Columns that a list's item may be indented by. */
const INDENT_MAX = 4 * DEPTH_MAX;
/** Brackets that may stand open in one block. */
const BRACKETS_MAX = 64;
/** Emphases that may stand open in one block. */
const EMPHASES_MAX = 100;
/** What may stand outside of an emphasis, beside its mark. */
const BOUNDARY = /[^\p{L}\p{N}]/u;
/** Marks of quotes and list items at a line's beginning, and one of them. */
const CONTAINERS = /^(?:[ \t]*(?:>|[-*+](?=[ \t])|\d{1,9}[.)](?=[ \t])))+/;
const CONTAINER = />|[-*+]|\d{1,9}[.)]/g;
const LIST_ITEM = /^[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]/;

const marked = new Marked({
  gfm: true,
  breaks: false,
  renderer: {
    html: ({ text }: Tokens.HTML | Tokens.Tag) => escapeText(text),
    image({ href, text }: Tokens.Image) {
      if (OWN_IMAGE.test(href)) return `<img src="${escapeText(href)}" alt="${escapeText(text)}">`;
      const name = text === "" ? href : text;
      return LINK.test(href) ? `<a href="${escapeText(href)}">${escapeText(name)}</a>` : escapeText(name);
    },
  },
});

/** Characters of one block that are parsed; a longer one would hold the page up. */
export const BLOCK_MAX = 32_000;
/** A link's address that is told apart from the link, maybe further down. */
const LINK_DEFINITION = /^ {0,3}\[[^\]\n]+\]:/m;

/**
 * Nodes of a Markdown text. One that is nested too deeply is shown as text: parsing it would take the page's stack or time.
 * `growing` leaves the colours of code out: they would be made anew with each word.
 */
export function renderMarkdown(text: string, growing = false): DocumentFragment {
  const html = isDeep(text) ? undefined : parse(text);
  if (html === undefined) return asText(text);
  const fragment = DOMPurify.sanitize(html, {
    ALLOWED_TAGS: ELEMENTS,
    ALLOWED_ATTR: ATTRIBUTES,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    RETURN_DOM_FRAGMENT: true,
  });
  for (const link of fragment.querySelectorAll("a")) restrictLink(link);
  for (const image of fragment.querySelectorAll("img")) if (!OWN_IMAGE.test(image.src)) image.remove();
  for (const input of fragment.querySelectorAll("input")) restrictInput(input);
  for (const other of fragment.querySelectorAll("[class]:not(pre > code)")) other.removeAttribute("class");
  for (const block of fragment.querySelectorAll("pre")) {
    const code = block.querySelector("code");
    const info = LANGUAGE.exec(code?.className ?? "")?.[1] ?? "";
    block.replaceWith(codeBlock(code?.textContent ?? block.textContent, info, !growing));
  }
  return fragment;
}

/** Whether what is told further down may change how an earlier block looks. */
export function hasLinkDefinitions(text: string): boolean {
  return LINK_DEFINITION.test(text);
}

/**
 * How much of a text that still grows can be drawn for good: all but its last block, which more text may change. A link's
 * address that is told further down is the exception; the whole text is drawn once more when it is complete.
 */
export function settledLength(text: string): number {
  // Shown as text, all of it at each delta: that is cheap.
  if (isDeep(text)) return 0;
  const tokens = lex(text);
  if (!tokens) return 0;
  const last = tokens.findLastIndex((token) => token.type !== "space");
  const length = tokens.slice(0, Math.max(0, last)).reduce((sum, token) => sum + token.raw.length, 0);
  // The lexer changes line ends and the like; then its lengths are not those of the text.
  return text.startsWith(tokens.slice(0, Math.max(0, last)).map(({ raw }) => raw).join("")) ? length : 0;
}

/**
 * Whether quotes, lists, brackets or emphases stand in each other more deeply than anybody writes them. Looked at without
 * parsing, in one pass.
 */
export function isDeep(text: string): boolean {
  for (const line of text.split("\n")) {
    if ((CONTAINERS.exec(line)?.[0].match(CONTAINER)?.length ?? 0) > DEPTH_MAX) return true;
    const indented = /^[ \t]*/.exec(line)?.[0].length ?? 0;
    if (indented > INDENT_MAX && LIST_ITEM.test(line)) return true;
  }
  return text.split(/\n[ \t]*\n/).some((block) => brackets(block) > BRACKETS_MAX || emphases(block) > EMPHASES_MAX);
}

/** Most brackets that stand open at once. */
function brackets(block: string): number {
  let open = 0;
  let most = 0;
  for (const character of block) {
    if (character === "[") most = Math.max(most, ++open);
    else if (character === "]" && open > 0) open -= 1;
  }
  return most;
}

/** Most emphases that stand open at once: begun before a word and not ended behind one. */
function emphases(block: string): number {
  let open = 0;
  let most = 0;
  for (const { 0: marks, index } of block.matchAll(/[*_~]+/g)) {
    const before = block[index - 1] ?? " ";
    const after = block[index + marks.length] ?? " ";
    if (BOUNDARY.test(before) && !/\s/.test(after)) most = Math.max(most, ++open);
    else if (!/\s/.test(before) && BOUNDARY.test(after) && open > 0) open -= 1;
  }
  return most;
}

function parse(text: string): string | undefined {
  try {
    return marked.parse(text, { async: false });
  } catch (error) {
    // Whatever `isDeep` does not know.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function lex(text: string): Token[] | undefined {
  try {
    return marked.lexer(text);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function asText(text: string): DocumentFragment {
  const fragment = document.createDocumentFragment();
  const block = document.createElement("pre");
  block.className = "unformatted";
  block.tabIndex = 0;
  block.textContent = text;
  fragment.append(block);
  return fragment;
}

function restrictLink(link: HTMLAnchorElement): void {
  if (!LINK.test(link.getAttribute("href") ?? "")) {
    link.removeAttribute("href");
    return;
  }
  link.target = "_blank";
  link.rel = "noopener noreferrer nofollow";
}

/** Only the boxes of task lists are inputs. */
function restrictInput(input: HTMLInputElement): void {
  if (input.getAttribute("type") !== "checkbox") {
    input.remove();
    return;
  }
  input.disabled = true;
  input.setAttribute("aria-label", input.hasAttribute("checked") ? "done" : "open");
}

function escapeText(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
