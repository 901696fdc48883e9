// A Markdown text, drawn as it grows.
//
// Drawing all of a long text at each delta would take longer and longer. So blocks that can't change any more are drawn
// once, in slices, with pauses in which the page answers; the last block is drawn at each delta.
import { useLayoutEffect, useRef } from "preact/hooks";
import { codeBlock, fenced } from "../state/code";
import { BLOCK_MAX, hasLinkDefinitions, renderMarkdown, settledLength } from "../state/markdown";
import { copyText } from "../store/clipboard";

/** Share of the time that drawing a growing text may take: after a drawing comes a pause of as many times as long. */
const PAUSES = 3;
/** Characters that are parsed at once, where they hold a whole block. */
const SLICE = 4_000;
/** A last block that is longer stands as it is written until it is complete. */
const GROWING_MAX = 12_000;
/** Time that all texts of the page together draw at once, in milliseconds; what is left follows after a pause. */
const AT_ONCE_MS = 16;
/** How long a button says that it copied, in milliseconds. */
const COPIED_MS = 1500;

interface Drawn {
  /** Text that is drawn for good, and the nodes that it became. */
  settled: string;
  nodes: number;
  /** When the next drawing may begin, in milliseconds of the page's clock. */
  next: number;
  /** The last block where it is so long that it stands as it is written: only what is new is added to it. */
  tail: Tail | undefined;
}

interface Tail {
  /** Where more text goes. */
  readonly sink: HTMLElement;
  /** Characters of the text that are in it. */
  length: number;
  /** Length at which its end is looked for again. */
  readonly lookAt: number;
}

/** Draws a text; `open` while more may come. */
export function Markdown({ text: written, open }: { readonly text: string; readonly open: boolean }) {
  // The lexer counts line ends as one character.
  const text = written.replace(/\r\n?/g, "\n");
  const element = useRef<HTMLDivElement>(null);
  const drawn = useRef<Drawn>({ settled: "", nodes: 0, next: 0, tail: undefined });
  useLayoutEffect(() => {
    const box = element.current;
    if (!box) return undefined;
    let timer = 0;
    const draw = (): void => {
      const began = performance.now();
      const all = drawMore(box, drawn.current, text, open, began + timeLeft(began));
      // Asking for the height has the browser lay the text out now, so that this is counted too.
      const ended = box.offsetHeight >= 0 ? performance.now() : began;
      drawn.current.next = ended + (ended - began) * PAUSES;
      spent += ended - began;
      if (!all) timer = window.setTimeout(draw, 0);
    };
    const pause = open ? drawn.current.next - performance.now() : 0;
    if (pause <= 0) draw();
    else timer = window.setTimeout(draw, pause);
    return () => clearTimeout(timer);
  }, [text, open]);
  return (
    // The buttons in it are real ones; a click on one of them arrives here.
    <div ref={element} class={open ? "markdown open" : "markdown"} onClick={(event) => copyCode(event.target)} />
  );
}

/** Time that was spent on drawing since the browser had its turn, in milliseconds. */
let spent = 0;
let resetting = false;

/** Time that may still be spent before the browser gets its turn. */
function timeLeft(now: number): number {
  if (!resetting) {
    resetting = true;
    spent = 0;
    setTimeout(() => (resetting = false), 0);
  }
  return now < 0 ? 0 : AT_ONCE_MS - spent;
}

/** Draws what is not drawn yet, until `deadline`; true where that is all. */
function drawMore(box: HTMLElement, drawn: Drawn, text: string, open: boolean, deadline: number): boolean {
  const again = !text.startsWith(drawn.settled) || (!open && drawn.settled !== "" && text.length <= BLOCK_MAX && hasLinkDefinitions(text));
  if (again) {
    drawn.settled = "";
    drawn.nodes = 0;
  }
  if (!open && !again && drawn.settled === text) return true;
  const { tail } = drawn;
  if (open && !again && tail && text.length < tail.lookAt) {
    // Another node for each addition: the browser need not look at those before it again.
    tail.sink.append(text.slice(tail.length));
    tail.length = text.length;
    return true;
  }
  drawn.tail = undefined;
  while (box.childNodes.length > drawn.nodes) box.lastChild?.remove();
  for (let slice = SLICE; ; ) {
    const rest = text.slice(drawn.settled.length);
    // Whole lines: half a line may look like the beginning of another block.
    const part = open || rest.length > slice ? wholeLines(rest.slice(0, slice)) : rest;
    const length = !open && part.length === rest.length ? rest.length : settledLength(part);
    if (length === 0 && slice < rest.length && slice < BLOCK_MAX) {
      slice *= 2;
      continue;
    }
    if (length > 0 && performance.now() > deadline) {
      // What comes later stands there meanwhile, so that nothing that was read goes away.
      box.append(unparsed(rest.slice(0, SLICE)));
      return false;
    }
    if (length === 0 && !open) {
      // One block without end.
      settle(box, drawn, rest, unparsed(rest));
      return true;
    }
    if (length === 0 && rest.length > GROWING_MAX) {
      const block = unparsed(rest);
      drawn.tail = { sink: block.querySelector("code") ?? block, length: text.length, lookAt: text.length + rest.length };
      box.append(block);
      return true;
    }
    if (length === 0) {
      box.append(renderMarkdown(rest, true));
      return true;
    }
    const next = rest.slice(0, length);
    settle(box, drawn, next, length > BLOCK_MAX ? unparsed(next) : renderMarkdown(next));
    if (!open && length === rest.length) return true;
    slice = SLICE;
  }
}

function settle(box: HTMLElement, drawn: Drawn, text: string, nodes: Node): void {
  box.append(nodes);
  drawn.settled += text;
  drawn.nodes = box.childNodes.length;
}

/** The lines that are whole. */
function wholeLines(text: string): string {
  return text.slice(0, text.lastIndexOf("\n") + 1);
}

/** A text as it was written, in the place of what it may become; what stands in a fence as code. */
function unparsed(text: string): HTMLElement {
  const code = fenced(text);
  if (code) return codeBlock(code.code, code.info, false);
  const block = document.createElement("div");
  block.className = "plain-text";
  block.textContent = text;
  return block;
}

function copyCode(target: EventTarget | null): void {
  const button = target instanceof Element ? target.closest<HTMLElement>(".copy-code") : null;
  const code = button?.closest(".code-block")?.querySelector("code");
  if (!button || !code) return;
  void copyText(code.textContent).then((copied) => {
    button.textContent = copied ? "Copied" : "Not copied";
    setTimeout(() => (button.textContent = "Copy"), COPIED_MS);
  });
}
