// What the server says of itself.
import { signal } from "@preact/signals";
import type { GetServerInfoResponse } from "@quarterdeck/client";
import { client } from "./account";

/** Facts about the server, once they were read. */
export const serverInfo = signal<GetServerInfoResponse | undefined>(undefined);

/** Reads them. They change seldom: what fails shows in what needs them. */
export async function readServerInfo(): Promise<void> {
  try {
    serverInfo.value = await client().getServerInfo({});
  } catch {
    // The old facts, or none, are what there is.
  }
}

/** True where an agent can be steered; unknown ones may try. */
export function canSteer(agent: string): boolean {
  return serverInfo.value?.agents.find(({ name }) => name === agent)?.canSteer ?? true;
}

/** True where an agent's conversation can be copied; unknown ones may try. */
export function canFork(agent: string): boolean {
  return serverInfo.value?.agents.find(({ name }) => name === agent)?.canFork ?? true;
}
