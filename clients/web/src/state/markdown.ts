// Markdown of agents into nodes that are safe to show.
//
// Two fences: marked turns raw HTML into text here, and DOMPurify lets only the elements below through. What an agent
// writes can make no element that runs, loads or styles anything; a link is followed by a click alone, in a new tab.
import DOMPurify from "dompurify";
import { Marked, type Tokens } from "marked";

/** Elements that Markdown may make. */
const ELEMENTS = [
  "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "img", "input", "li", "ol", "p",
  "pre", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
];
/** Attributes that they may have. */
const ATTRIBUTES = ["align", "alt", "checked", "disabled", "href", "src", "start", "title", "type"];
/** Links that may be followed. */
const LINK = /^(?:https?:|mailto:)/i;
/** Images that hold their own bytes: nothing is fetched. SVG is left out because it is a document. */
const OWN_IMAGE = /^data:image\/(?:png|jpeg|gif|webp);base64,/i;

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

/** Nodes of a Markdown text. */
export function renderMarkdown(text: string): DocumentFragment {
  const html = marked.parse(text, { async: false });
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
  // Long lines scroll inside their block, which the keyboard must reach too.
  for (const block of fragment.querySelectorAll("pre")) block.tabIndex = 0;
  return fragment;
}

/**
 * How much of a text that still grows can be drawn for good: all but its last block, which more text may change. A link's
 * address that is told further down is the exception; the whole text is drawn once more when it is complete.
 */
export function settledLength(text: string): number {
  const tokens = marked.lexer(text);
  const last = tokens.findLastIndex((token) => token.type !== "space");
  const length = tokens.slice(0, Math.max(0, last)).reduce((sum, token) => sum + token.raw.length, 0);
  // The lexer changes line ends and the like; then its lengths are not those of the text.
  return text.startsWith(tokens.slice(0, Math.max(0, last)).map(({ raw }) => raw).join("")) ? length : 0;
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
