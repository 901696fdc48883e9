// What an agent asks: a card while it waits for an answer, a line afterwards. Everything the agent wrote is text.
import { QuestionKind } from "@quarterdeck/client";
import { useId, useState } from "preact/hooks";
import { explain, reasonOf } from "../api";
import { clockTime, dateOf, prettyJson, size } from "../state/format";
import {
  asJson,
  chosenOf,
  contentOf,
  fieldsOf,
  type FormField,
  isPending,
  outcome,
  type QuestionEntry,
  scopeOf,
  toneOf,
  webLink,
} from "../state/questions";
import { scopes } from "../store/account";
import { answerQuestion, type GivenAnswer, wholeQuestion } from "../store/actions";
import { tell } from "../store/notices";
import { Button } from "./Button";
import { Icon } from "./Icons";

/** Draws a question. */
export function QuestionView({ entry }: { readonly entry: QuestionEntry }) {
  const title = entry.question.title || "The agent asks";
  if (isPending(entry)) return <Card entry={entry} title={title} />;
  return (
    <p class="event question-closed" data-testid="question-closed">
      <span class="question-title">{title}</span> <span>{outcome(entry)}</span>
    </p>
  );
}

function Card({ entry, title }: { readonly entry: QuestionEntry; readonly title: string }) {
  const id = useId();
  const { question } = entry;
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  const send = async (answer: GivenAnswer): Promise<void> => {
    setBusy(true);
    setProblem("");
    try {
      await answerQuestion(question, answer);
      focusNext();
    } catch (error) {
      if (reasonOf(error) === "ALREADY_ANSWERED") tell("Somebody else has answered.");
      else setProblem(explain(error));
      setBusy(false);
    }
  };
  const waits = dateOf(question.expireTime);
  const scope = scopeOf(question);
  return (
    <section class="question" aria-labelledby={id} data-testid="question">
      <h2 id={id}>
        <Icon name="help" />
        <span>{title}</span>
      </h2>
      {question.agentPath.length > 0 ? <p class="hint">Asked by {question.agentPath.join(" › ")}</p> : null}
      <Arguments entry={entry} />
      {scopes.value.has(scope) ? (
        <Answering entry={entry} busy={busy} send={(answer) => void send(answer)} />
      ) : (
        <p class="hint">
          Answering needs the scope <code>{scope}</code>.
        </p>
      )}
      <p class="problem" role="alert">
        {problem}
      </p>
      {waits ? <p class="hint">Waits until {clockTime(waits, new Date())}, then it counts as declined.</p> : null}
    </section>
  );
}

/** Goes to the next question, or to where one writes, since the button that was pressed goes away. */
function focusNext(): void {
  const next = document.querySelector<HTMLElement>(".question :is(input, select, textarea, button):not(:disabled)");
  (next ?? document.querySelector<HTMLElement>(".dock textarea"))?.focus();
}

/** What the tool would run with; whole where somebody wants to see it. */
function Arguments({ entry }: { readonly entry: QuestionEntry }) {
  const { question } = entry;
  const [whole, setWhole] = useState<string>();
  const args = whole ?? question.argsJson;
  if (question.toolName === "" && args === "") return null;
  const read = async (): Promise<void> => {
    try {
      setWhole((await wholeQuestion(question))?.argsJson ?? question.argsJson);
    } catch (error) {
      tell(explain(error));
    }
  };
  return (
    <>
      {question.toolName === "" ? null : (
        <p class="label">
          <Icon name="tool" /> <code>{question.toolName}</code>
        </p>
      )}
      {args === "" ? null : <pre tabIndex={0}>{prettyJson(args)}</pre>}
      {question.argsFullSize > 0n && whole === undefined ? (
        <p class="hint">
          Cut: the whole is {size(Number(question.argsFullSize))}. <Button onClick={() => void read()}>Show it</Button>
        </p>
      ) : null}
    </>
  );
}

interface AnsweringProps {
  readonly entry: QuestionEntry;
  readonly busy: boolean;
  readonly send: (answer: GivenAnswer) => void;
}

function Answering(props: AnsweringProps) {
  switch (props.entry.question.kind) {
    case QuestionKind.PERMISSION:
      return (
        <div class="question-buttons">
          <Options {...props} />
        </div>
      );
    case QuestionKind.LINK:
      return <Link {...props} />;
    case QuestionKind.FORM:
    case QuestionKind.BUDGET:
      return <AgentForm {...props} />;
    case QuestionKind.TOOL_CALL:
      return <ToolResult {...props} />;
    default:
      return (
        <div class="question-buttons">
          <Decline {...props} />
        </div>
      );
  }
}

function Options({ entry, busy, send }: AnsweringProps) {
  return (
    <>
      {entry.question.options.map(({ optionId, label, effect }) => (
        <Button key={optionId} tone={toneOf(effect)} disabled={busy} onClick={() => send({ optionId })}>
          {label || optionId}
        </Button>
      ))}
    </>
  );
}

function Decline({ busy, send }: AnsweringProps) {
  return (
    <Button disabled={busy} onClick={() => send({ declined: true })}>
      Decline
    </Button>
  );
}

/** A link is shown as text; only a click opens it, apart from this page. */
function Link(props: AnsweringProps) {
  const { url } = props.entry.question;
  const link = webLink(url);
  return (
    <>
      <p class="question-link">
        <code>{url}</code>
      </p>
      <div class="question-buttons">
        {link ? (
          <Button onClick={() => window.open(link.href, "_blank", "noopener,noreferrer")}>Open {link.host}</Button>
        ) : (
          <p class="hint">This page opens no such link.</p>
        )}
        <Options {...props} />
        <Decline {...props} />
      </div>
    </>
  );
}

