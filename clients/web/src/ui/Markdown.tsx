// A Markdown text, drawn as it grows.
//
// Drawing all of a long text at each delta would take longer and longer. So blocks that can't change any more are drawn
// once, the last one at each delta; when the text is complete, all of it.
import { useLayoutEffect, useRef } from "preact/hooks";
import { renderMarkdown, settledLength } from "../state/markdown";

/** Share of the time that drawing may take: after a drawing comes a pause of as many times as long. */
const PAUSES = 3;

interface Drawn {
  /** Text that is drawn for good, and the nodes that it became. */
  settled: string;
  nodes: number;
  /** When the next drawing may begin, in milliseconds of the page's clock. */
  next: number;
}

/** Draws a text; `open` while more may come. */
export function Markdown({ text, open }: { readonly text: string; readonly open: boolean }) {
  const element = useRef<HTMLDivElement>(null);
  const drawn = useRef<Drawn>({ settled: "", nodes: 0, next: 0 });
  useLayoutEffect(() => {
    const box = element.current;
    if (!box) return undefined;
    const draw = (): void => {
      const began = performance.now();
      if (open) drawMore(box, drawn.current, text);
      else box.replaceChildren(renderMarkdown(text));
      // Asking for the height has the browser lay the text out now, so that this is counted too.
      const ended = box.offsetHeight >= 0 ? performance.now() : began;
      drawn.current.next = ended + (ended - began) * PAUSES;
    };
    const pause = open ? drawn.current.next - performance.now() : 0;
    if (pause <= 0) {
      draw();
      return undefined;
    }
    const timer = setTimeout(draw, pause);
    return () => clearTimeout(timer);
  }, [text, open]);
  return <div ref={element} class={open ? "markdown open" : "markdown"} />;
}

function drawMore(box: HTMLElement, drawn: Drawn, text: string): void {
  if (!text.startsWith(drawn.settled)) {
    drawn.settled = "";
    drawn.nodes = 0;
  }
  while (box.childNodes.length > drawn.nodes) box.lastChild?.remove();
  const rest = text.slice(drawn.settled.length);
  const length = settledLength(rest);
  if (length > 0) {
    box.append(renderMarkdown(rest.slice(0, length)));
    drawn.settled += rest.slice(0, length);
    drawn.nodes = box.childNodes.length;
  }
  box.append(renderMarkdown(rest.slice(length)));
}
