// The end of a turn: how it went, how long it took, trying it again, and forking from there.
import { StopReason, type Turn } from "@quarterdeck/client";
import { count, dateOf, span } from "../state/format";
import { tokensOf, turnWord } from "../state/turns";
import { scopes } from "../store/account";
import { canFork } from "../store/server";
import { IconButton } from "./Button";
import { ResendButtons } from "./Resend";
import { openFork } from "./SessionView";

/** A line under the last entry of a turn that has ended. */
export function TurnEnd({ turn, agent }: { readonly turn: Turn; readonly agent: string }) {
  const [name, tone] = turnWord(turn.state);
  const started = dateOf(turn.startTime);
  const ended = dateOf(turn.endTime);
  const tokens = tokensOf(turn.usage);
  return (
    <div class={`turn-end ${tone}`} data-turn={turn.turnId} data-testid="turn-end">
      <span class="turn-outcome">{name}</span>
      {turn.error ? <span class="turn-reason">{turn.error.message}</span> : null}
      {turn.stopReason === StopReason.LENGTH ? <span class="turn-reason">The model's output limit was reached.</span> : null}
      {started && ended ? <span>{span(ended.getTime() - started.getTime())}</span> : null}
      {tokens > 0n ? <span>{count(tokens, "token")}</span> : null}
      <ResendButtons turn={turn} agent={agent} />
      {started && scopes.value.has("session.write") && canFork(agent) ? (
        <IconButton icon="fork" label="Fork from here" onClick={() => openFork(turn.sessionKey, turn.turnId)} />
      ) : null}
    </div>
  );
}
