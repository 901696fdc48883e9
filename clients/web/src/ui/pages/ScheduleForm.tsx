// Makes a schedule, or changes one, and tells its next times while it is written.
import { useEffect, useState } from "preact/hooks";
import { clone, create } from "@bufbuild/protobuf";
import { EnqueueRequestSchema, MissedPolicy, OnBusy, OverlapPolicy, type Schedule, ScheduleSchema, type ScheduleSpec, SessionMode } from "@quarterdeck/client";
import { explain } from "../../api";
import { clockTime, dateOf } from "../../state/format";
import { changedPaths, MISSED, OVERLAPS, specOf, type When, whenOf } from "../../state/schedules";
import { amountOf } from "../../state/usage";
import { client } from "../../store/account";
import { tell } from "../../store/notices";
import { Dialog, openDialog } from "../Dialog";
import { Choice, Field, Form } from "../Form";

/** Pause after a key before the next times are asked for, in milliseconds. */
const PREVIEW_MS = 250;
/** Times that are told. */
const TIMES = 3;

/** Opens the form of a new schedule, or of `schedule`; `onDone` is called when it was made or changed. */
export function openScheduleForm(onDone: () => Promise<void>, schedule?: Schedule): void {
  openDialog(() => <ScheduleForm onDone={onDone} schedule={schedule} />);
}

interface ScheduleFormProps {
  readonly onDone: () => Promise<void>;
  readonly schedule: Schedule | undefined;
}

function ScheduleForm({ onDone, schedule }: ScheduleFormProps) {
  const [name, setName] = useState(schedule?.scheduleName ?? "");
  const [text, setText] = useState(schedule?.enqueue?.text ?? "");
  const [mode, setMode] = useState(schedule?.sessionMode === SessionMode.NEW ? "new" : "same");
  const [session, setSession] = useState(schedule?.enqueue?.sessionKey ?? "");
  const [template, setTemplate] = useState(schedule?.keyTemplate ?? "");
  const [when, setWhen] = useState<When>(() => whenOf(schedule?.spec, Intl.DateTimeFormat().resolvedOptions().timeZone));
  const [overlap, setOverlap] = useState(String(schedule && schedule.sessionMode !== SessionMode.NEW ? schedule.overlap : OverlapPolicy.SKIP));
  const [parallel, setParallel] = useState(String(schedule?.sessionMode === SessionMode.NEW ? schedule.overlap : OverlapPolicy.SKIP));
  const [missed, setMissed] = useState(String(schedule?.missed ?? MissedPolicy.RUN_ONCE));
  const [runs, setRuns] = useState(schedule?.remainingRuns?.toString() ?? "");
  const [failures, setFailures] = useState(String(schedule?.pauseAfterFailures ?? 5));
  const [times, setTimes] = useState("");
  const same = mode === "same";
  useEffect(() => {
    const timer = setTimeout(() => void nextTimes(when, schedule?.spec).then(setTimes), PREVIEW_MS);
    return () => clearTimeout(timer);
  }, [when]);
  const written = (): Schedule => {
    const remainingRuns = amountOf(runs);
    // What else the request holds stays as it is.
    const enqueue = schedule?.enqueue ? clone(EnqueueRequestSchema, schedule.enqueue) : create(EnqueueRequestSchema, { onBusy: OnBusy.ENQUEUE, source: "console" });
    enqueue.text = text;
    enqueue.sessionKey = same ? session.trim() : "";
    return create(ScheduleSchema, {
      scheduleName: name,
      spec: specOf(when, schedule?.spec),
      sessionMode: same ? SessionMode.SAME : SessionMode.NEW,
      keyTemplate: same ? "" : template.trim(),
      overlap: numberIn(OVERLAPS[same ? "same" : "new"], same ? overlap : parallel, OverlapPolicy.SKIP),
      missed: numberIn(MISSED, missed, MissedPolicy.RUN_ONCE),
      pauseAfterFailures: Number(amountOf(failures) ?? 0n),
      enqueue,
      ...(remainingRuns === undefined ? {} : { remainingRuns }),
    });
  };
  const submit = async (): Promise<void> => {
    const value = written();
    if (schedule) {
      const paths = changedPaths(schedule, value);
      if (paths.length > 0) await client().updateSchedule({ scheduleName: name, schedule: value, updateMask: { paths } });
      tell(`${name} is changed.`);
    } else {
      await client().createSchedule({ schedule: value });
      tell(`${name} is made.`);
    }
    await onDone();
  };
  return (
    <Dialog title={schedule ? `Change ${name}` : "New schedule"} wide>
      <Form submit={schedule ? "Save" : "Make"} onSubmit={submit}>
        {schedule ? null : <Field label="Name" value={name} onInput={setName} required pattern="[A-Za-z0-9][A-Za-z0-9._:@~+=\-]*" />}
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
          {same ? (
            <Field label="Key of the session" value={session} onInput={setSession} required />
          ) : (
            <Field label="Keys of the sessions" value={template} onInput={setTemplate} placeholder="{schedule}-{time}" hint="With {time} or {unix}, which is the run's time." />
          )}
        </div>
        <div class="columns">
          <Choice
            label="When"
            value={when.kind}
            choices={[
              ["cron", "at times (cron)"],
              ["every", "again and again"],
              ["at", "once"],
            ]}
            onChange={(kind) => setWhen({ ...when, kind: kind === "every" || kind === "at" ? kind : "cron" })}
          />
          {when.kind === "cron" ? (
            <Field label="Times" value={when.cron} onInput={(cron) => setWhen({ ...when, cron })} required hint="Minute, hour, day, month, weekday." />
          ) : when.kind === "every" ? (
            <Field label="Every" value={when.every} onInput={(every) => setWhen({ ...when, every })} required hint="Like 15m, 1h or 1d; at least 1m." />
          ) : (
            <Field label="At" value={when.at} onInput={(at) => setWhen({ ...when, at })} required placeholder="2027-01-31 18:00" hint="By your time." />
          )}
        </div>
        {when.kind === "cron" ? <Field label="Time zone" value={when.zone} placeholder="UTC" onInput={(zone) => setWhen({ ...when, zone })} /> : null}
        <p class="hint" role="status" data-testid="preview">
          {times}
        </p>
        <div class="columns">
          <Choice
            label="While the run before is not finished"
            value={same ? overlap : parallel}
            choices={OVERLAPS[same ? "same" : "new"].map(([value, each]) => [String(value), each])}
            onChange={same ? setOverlap : setParallel}
          />
          <Choice label="Missed while the server did not run" value={missed} choices={MISSED.map(([value, each]) => [String(value), each])} onChange={setMissed} />
        </div>
        <div class="columns">
          <Field label="Runs that are left" value={runs} onInput={setRuns} placeholder="without end" />
          <Field label="Pause after so many failures in a row" value={failures} onInput={setFailures} hint="0 never does; at most 100." />
        </div>
      </Form>
    </Dialog>
  );
}

/** The value that is chosen, as one of those that there are. */
function numberIn<Value extends number>(choices: readonly (readonly [value: Value, name: string])[], chosen: string, otherwise: Value): Value {
  return choices.find(([each]) => String(each) === chosen)?.[0] ?? otherwise;
}

async function nextTimes(when: When, before: ScheduleSpec | undefined): Promise<string> {
  try {
    const { times } = await client().previewSchedule({ spec: specOf(when, before), count: TIMES });
    const now = new Date();
    return times.length === 0 ? "It would never run." : `Next, by your time: ${times.map((time) => clockTime(dateOf(time), now)).join(" · ")}`;
  } catch (error) {
    return explain(error);
  }
}
