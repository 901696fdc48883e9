// What was said: scrolls with the newest text while the reader is at the end, and reads older pages at the top.
import { signal, useSignalEffect } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { isPending } from "../state/questions";
import { endedTurn, type Transcript } from "../state/transcript";
import { readingOlder, readOlder } from "../store/live";
import { complain } from "../store/notices";
import { Icon } from "./Icons";
import { EntryView } from "./Entry";
import { TurnEnd } from "./TurnEnd";

/** How near to the end, in pixels, counts as at the end. */
const AT_END_PX = 60;
/** How near to the top, in pixels, older messages are read. */
const AT_TOP_PX = 400;

/** How often the end was asked for. */
const wanted = signal(0);

/** Goes to the end of the transcript, and stays there. */
export function showNewest(): void {
  wanted.value += 1;
}

/** The transcript of the viewed session. */
export function TranscriptView({ transcript }: { readonly transcript: Transcript }) {
  const scroller = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const following = useRef(true);
  const height = useRef(0);
  const first = useRef("");
  /** Where the box stood when it was looked at last. */
  const top = useRef(0);
  const [away, setAway] = useState(false);

  const toEnd = (): void => {
    const box = scroller.current;
    if (!box) return;
    box.scrollTop = box.scrollHeight;
    top.current = box.scrollTop;
  };
  const readMore = (): void => {
    const box = scroller.current;
    if (box && box.scrollTop < AT_TOP_PX && transcript.older && !readingOlder.value) {
      readOlder().catch((error: unknown) => complain(error, "Older messages"));
    }
  };

  // Older entries that come in above must not move what is being read.
  useLayoutEffect(() => {
    const box = scroller.current;
    if (!box) return;
    const now = transcript.entries[0]?.id ?? "";
    if (following.current) toEnd();
    else if (now !== first.current) box.scrollTop += box.scrollHeight - height.current;
    first.current = now;
    height.current = box.scrollHeight;
  }, [transcript.entries]);

  // Who writes something wants to see it.
  useSignalEffect(() => {
    if (wanted.value === 0) return;
    following.current = true;
    setAway(false);
    toEnd();
  });

  // Images and fonts change heights later.
  useEffect(() => {
    const observer = new ResizeObserver(() => {
      if (following.current) toEnd();
      if (scroller.current) height.current = scroller.current.scrollHeight;
    });
    if (content.current) observer.observe(content.current);
    if (scroller.current) observer.observe(scroller.current);
    return () => observer.disconnect();
  }, []);

  // A transcript that doesn't fill its box can't be scrolled to the top.
  useEffect(readMore, [transcript.older, transcript.entries.length]);

  const onScroll = (): void => {
    const box = scroller.current;
    if (!box) return;
    // What grows below moves the end away from the reader, who has not moved then: only going up ends the following.
    const up = box.scrollTop < top.current - 1;
    top.current = box.scrollTop;
    if (box.scrollHeight - box.scrollTop - box.clientHeight < AT_END_PX) following.current = true;
    else if (up) following.current = false;
    setAway(!following.current);
    readMore();
  };

  return (
    <div class="transcript-frame">
      <div class="transcript" ref={scroller} onScroll={onScroll} tabIndex={0} role="region" aria-label="Transcript">
        <div class="transcript-inner" ref={content}>
          {transcript.older ? (
            <p class="older">{readingOlder.value ? <span class="spinner" /> : "Scroll up for older messages"}</p>
          ) : null}
          {transcript.entries.map((entry, index) => {
            const ended = endedTurn(transcript, index);
            return [
              <EntryView key={entry.id} entry={entry} sessionKey={transcript.sessionKey} agent={transcript.session.agent} />,
              ended ? <TurnEnd key={`end:${ended.turnId}`} turn={ended} agent={transcript.session.agent} /> : null,
            ];
          })}
          <Working transcript={transcript} />
          {transcript.entries.length === 0 ? (
            <div class="empty">
              <h2>Nothing was said yet</h2>
              <p>Write the first message below.</p>
            </div>
          ) : null}
        </div>
      </div>
      {away ? (
        <button
          type="button"
          class="to-end"
          onClick={showNewest}
        >
          <Icon name="down" /> Newest
        </button>
      ) : null}
    </div>
  );
}

/** Shows that the agent works while it says nothing. */
function Working({ transcript }: { readonly transcript: Transcript }) {
  if (transcript.session.activeTurnId === "") return null;
  // It does nothing while it waits for a person.
  if (transcript.entries.some((entry) => entry.kind === "question" && isPending(entry))) return null;
  const last = transcript.entries.at(-1);
  const talks = (last?.kind === "message" && last.open && last.blocks.length > 0) || (last?.kind === "tool" && last.state === "running");
  return talks ? null : (
    <p class="working" aria-hidden="true">
      <span />
      <span />
      <span />
    </p>
  );
}
