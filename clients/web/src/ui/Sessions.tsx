// The list of sessions beside the one that is viewed.
import { SessionList } from "./SessionList";
import { SessionView } from "./SessionView";

/** The place of the sessions. */
export function Sessions() {
  return (
    <>
      <SessionList />
      <SessionView />
    </>
  );
}
