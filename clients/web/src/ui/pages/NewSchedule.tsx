// Makes a schedule, and tells its next times while it is written.
import { useEffect, useState } from "preact/hooks";
import { OnBusy, OverlapPolicy, SessionMode } from "@quarterdeck/client";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ScheduleSpecSchema } from "@quarterdeck/client";
import { explain } from "../../api";
import { clockTime, dateOf } from "../../state/format";
import { durationOf } from "../../state/settings";
import { OVERLAPS } from "../../state/schedules";
import { client } from "../../store/account";
import { tell } from "../../store/notices";
import { Dialog, openDialog } from "../Dialog";
import { Choice, Field, Form } from "../Form";

/** Pause after a key before the next times are asked for, in milliseconds. */
const PREVIEW_MS = 250;
/** Times that are told. */
const TIMES = 3;

/** Opens the form; `onMade` is called when a schedule was made. */
export function openNewSchedule(onMade: () => Promise<void>): void {
  openDialog(() => <NewSchedule onMade={onMade} />);
}

type Spec = MessageInitShape<typeof ScheduleSpecSchema>;

/** The spec of what is written. Throws where it can't be read. */
function specOf(kind: string, when: string, timeZone: string): Spec {
  if (kind === "cron") return { when: { case: "cron", value: when.trim() }, timeZone };
  const every = durationOf(when);
  if (!every) throw new Error("Say how often.");
  return { when: { case: "every", value: every } };
}

function NewSchedule({ onMade }: { readonly onMade: () => Promise<void> }) {
  const [name, setName] = useState("");
  const [text, setText] = useState("");
  const [mode, setMode] = useState("same");
  const [session, setSession] = useState("");
  const [kind, setKind] = useState("cron");
  const [cron, setCron] = useState("0 9 * * MON-FRI");
  const [every, setEvery] = useState("1h");
  const [zone, setZone] = useState(() => Intl.DateTimeFormat().resolvedOptions().timeZone);
  const [overlap, setOverlap] = useState(String(OverlapPolicy.SKIP));
  const [times, setTimes] = useState("");
  const when = kind === "cron" ? cron : every;
  useEffect(() => {
    const timer = setTimeout(() => void nextTimes(kind, when, zone).then(setTimes), PREVIEW_MS);
    return () => clearTimeout(timer);
  }, [kind, when, zone]);
  const submit = async (): Promise<void> => {
    const same = mode === "same";
    await client().createSchedule({
      schedule: {
        scheduleName: name,
        spec: specOf(kind, when, zone),
        sessionMode: same ? SessionMode.SAME : SessionMode.NEW,
        overlap: same ? (OVERLAPS.find(([each]) => String(each) === overlap)?.[0] ?? OverlapPolicy.SKIP) : OverlapPolicy.SKIP,
        enqueue: { text, sessionKey: same ? session : "", onBusy: OnBusy.ENQUEUE, source: "console" },
      },
    });
    tell(`${name} is made.`);
    await onMade();
  };
  return (
    <Dialog title="New schedule" wide>
      <Form submit="Make" onSubmit={submit}>
        <Field label="Name" value={name} onInput={setName} required pattern="[A-Za-z0-9][A-Za-z0-9._:@~+=\-]*" />
        <Field label="Prompt" value={text} onInput={setText} lines={4} required />
        <div class="columns">
          <Choice
            label="Where"
            value={mode}
            choices={[
              ["same", "always the same session"],
              ["new", "a new session each time"],
            ]}
            onChange={setMode}
          />
          {mode === "same" ? <Field label="Key of the session" value={session} onInput={setSession} required /> : null}
        </div>
        <div class="columns">
          <Choice
            label="When"
            value={kind}
            choices={[
              ["cron", "at times (cron)"],
              ["every", "again and again"],
            ]}
            onChange={setKind}
          />
          {kind === "cron" ? (
            <Field label="Times" value={cron} onInput={setCron} required hint="Minute, hour, day, month, weekday." />
          ) : (
            <Field label="Every" value={every} onInput={setEvery} required hint="Like 15m, 1h or 1d; at least 1m." />
          )}
        </div>
        {kind === "cron" ? <Field label="Time zone" value={zone} onInput={setZone} /> : null}
        {mode === "same" ? (
          <Choice
            label="While the run before is not finished"
            value={overlap}
            choices={OVERLAPS.map(([value, each]) => [String(value), each])}
            onChange={setOverlap}
          />
        ) : null}
        <p class="hint" role="status" data-testid="preview">
          {times}
        </p>
      </Form>
    </Dialog>
  );
}

async function nextTimes(kind: string, when: string, zone: string): Promise<string> {
  try {
    const { times } = await client().previewSchedule({ spec: specOf(kind, when, zone), count: TIMES });
    const now = new Date();
    return times.length === 0 ? "It would never run." : `Next, by your time: ${times.map((time) => clockTime(dateOf(time), now)).join(" · ")}`;
  } catch (error) {
    return explain(error);
  }
}
