// Schedules in words, and as a form holds them. Pure; what can't be read is an Error in a sentence.
import { clone, create, equals } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  EnqueueRequestSchema,
  MissedPolicy,
  OverlapPolicy,
  type Schedule,
  ScheduleOutcome,
  type ScheduleRun,
  type ScheduleSpec,
  ScheduleSpecSchema,
  ScheduleTrigger,
  SessionMode,
} from "@quarterdeck/client";
import { dateOf, duration } from "./format";
import { durationOf, durationText } from "./settings";
import type { Tone } from "./turns";

/** When it runs. */
export function specWords(spec: ScheduleSpec | undefined): string {
  const zone = spec?.timeZone === "" ? "UTC" : (spec?.timeZone ?? "UTC");
  switch (spec?.when.case) {
    case "cron":
      return `${spec.when.value} (${zone})`;
    case "every":
      return `every ${duration(spec.when.value)}`;
    case "at":
      return `once, ${dateOf(spec.when.value)?.toLocaleString() ?? ""}`;
    default:
      return "never";
  }
}

/** Where it runs. */
export function whereWords(schedule: Schedule): string {
  if (schedule.sessionMode === SessionMode.NEW) return `a new session each time (${schedule.keyTemplate})`;
  return schedule.enqueue?.sessionKey ?? "";
}

/** How it stands. */
export function scheduleState(schedule: Schedule): readonly [word: string, tone: Tone] {
  if (schedule.paused) return [schedule.pauseReason === "FAILURES" ? "Paused after failures" : "Paused", schedule.pauseReason === "FAILURES" ? "error" : "warning"];
  return schedule.nextTimes.length === 0 ? ["Finished", "quiet"] : ["Active", "busy"];
}

/** What came of a run. */
export function runState({ outcome, reason }: ScheduleRun): readonly [word: string, tone: Tone] {
  if (outcome === ScheduleOutcome.STARTED) return ["Started", "quiet"];
  if (outcome === ScheduleOutcome.SKIPPED) return [`Skipped: ${SKIPPED[reason] ?? reason}`, "warning"];
  return [`Refused: ${reason}`, "error"];
}

const SKIPPED: Readonly<Record<string, string>> = {
  OVERLAP: "the run before was not finished",
  MISSED: "the server did not run then",
  DST_GAP: "the clocks skipped that time",
  PAUSED: "it was paused after failures",
};

/** What started a run. */
export function triggerWords(trigger: ScheduleTrigger): string {
  if (trigger === ScheduleTrigger.MANUAL) return "by hand";
  return trigger === ScheduleTrigger.CATCH_UP ? "its time, made up for" : "its time";
}

/** What to do while an earlier run is not finished, as a person chooses it: in one session, and where each run has its own. */
export const OVERLAPS: Readonly<Record<"same" | "new", readonly (readonly [value: OverlapPolicy, name: string])[]>> = {
  same: [
    [OverlapPolicy.SKIP, "skip the new one"],
    [OverlapPolicy.BUFFER_ONE, "let one wait"],
    [OverlapPolicy.QUEUE, "let each wait"],
    [OverlapPolicy.INTERRUPT, "stop the old one"],
  ],
  new: [
    [OverlapPolicy.SKIP, "skip the new one"],
    [OverlapPolicy.ALLOW, "run both"],
  ],
};

/** What to do with times that passed while the server did not run, as a person chooses it. */
export const MISSED: readonly (readonly [value: MissedPolicy, name: string])[] = [
  [MissedPolicy.RUN_ONCE, "run once for them all"],
  [MissedPolicy.SKIP, "skip them"],
  [MissedPolicy.ALL, "run for each"],
];

/** When a schedule runs, as its form holds it. */
export interface When {
  readonly kind: "cron" | "every" | "at";
  readonly cron: string;
  readonly every: string;
  /** A date and time of the browser's time zone. */
  readonly at: string;
  /** Of `cron`. */
  readonly zone: string;
}

/** What the form begins with. */
export function whenOf(spec: ScheduleSpec | undefined, zone: string): When {
  const when = spec?.when;
  return {
    kind: when?.case ?? "cron",
    cron: when?.case === "cron" ? when.value : "0 9 * * MON-FRI",
    every: when?.case === "every" ? durationText(when.value) : "1h",
    at: when?.case === "at" ? localTime(dateOf(when.value)) : "",
    zone: spec ? spec.timeZone : zone,
  };
}

/** The spec that is written; bounds and jitter of the one before stay. Throws where it can't be read. */
export function specOf({ kind, cron, every, at, zone }: When, before: ScheduleSpec | undefined): ScheduleSpec {
  const spec = before ? clone(ScheduleSpecSchema, before) : create(ScheduleSpecSchema);
  switch (kind) {
    case "cron":
      spec.timeZone = zone.trim();
      spec.when = { case: "cron", value: cron.trim() };
      return spec;
    case "every": {
      const value = durationOf(every);
      if (!value) throw new Error("Say how often.");
      spec.when = { case: "every", value };
      return spec;
    }
    case "at": {
      const date = new Date(at.trim().replace(" ", "T"));
      if (Number.isNaN(date.getTime())) throw new Error("Say when, like 2027-01-31 18:00.");
      spec.when = { case: "at", value: timestampFromDate(date) };
      return spec;
    }
  }
}

/** What differs, as an update names it: a spec that is set anew, though the same, would count its time anew. */
export function changedPaths(before: Schedule, after: Schedule): string[] {
  const changed: readonly (readonly [path: string, is: boolean])[] = [
    ["spec", !before.spec || !after.spec || !equals(ScheduleSpecSchema, before.spec, after.spec)],
    ["enqueue", !before.enqueue || !after.enqueue || !equals(EnqueueRequestSchema, before.enqueue, after.enqueue)],
    ["session_mode", before.sessionMode !== after.sessionMode],
    ["key_template", before.keyTemplate !== after.keyTemplate],
    ["overlap", before.overlap !== after.overlap],
    ["missed", before.missed !== after.missed],
    ["pause_after_failures", before.pauseAfterFailures !== after.pauseAfterFailures],
    ["remaining_runs", before.remainingRuns !== after.remainingRuns],
  ];
  return changed.filter(([, is]) => is).map(([path]) => path);
}

/** Date and time as they are written, in the browser's time zone. */
function localTime(date: Date | undefined): string {
  if (!date) return "";
  const two = (value: number): string => String(value).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}${date.getSeconds() === 0 ? "" : `:${two(date.getSeconds())}`}`;
}