function AgentForm(props: AnsweringProps) {
  const { busy, send, entry } = props;
  const [values, setValues] = useState<ReadonlyMap<string, string>>(new Map());
  const [json, setJson] = useState("");
  const id = useId();
  const fields = fieldsOf(entry.question.schemaJson);
  return (
    <form
      class="form"
      autocomplete="off"
      onSubmit={(event) => {
        event.preventDefault();
        send({ contentJson: fields ? contentOf(fields, values) : json });
      }}
    >
      {fields ? (
        fields.map((field) => (
          <PropertyField
            key={field.name}
            field={field}
            value={values.get(field.name) ?? field.initial}
            onInput={(value) => setValues((before) => new Map(before).set(field.name, value))}
          />
        ))
      ) : (
        <div class="field">
          <label for={id}>Values as JSON</label>
          <textarea id={id} rows={4} required value={json} onInput={(event) => setJson(event.currentTarget.value)} />
          <pre tabIndex={0}>{prettyJson(entry.question.schemaJson)}</pre>
        </div>
      )}
      <div class="question-buttons">
        <Button tone="primary" submit disabled={busy}>
          Send
        </Button>
        <Decline {...props} />
      </div>
    </form>
  );
}

interface PropertyFieldProps {
  readonly field: FormField;
  readonly value: string;
  readonly onInput: (value: string) => void;
}

function PropertyField({ field, value, onInput }: PropertyFieldProps) {
  const id = useId();
  const described = field.hint === "" ? {} : { "aria-describedby": `${id}-hint` };
  const hint =
    field.hint === "" ? null : (
      <p class="hint" id={`${id}-hint`}>
        {field.hint}
      </p>
    );
  if (field.type === "boolean") {
    return (
      <div>
        <label class="tick">
          <input
            type="checkbox"
            checked={value === "true"}
            {...described}
            onChange={(event) => onInput(String(event.currentTarget.checked))}
          />
          <span>{field.label}</span>
        </label>
        {hint}
      </div>
    );
  }
  if (field.type === "choices") return <Choices field={field} value={value} onInput={onInput} />;
  const common = { id, value, required: field.required, onInput };
  return (
    <div class="field">
      <label for={id}>
        {field.label}
        {field.required ? "" : " (optional)"}
      </label>
      {field.type === "choice" ? (
        <select id={id} value={value} required={field.required} {...described} onChange={(event) => onInput(event.currentTarget.value)}>
          <option value="">…</option>
          {field.choices.map((choice) => (
            <option key={choice} value={choice}>
              {choice}
            </option>
          ))}
        </select>
      ) : (
        <TypedInput type={field.type} {...common} {...described} />
      )}
      {hint}
    </div>
  );
}

interface TypedInputProps {
  readonly type: FormField["type"];
  readonly id: string;
  readonly value: string;
  readonly required: boolean;
  readonly "aria-describedby"?: string;
  readonly onInput: (value: string) => void;
}

/** What is secret is not shown while it is typed, nor kept by the browser. */
function TypedInput({ type, onInput, ...more }: TypedInputProps) {
  const common = {
    ...more,
    spellcheck: false,
    onInput: (event: { readonly currentTarget: HTMLInputElement }) => onInput(event.currentTarget.value),
  };
  if (type === "secret") return <input type="password" autocomplete="new-password" {...common} />;
  if (type === "number") return <input type="number" step="any" autocomplete="off" {...common} />;
  return <input type="text" autocomplete="off" {...common} />;
}

function Choices({ field, value, onInput }: PropertyFieldProps) {
  const chosen = chosenOf(value);
  const toggle = (choice: string, on: boolean): void =>
    onInput(JSON.stringify(field.choices.filter((each) => (each === choice ? on : chosen.includes(each)))));
  return (
    <fieldset class="field">
      <legend>{field.label}</legend>
      {field.hint === "" ? null : <p class="hint">{field.hint}</p>}
      {field.choices.map((choice) => (
        <label key={choice} class="tick">
          <input type="checkbox" checked={chosen.includes(choice)} onChange={(event) => toggle(choice, event.currentTarget.checked)} />
          <span>{choice}</span>
        </label>
      ))}
    </fieldset>
  );
}

/** The result of a tool that somebody runs elsewhere. */
function ToolResult(props: AnsweringProps) {
  const { busy, send } = props;
  const [text, setText] = useState("");
  const [failed, setFailed] = useState(false);
  const id = useId();
  return (
    <form
      class="form"
      onSubmit={(event) => {
        event.preventDefault();
        send({ contentJson: asJson(text), isError: failed });
      }}
    >
      <div class="field">
        <label for={id}>Its result, as JSON or as text</label>
        <textarea id={id} rows={3} required spellcheck={false} value={text} onInput={(event) => setText(event.currentTarget.value)} />
      </div>
      <label class="tick">
        <input type="checkbox" checked={failed} onChange={(event) => setFailed(event.currentTarget.checked)} />
        <span>The tool failed</span>
      </label>
      <div class="question-buttons">
        <Button tone="primary" submit disabled={busy}>
          Send result
        </Button>
        <Decline {...props} />
      </div>
    </form>
  );
}
