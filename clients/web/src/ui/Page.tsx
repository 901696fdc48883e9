// What pages have in common: head, tables, reading by pages.
import { type Signal, signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { explain } from "../api";
import { endIfRefused } from "../store/account";
import { Button } from "./Button";

interface PageProps {
  readonly title: string;
  readonly hint?: ComponentChildren;
  readonly action?: ComponentChildren;
  readonly children: ComponentChildren;
}

/** A page. It scrolls, also by keys. */
export function Page({ title, hint, action, children }: PageProps) {
  return (
    <main class="page" aria-label={title} tabindex={0}>
      <header class="page-head">
        <h1>{title}</h1>
        <span class="hint">{hint}</span>
        {action}
      </header>
      {children}
    </main>
  );
}

interface TableProps {
  readonly name: string;
  readonly columns: readonly string[];
  /** Columns that hold numbers, which stand at the right. */
  readonly numbers?: readonly string[];
  readonly children: ComponentChildren;
}

/** A table that scrolls sideways in its frame. */
export function Table({ name, columns, numbers = [], children }: TableProps) {
  return (
    <div class="table-frame" tabIndex={0} role="region" aria-label={name}>
      <table class="table">
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column} scope="col" class={numbers.includes(column) ? "number" : ""}>
                {column}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

/** Rows that are read by pages. */
export interface Reader<Row> {
  readonly rows: Signal<readonly Row[]>;
  /** Why they can't be read; empty while all is well. */
  readonly problem: Signal<string>;
  readonly busy: Signal<boolean>;
  /** Whether there are more. */
  readonly more: Signal<boolean>;
  /** Reads the first page anew. */
  read(): Promise<void>;
  /** Reads the next one. */
  readMore(): Promise<void>;
}

/** Reads by pages; `page` reads one. What was asked for last is what is shown. */
export function reader<Row>(page: (token: string) => Promise<{ rows: readonly Row[]; next: string }>): Reader<Row> {
  const rows = signal<readonly Row[]>([]);
  const problem = signal("");
  const busy = signal(false);
  const more = signal(false);
  let next = "";
  let reads = 0;
  const run = async (token: string): Promise<void> => {
    reads += 1;
    const mine = reads;
    busy.value = true;
    try {
      const found = await page(token);
      if (mine !== reads) return;
      rows.value = token === "" ? found.rows : [...rows.value, ...found.rows];
      next = found.next;
      more.value = next !== "";
      problem.value = "";
    } catch (error) {
      if (mine !== reads || endIfRefused(error)) return;
      if (token === "") rows.value = [];
      problem.value = explain(error);
    } finally {
      if (mine === reads) busy.value = false;
    }
  };
  return { rows, problem, busy, more, read: () => run(""), readMore: () => run(next) };
}

/** What stands below the rows: more of them, that there are none, or why they can't be read. */
export function Foot<Row>({ of, empty }: { readonly of: Reader<Row>; readonly empty: string }) {
  return (
    <>
      <p class="problem" role="alert">
        {of.problem.value}
      </p>
      {of.rows.value.length === 0 && of.problem.value === "" ? <p class="empty-list">{of.busy.value ? "One moment…" : empty}</p> : null}
      {of.more.value ? (
        <div class="page-more">
          <Button disabled={of.busy.value} onClick={() => void of.readMore()}>
            Show more
          </Button>
        </div>
      ) : null}
    </>
  );
}

/** A fact of a list of definitions. */
export function Fact({ name, value }: { readonly name: string; readonly value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}
