// Changing the settings of a session.
import type { SessionSnapshot } from "@quarterdeck/client";
import { client } from "./account";

/** What UpdateSession takes; the fields of one dialog at a time. */
export type Settings = Partial<
  Pick<
    SessionSnapshot,
    | "displayName"
    | "labels"
    | "agent"
    | "cwd"
    | "shares"
    | "memoryNamespaces"
    | "noApprover"
    | "toolPolicy"
    | "expireAfterIdle"
    | "questionTtl"
  >
>;

/** The names that they have in a field mask. */
const PATHS = {
  displayName: "display_name",
  labels: "labels",
  agent: "agent",
  cwd: "cwd",
  shares: "shares",
  memoryNamespaces: "memory_namespaces",
  noApprover: "no_approver",
  toolPolicy: "tool_policy",
  expireAfterIdle: "expire_after_idle",
  questionTtl: "question_ttl",
} as const;

/** A setting. */
export type Setting = keyof typeof PATHS;

/** Changes some; one that is named and not given is taken away. Throws where it was refused. */
export async function updateSettings(sessionKey: string, settings: Settings, named: readonly Setting[]): Promise<void> {
  const updateMask = { paths: named.map((name) => PATHS[name]) };
  await client().updateSession({ sessionKey, session: settings, updateMask });
}
