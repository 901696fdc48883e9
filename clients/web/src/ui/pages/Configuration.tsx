// The configuration, as far as the API shows it, and the keys that can be changed while the server runs.
import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import type { ConfigValue } from "@quarterdeck/client";
import { client } from "../../store/account";
import { tell } from "../../store/notices";
import { IconButton } from "../Button";
import { Dialog, openDialog } from "../Dialog";
import { Field, Form } from "../Form";
import { Icon } from "../Icons";
import { Foot, Page, reader, Table } from "../Page";

const words = signal("");
const changeable = signal(false);

const values = reader<ConfigValue>(async () => ({ rows: (await client().getConfig({})).values, next: "" }));

/** The page of the configuration. */
export function Configuration() {
  useEffect(() => void values.read(), []);
  const wanted = words.value.toLowerCase();
  const shown = values.rows.value.filter(
    (value) => (!changeable.value || value.updatable) && `${value.key} ${value.description}`.toLowerCase().includes(wanted),
  );
  return (
    <Page title="Configuration" hint="How this server is set; secrets, commands and environments are not shown">
      <div class="page-tools">
        <div class="search">
          <Icon name="search" />
          <input
            data-search
            type="search"
            placeholder="Search"
            aria-label="Search the configuration"
            value={words.value}
            onInput={(event) => (words.value = event.currentTarget.value)}
          />
        </div>
        <label class="tick">
          <input type="checkbox" checked={changeable.value} onChange={(event) => (changeable.value = event.currentTarget.checked)} />
          Only what can be changed here
        </label>
      </div>
      <Table name="Configuration" columns={["Key", "Value", "What it does", ""]}>
        {shown.map((value) => (
          <Row key={value.key} of={value} />
        ))}
      </Table>
      {shown.length === 0 && values.rows.value.length > 0 ? <p class="empty-list">No key matches.</p> : null}
      <Foot of={values} empty="Nothing may be read." />
    </Page>
  );
}

function Row({ of }: { readonly of: ConfigValue }) {
  return (
    <tr data-testid="config" data-key={of.key}>
      <td>
        <code>{of.key}</code> {of.updated ? <span class="tag strong">changed here</span> : null}
      </td>
      <td class="wrapped">
        <code>{of.valueToml}</code>
      </td>
      <td class="wrapped long">{of.description}</td>
      <td>
        <span class="row-actions">
          {of.updatable ? <IconButton icon="pencil" label={`Change ${of.key}`} onClick={() => openDialog(() => <Change of={of} />)} /> : null}
          {of.updated ? <IconButton icon="reset" label={`Take the change of ${of.key} back`} onClick={() => openDialog(() => <TakeBack of={of} />)} /> : null}
        </span>
      </td>
    </tr>
  );
}

/** A value as it would stand in a variable: a TOML string without its quotes. */
function asVariable(toml: string): string {
  return /^"[^"\\]*"$/.test(toml) ? toml.slice(1, -1) : toml;
}

function Change({ of }: { readonly of: ConfigValue }) {
  const [value, setValue] = useState(asVariable(of.valueToml));
  return (
    <Dialog title={`Change ${of.key}`}>
      <Form
        submit="Change"
        onSubmit={async () => {
          await client().updateConfig({ values: { [of.key]: value } });
          tell(`${of.key} is changed.`);
          await values.read();
        }}
      >
        <p>{of.description}</p>
        <Field label="Value" value={value} onInput={setValue} hint="It counts at once, and stays over restarts above file, environment and flags." />
      </Form>
    </Dialog>
  );
}

function TakeBack({ of }: { readonly of: ConfigValue }) {
  return (
    <Dialog title={`Take the change of ${of.key} back?`}>
      <Form
        submit="Take back"
        onSubmit={async () => {
          await client().updateConfig({ clear: [of.key] });
          tell(`${of.key} is as file, environment and flags say.`);
          await values.read();
        }}
      >
        <p>What file, environment and flags say counts again.</p>
      </Form>
    </Dialog>
  );
}
