// What a person does to sessions.
import { signal } from "@preact/signals";
import {
  AbortMode,
  AdmissionMode,
  type AgentOption,
  type AnswerInput,
  type ListModelsResponse,
  OnBusy,
  type Question,
  type SessionSnapshot,
  type Turn,
} from "@quarterdeck/client";
import { splitModel } from "../state/choices";
import { client } from "./account";
import { announce, complain, tell } from "./notices";
import { goSession } from "./place";
import { type Draft, willWrite } from "./drafts";
import { commandIn } from "../state/commands";

/** How long Abort may take: its grace and the proof, in milliseconds. */
const ABORT_TIMEOUT_MS = 60_000;

/** Turns that are being stopped at this page's request. */
export const stopping = signal<ReadonlySet<string>>(new Set());

/** Sends a draft: as a turn, or to the running one. Throws where it was refused, so that the draft stays. */
export async function send(sessionKey: string, draft: Draft, how: "steer" | "queue"): Promise<void> {
  const attachments = draft.files.map(({ name, mediaType, data }) => ({ name, mediaType, data }));
  const request = { sessionKey, text: draft.text, attachments };
  if (how === "steer") {
    const { mode } = await client().steer(request);
    if (mode === AdmissionMode.QUEUED) tell("No turn was running any more: the message waits as a turn of its own.");
    return;
  }
  if (await runsAsCommand(sessionKey, draft)) return;
  await client().enqueue({ ...request, onBusy: OnBusy.ENQUEUE, source: "console" });
}

/** Runs a text that begins with a slash and a command of the session; false where it is none. */
async function runsAsCommand(sessionKey: string, { text, files }: Draft): Promise<boolean> {
  if (!text.startsWith("/") || files.length > 0) return false;
  const { commands } = await client().listCommands({ sessionKey });
  const command = commandIn(text, commands);
  if (!command) return false;
  const done = await client().executeCommand({ sessionKey, ...command }, { deadlineMs: ABORT_TIMEOUT_MS });
  if (done.result.case === "resultJson") tell(`/${command.name} is done.`);
  return true;
}

/** Stops the active turn, and tells what became of it. */
export async function stop(sessionKey: string, turnId: string): Promise<void> {
  const kill = stopping.value.has(turnId);
  stopping.value = new Set([...stopping.value, turnId]);
  announce(kill ? "Ending the agent's processes." : "Stopping.");
  try {
    const mode = kill ? AbortMode.KILL : AbortMode.CANCEL;
    const { aborted } = await client().abort({ sessionKey, turnId, mode }, { deadlineMs: ABORT_TIMEOUT_MS });
    if (!kill) tell(aborted ? "Stopped." : "The turn had finished by itself.");
  } catch (error) {
    complain(error, "Not stopped");
  } finally {
    stopping.value = new Set([...stopping.value].filter((id) => id !== turnId));
  }
}

/** Begins a fresh conversation. */
export async function reset(sessionKey: string): Promise<void> {
  await attempt("Not reset", async () => {
    await client().reset({ sessionKey }, { deadlineMs: ABORT_TIMEOUT_MS });
    tell("A fresh conversation begins.");
  });
}

/** Deletes a session with all that belongs to it. */
export async function deleteSession(sessionKey: string): Promise<void> {
  await attempt("Not deleted", async () => {
    await client().deleteSession({ sessionKey }, { deadlineMs: ABORT_TIMEOUT_MS });
    goSession("");
    tell(`${sessionKey} is deleted.`);
  });
}

/** Copies a conversation into a new session and goes there. Throws where it was refused. */
export async function fork(sessionKey: string, newSessionKey: string, turnId: string): Promise<void> {
  await client().forkSession({ sessionKey, newSessionKey, turnId });
  willWrite(newSessionKey);
  goSession(newSessionKey);
}

/** Creates a session and goes there. Throws where it was refused. */
export async function createSession(sessionKey: string, agent: string, displayName: string): Promise<void> {
  await client().createSession({ sessionKey, agent, displayName });
  willWrite(sessionKey);
  goSession(sessionKey);
}

/** What can be chosen for a session. Throws where that can't be read. */
export async function findChoices(sessionKey: string): Promise<{ models: ListModelsResponse; options: AgentOption[] }> {
  const [models, { options }] = await Promise.all([client().listModels({ sessionKey }), client().listOptions({ sessionKey })]);
  return { models, options };
}

/** Chooses what is another choice than before. Throws where it was refused. */
export async function choose(
  session: SessionSnapshot,
  chosen: { readonly model: string; readonly level: string; readonly values: Readonly<Record<string, string>> },
): Promise<void> {
  const { sessionKey } = session;
  if (chosen.model !== session.model) await client().setModel({ sessionKey, ...splitModel(chosen.model) });
  if (chosen.level !== session.thinkingLevel) await client().setThinkingLevel({ sessionKey, level: chosen.level });
  for (const [optionId, value] of Object.entries(chosen.values)) await client().setOption({ sessionKey, optionId, value });
}

/** Changes the text of a waiting turn. */
export async function editQueued(turn: Turn, text: string): Promise<void> {
  const { sessionKey, turnId } = turn;
  await client().updateQueued({ sessionKey, turnId, text });
}

/** Moves a waiting turn to a place in the queue; 0 is next. */
export async function moveQueued(turn: Turn, position: number): Promise<void> {
  const { sessionKey, turnId } = turn;
  await attempt("Not moved", async () => {
    await client().updateQueued({ sessionKey, turnId, position });
    announce(`Moved to place ${position + 1}.`);
  });
}

/** Takes a waiting turn from the queue. */
export async function removeQueued(turn: Turn): Promise<void> {
  const { sessionKey, turnId } = turn;
  await attempt("Not removed", async () => {
    await client().removeQueued({ sessionKey, turnId });
    announce("Removed from the queue.");
  });
}

/** Takes all waiting turns from the queue. */
export async function clearQueue(sessionKey: string): Promise<void> {
  await attempt("Not cleared", async () => {
    await client().clearQueue({ sessionKey });
    announce("The queue is empty.");
  });
}

/** An answer to a question, by a person. */
export type GivenAnswer = AnswerInput;

/** Answers a question as it was shown. Throws where it was refused. */
export async function answerQuestion({ sessionKey, questionId, actionDigest }: Question, answer: GivenAnswer): Promise<void> {
  await client().answerQuestion({ sessionKey, questionId, actionDigest, answer });
}

/** A question with its arguments as they are stored. */
export async function wholeQuestion({ sessionKey, questionId }: Question): Promise<Question | undefined> {
  return (await client().getQuestion({ sessionKey, questionId })).question;
}

/** A turn's text, whole where the queue shows a part. */
export async function wholeText(turn: Turn): Promise<string> {
  if (!turn.textTruncated) return turn.text;
  const { turn: whole } = await client().getTurn({ sessionKey: turn.sessionKey, turnId: turn.turnId });
  return whole?.text ?? turn.text;
}

async function attempt(what: string, call: () => Promise<void>): Promise<void> {
  try {
    await call();
  } catch (error) {
    complain(error, what);
  }
}
