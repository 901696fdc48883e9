/** A place in a session's log. Reading goes on after it. Keep it, and nothing is missed or seen twice. */
export interface Cursor {
  /** Life of the log that `afterSeq` counts in; empty means that it is not compared. */
  logId: string;
  /** Last durable event that was seen. */
  afterSeq: bigint;
}
