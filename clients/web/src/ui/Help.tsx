// The help for the keyboard.
import { SHORTCUTS } from "../state/shortcuts";
import { Dialog, openDialog } from "./Dialog";

/** Opens the help. */
export function openHelp(): void {
  openDialog(() => (
    <Dialog title="Keyboard shortcuts">
      <dl class="shortcuts">
        {SHORTCUTS.map(({ keys, does }) => (
          <div key={does}>
            <dt>
              {keys.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
        <div>
          <dt>
            <kbd>Enter</kbd>
          </dt>
          <dd>Send what is written; with Shift a new line</dd>
        </div>
        <div>
          <dt>
            <kbd>Ctrl</kbd>
            <kbd>Enter</kbd>
          </dt>
          <dd>While a turn runs: send the other way, steer or queue</dd>
        </div>
        <div>
          <dt>
            <kbd>Esc</kbd>
          </dt>
          <dd>Leave a field, close a dialog</dd>
        </div>
      </dl>
    </Dialog>
  ));
}
