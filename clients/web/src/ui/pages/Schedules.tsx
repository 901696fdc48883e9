// Schedules: when each runs next, what came of its runs, running it now, pausing, making, changing and deleting.
import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import type { Schedule, ScheduleRun } from "@quarterdeck/client";
import { explain } from "../../api";
import { clockTime, count, dateOf, oneLine } from "../../state/format";
import { hashOf } from "../../state/route";
import { runState, scheduleState, specWords, triggerWords, whereWords } from "../../state/schedules";
import { client, scopes } from "../../store/account";
import { complain, tell } from "../../store/notices";
import { Button, IconButton } from "../Button";
import { ask, Dialog, openDialog } from "../Dialog";
import { Foot, Page, reader, Table } from "../Page";
import { openScheduleForm } from "./ScheduleForm";

/** Schedules that are read at a time. */
const PAGE = 100;
/** Runs that are shown; so many are kept. */
const RUNS_MAX = 100;
/** How often the list is read while it is shown, in milliseconds. */
const READ_MS = 10_000;

const schedules = reader<Schedule>(async (pageToken) => {
  const page = await client().listSchedules({ pageSize: PAGE, pageToken });
  return { rows: page.schedules, next: page.nextPageToken };
});

/** The page of the schedules. */
export function Schedules() {
  useEffect(() => {
    void schedules.read();
    const timer = setInterval(() => void schedules.read(), READ_MS);
    return () => clearInterval(timer);
  }, []);
  const write = scopes.value.has("schedule.write");
  return (
    <Page
      title="Schedules"
      hint="Prompts that are sent again at their times; these are your own"
      action={
        write ? (
          <Button tone="primary" onClick={() => openScheduleForm(() => schedules.read())}>
            New schedule
          </Button>
        ) : null
      }
    >
      <ul class="item-cards">
        {schedules.rows.value.map((schedule) => (
          <Card key={schedule.scheduleName} schedule={schedule} write={write} />
        ))}
      </ul>
      <Foot of={schedules} empty="There are no schedules yet." />
    </Page>
  );
}

function Card({ schedule, write }: { readonly schedule: Schedule; readonly write: boolean }) {
  const name = schedule.scheduleName;
  const [word, tone] = scheduleState(schedule);
  const now = new Date();
  const times = schedule.nextTimes.map((time) => clockTime(dateOf(time), now));
  return (
    <li class="item-card" data-testid="schedule" data-schedule={name}>
      <div class="item-head">
        <h2>{name}</h2>
        <span class={`state ${tone}`}>{word}</span>
        {schedule.paused && schedule.pauseReason !== "" && schedule.pauseReason !== "FAILURES" ? <span class="hint">{schedule.pauseReason}</span> : null}
        <span class="row-actions">
          {write ? (
            <>
              <IconButton icon="send" label={`Run ${name} now`} onClick={() => void runNow(name)} />
              <IconButton
                icon={schedule.paused ? "play" : "pause"}
                label={schedule.paused ? `Resume ${name}` : `Pause ${name}`}
                onClick={() => void setPaused(name, !schedule.paused)}
              />
            </>
          ) : null}
          <IconButton icon="clock" label={`Runs of ${name}`} onClick={() => openDialog(() => <Runs name={name} />)} />
          {write ? (
            <>
              <IconButton icon="pencil" label={`Change ${name}`} onClick={() => openScheduleForm(() => schedules.read(), schedule)} />
              <IconButton icon="trash" label={`Delete ${name}`} tone="danger" onClick={() => askDelete(name)} />
            </>
          ) : null}
        </span>
      </div>
      <p class="item-text">{oneLine(schedule.enqueue?.text ?? "", 200)}</p>
      <dl>
        <div>
          <dt>When</dt>
          <dd>{specWords(schedule.spec)}</dd>
        </div>
        <div>
          <dt>Session</dt>
          <dd>{whereWords(schedule)}</dd>
        </div>
        <div>
          <dt>Next, your time</dt>
          <dd data-testid="next-times">{schedule.paused ? "when it is resumed" : times.join(" · ") || "no more"}</dd>
        </div>
        {schedule.remainingRuns === undefined ? null : (
          <div>
            <dt>Left</dt>
            <dd>{count(schedule.remainingRuns, "run")}</dd>
          </div>
        )}
      </dl>
    </li>
  );
}

async function runNow(scheduleName: string): Promise<void> {
  try {
    const { run } = await client().runScheduleNow({ scheduleName });
    const [word] = run ? runState(run) : ["Started"];
    tell(`${scheduleName}: ${word}`);
    await schedules.read();
  } catch (error) {
    complain(error, "Not run");
  }
}

async function setPaused(scheduleName: string, paused: boolean): Promise<void> {
  try {
    const schedule = { paused, pauseReason: paused ? "in the console" : "" };
    await client().updateSchedule({ scheduleName, schedule, updateMask: { paths: ["paused", "pause_reason"] } });
    tell(paused ? `${scheduleName} is paused.` : `${scheduleName} goes on.`);
    await schedules.read();
  } catch (error) {
    complain(error, paused ? "Not paused" : "Not resumed");
  }
}

function askDelete(scheduleName: string): void {
  ask({
    title: `Delete ${scheduleName}?`,
    text: "The schedule and the list of its runs go; turns that it made stay.",
    yes: "Delete",
    onYes: () => void remove(scheduleName),
  });
}

async function remove(scheduleName: string): Promise<void> {
  try {
    await client().deleteSchedule({ scheduleName });
    tell(`${scheduleName} is deleted.`);
    await schedules.read();
  } catch (error) {
    complain(error, "Not deleted");
  }
}

function Runs({ name }: { readonly name: string }) {
  const [runs] = useState(() => signal<readonly ScheduleRun[] | undefined>(undefined));
  const [problem, setProblem] = useState("");
  useEffect(() => {
    client()
      .listScheduleRuns({ scheduleName: name, pageSize: RUNS_MAX })
      .then(
        (page) => (runs.value = page.runs),
        (error: unknown) => setProblem(explain(error)),
      );
  }, [name]);
  const now = new Date();
  return (
    <Dialog title={`Runs of ${name}`} wide>
      <p class="problem" role="alert">
        {problem}
      </p>
      {runs.value?.length === 0 ? <p class="empty-list">It has not run yet.</p> : null}
      {runs.value && runs.value.length > 0 ? (
        <Table name="Runs" columns={["Time", "What came of it", "Started by", "Session"]}>
          {runs.value.map((run) => {
            const [word, tone] = runState(run);
            return (
              <tr key={run.runId} class={tone} data-testid="run">
                <td>{clockTime(dateOf(run.scheduledTime), now)}</td>
                <td>
                  <span class={`state ${tone}`}>{word}</span>
                </td>
                <td>{triggerWords(run.trigger)}</td>
                <td>{run.sessionKey === "" ? "" : <a href={hashOf({ place: "sessions", sessionKey: run.sessionKey })}>{run.sessionKey}</a>}</td>
              </tr>
            );
          })}
        </Table>
      ) : null}
    </Dialog>
  );
}
