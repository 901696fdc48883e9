// Budgets: how much of each is used, setting and taking them away.
import { useEffect, useState } from "preact/hooks";
import { type Budget, BudgetPeriod, BudgetScope, OnExceeded } from "@quarterdeck/client";
import { count, money } from "../../state/format";
import { amountOf, budgetName, microsOf, periodName } from "../../state/usage";
import { client } from "../../store/account";
import { complain, tell } from "../../store/notices";
import { Button, IconButton } from "../Button";
import { ask, Dialog, openDialog } from "../Dialog";
import { Choice, Field, Form } from "../Form";
import { Foot, reader, Table } from "../Page";

/** Budgets that are read at a time. */
const PAGE = 100;

const budgets = reader<Budget>(async (pageToken) => {
  const page = await client().listBudgets({ pageSize: PAGE, pageToken });
  return { rows: page.budgets, next: page.nextPageToken };
});

/** The budgets of the tenant. */
export function Budgets() {
  useEffect(() => void budgets.read(), []);
  return (
    <section class="page-part" aria-label="Budgets">
      <header class="page-head">
        <h2>Budgets</h2>
        <Button onClick={() => openDialog(() => <SetBudget />)}>Set a budget</Button>
      </header>
      <Table name="All budgets" columns={["For", "Period", "Spent", "Limit", "Tokens", "Token limit", "When it is used up", ""]} numbers={["Spent", "Limit", "Tokens", "Token limit"]}>
        {budgets.rows.value.map((budget) => (
          <Row key={`${budget.scope} ${budget.key} ${budget.period}`} budget={budget} />
        ))}
      </Table>
      <Foot of={budgets} empty="There is no budget: nothing bounds what is spent." />
    </section>
  );
}

function Row({ budget }: { readonly budget: Budget }) {
  const { scope, key, period } = budget;
  return (
    <tr class={budget.exceeded ? "error" : ""} data-testid="budget">
      <td>
        {budgetName(budget)} {budget.exceeded ? <span class="state error">used up</span> : null}
      </td>
      <td>{periodName(period)}</td>
      <td class="number">{money(budget.spentMicros, budget.unpricedCalls > 0n)}</td>
      <td class="number">{budget.hardMicros === undefined ? "no limit" : money(budget.hardMicros)}</td>
      <td class="number">{budget.spentTokens.toLocaleString()}</td>
      <td class="number">{budget.hardTokens === undefined ? "no limit" : budget.hardTokens.toLocaleString()}</td>
      <td>{budget.onExceeded === OnExceeded.PAUSE ? "work waits" : "work is refused"}</td>
      <td>
        <IconButton
          icon="trash"
          label={`Take the budget of ${budgetName(budget)} away`}
          tone="danger"
          onClick={() =>
            ask({
              title: "Take this budget away?",
              text: `Nothing bounds what ${budgetName(budget)} spends ${periodName(period)} then.`,
              yes: "Take away",
              onYes: () => void remove(scope, key, period),
            })
          }
        />
      </td>
    </tr>
  );
}

async function remove(scope: BudgetScope, key: string, period: BudgetPeriod): Promise<void> {
  try {
    await client().deleteBudget({ scope, key, period });
    tell("The budget is gone.");
    await budgets.read();
  } catch (error) {
    complain(error, "Not taken away");
  }
}

const SCOPES: readonly (readonly [value: BudgetScope, name: string, key: string])[] = [
  [BudgetScope.TENANT, "The whole tenant", ""],
  [BudgetScope.PRINCIPAL, "A user", "Name of the user"],
  [BudgetScope.SESSION, "A session", "Key of the session"],
  [BudgetScope.LABEL, "A label", "Label, as name=value"],
];
const PERIODS = [BudgetPeriod.DAY, BudgetPeriod.MONTH, BudgetPeriod.TOTAL] as const;

function SetBudget() {
  const [scope, setScope] = useState(String(BudgetScope.TENANT));
  const [key, setKey] = useState("");
  const [period, setPeriod] = useState(String(BudgetPeriod.MONTH));
  const [dollars, setDollars] = useState("");
  const [warn, setWarn] = useState("");
  const [tokens, setTokens] = useState("");
  const [exceeded, setExceeded] = useState(String(OnExceeded.REJECT));
  const [scopeValue, , keyName] = SCOPES.find(([each]) => String(each) === scope) ?? SCOPES[0] ?? [BudgetScope.TENANT, "", ""];
  const submit = async (): Promise<void> => {
    const [hardMicros, softMicros, hardTokens] = [microsOf(dollars), microsOf(warn), amountOf(tokens)];
    const { budget } = await client().setBudget({
      scope: scopeValue,
      key: keyName === "" ? "" : key.trim(),
      period: PERIODS.find((each) => String(each) === period) ?? BudgetPeriod.MONTH,
      onExceeded: exceeded === String(OnExceeded.PAUSE) ? OnExceeded.PAUSE : OnExceeded.REJECT,
      ...(hardMicros === undefined ? {} : { hardMicros }),
      ...(softMicros === undefined ? {} : { softMicros }),
      ...(hardTokens === undefined ? {} : { hardTokens }),
    });
    tell(`The budget is set; ${money(budget?.spentMicros ?? 0n)} and ${count(budget?.spentTokens ?? 0n, "token")} of it are used.`);
    await budgets.read();
  };
  return (
    <Dialog title="Set a budget" wide>
      <Form submit="Set" onSubmit={submit}>
        <div class="columns">
          <Choice label="For" value={scope} choices={SCOPES.map(([each, name]) => [String(each), name])} onChange={setScope} />
          <Choice label="Period" value={period} choices={PERIODS.map((each) => [String(each), periodName(each)])} onChange={setPeriod} />
        </div>
        {keyName === "" ? null : <Field label={keyName} value={key} onInput={setKey} required />}
        <div class="columns">
          <Field label="At most, in US dollars" value={dollars} onInput={setDollars} placeholder="no limit" hint="No model call begins beyond it." />
          <Field label="Warn from, in US dollars" value={warn} onInput={setWarn} placeholder="never" />
        </div>
        <div class="columns">
          <Field label="At most, in tokens" value={tokens} onInput={setTokens} placeholder="no limit" />
          <Choice
            label="When it is used up"
            value={exceeded}
            choices={[
              [String(OnExceeded.REJECT), "work is refused"],
              [String(OnExceeded.PAUSE), "work waits until somebody grants more"],
            ]}
            onChange={setExceeded}
          />
        </div>
      </Form>
    </Dialog>
  );
}
