// A list of pairs that grows and shrinks: labels, shares, rules.
import type { Pair } from "../state/settings";
import { Button, IconButton } from "./Button";

interface PairsProps {
  /** What one pair is called, as `Label`. */
  readonly name: string;
  /** What its two fields are called. */
  readonly columns: readonly [first: string, second: string];
  readonly pairs: readonly Pair[];
  readonly onChange: (pairs: readonly Pair[]) => void;
  /** What the second may be; a text where it is left out. */
  readonly choices?: readonly (readonly [value: string, name: string])[];
  readonly max: number;
}

/** The fields of the pairs, and a button for one more. */
export function Pairs({ name, columns, pairs, onChange, choices, max }: PairsProps) {
  const change = (at: number, pair: Pair): void => onChange(pairs.with(at, pair));
  return (
    <div class="pairs">
      {pairs.map(([first, second], at) => (
        // Pairs have no names of their own while they are written.
        <div key={at} class="pair">
          <input
            aria-label={`${columns[0]} ${at + 1}`}
            placeholder={columns[0]}
            spellcheck={false}
            value={first}
            onInput={(event) => change(at, [event.currentTarget.value, second])}
          />
          {choices ? (
            <select aria-label={`${columns[1]} ${at + 1}`} value={second} onChange={(event) => change(at, [first, event.currentTarget.value])}>
              {choices.map(([value, each]) => (
                <option key={value} value={value}>
                  {each}
                </option>
              ))}
            </select>
          ) : (
            <input
              aria-label={`${columns[1]} ${at + 1}`}
              placeholder={columns[1]}
              spellcheck={false}
              value={second}
              onInput={(event) => change(at, [first, event.currentTarget.value])}
            />
          )}
          <IconButton icon="close" label={`Remove ${name.toLowerCase()} ${at + 1}`} onClick={() => onChange(pairs.filter((_, other) => other !== at))} />
        </div>
      ))}
      {pairs.length < max ? <Button onClick={() => onChange([...pairs, ["", choices?.[0]?.[0] ?? ""]])}>Add {name.toLowerCase()}</Button> : null}
    </div>
  );
}
