// All scopes that there are, with what they are for.

/** Name and meaning of each. */
export const SCOPES: readonly (readonly [scope: string, meaning: string])[] = [
  ["session.read", "reading sessions, following events"],
  ["session.write", "sessions and their work"],
  ["session.steer", "steering running turns"],
  ["session.abort", "stopping turns"],
  ["session.reset", "resetting and deleting sessions"],
  ["session.approve", "answering what agents ask, tool rules"],
  ["schedule.write", "schedules"],
  ["webhook.write", "webhooks"],
  ["tenant.sessions", "every session of the tenant"],
  ["memory.read", "reading memory"],
  ["memory.write", "changing memory"],
  ["workspace.read", "files that agents work with"],
  ["worker.connect", "running agents elsewhere"],
  ["budget.write", "budgets of the tenant"],
  ["admin.keys", "API keys"],
  ["admin.config", "configuration"],
  ["admin.logs", "logs and connections"],
];
