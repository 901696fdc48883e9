// Schedules in words. Pure.
import {
  OverlapPolicy,
  type Schedule,
  ScheduleOutcome,
  type ScheduleRun,
  type ScheduleSpec,
  ScheduleTrigger,
  SessionMode,
} from "@quarterdeck/client";
import { dateOf, duration } from "./format";
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

/** What to do while an earlier run is not finished, as a person chooses it. */
export const OVERLAPS: readonly (readonly [value: OverlapPolicy, name: string])[] = [
  [OverlapPolicy.SKIP, "skip the new one"],
  [OverlapPolicy.BUFFER_ONE, "let one wait"],
  [OverlapPolicy.QUEUE, "let each wait"],
  [OverlapPolicy.INTERRUPT, "stop the old one"],
];
