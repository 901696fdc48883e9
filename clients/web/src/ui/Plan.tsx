// What the agent means to do, as a list of steps.
import type { PlanEntry, PlanStep } from "../state/entries";
import { Icon } from "./Icons";

const WORDS: Readonly<Record<PlanStep["status"], string>> = { pending: "to do", running: "under way", done: "done" };

/** Draws a plan. */
export function PlanView({ entry }: { readonly entry: PlanEntry }) {
  return (
    <section class="plan" aria-label="Plan" data-testid="plan">
      <ol>
        {entry.steps.map(({ text, status }, at) => (
          <li key={at} class={status}>
            <span class="plan-mark">{status === "done" ? <Icon name="check" /> : null}</span>
            <span>
              {text}
              <span class="unseen">, {WORDS[status]}</span>
            </span>
          </li>
        ))}
      </ol>
    </section>
  );
}
