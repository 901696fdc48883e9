-- A turn that waits for its `not_before` has state 0: up to 4 a turn is not finished.
ALTER TABLE turn ADD COLUMN not_before INTEGER;
CREATE INDEX turn_scheduled ON turn (session) WHERE state = 0;
CREATE INDEX turn_due ON turn (not_before) WHERE state = 0;

CREATE TABLE schedule (
    row            INTEGER PRIMARY KEY,
    uid            BLOB    NOT NULL UNIQUE,
    tenant         TEXT    NOT NULL,
    owner          TEXT    NOT NULL, -- subject that it runs as
    name           TEXT    NOT NULL,
    key_id         TEXT    NOT NULL, -- API key that it was made with; empty for other credentials
    scopes         TEXT    NOT NULL, -- what it may do without a key, as the key's column
    rules          TEXT    NOT NULL, -- JSON
    request        BLOB    NOT NULL, -- an EnqueueRequest
    paused         INTEGER NOT NULL,
    pause_reason   TEXT    NOT NULL,
    remaining_runs INTEGER,
    next           INTEGER,          -- the first nominal time without a row: twice its second, one more where clocks skip it
    due_time       INTEGER,          -- when that is looked at
    failures_after INTEGER NOT NULL, -- row of the newest run that does not count as a failure
    version        INTEGER NOT NULL, -- grows with each change and each run
    create_time    INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX schedule_name ON schedule (tenant, owner, name);
CREATE INDEX schedule_due ON schedule (due_time) WHERE due_time IS NOT NULL;

-- The newest runs of each schedule.
CREATE TABLE schedule_run (
    row            INTEGER PRIMARY KEY AUTOINCREMENT,
    schedule       INTEGER NOT NULL,
    nominal        INTEGER,          -- as schedule.next; NULL for a run that was asked for
    run_id         BLOB    NOT NULL,
    scheduled_time INTEGER NOT NULL,
    start_time     INTEGER NOT NULL,
    cause          INTEGER NOT NULL, -- what started it
    outcome        INTEGER NOT NULL,
    reason         TEXT    NOT NULL,
    session_key    TEXT    NOT NULL,
    turn_id        BLOB
) STRICT;
CREATE INDEX schedule_run_of ON schedule_run (schedule, row);
-- Each nominal time has one.
CREATE UNIQUE INDEX schedule_run_nominal ON schedule_run (schedule, nominal) WHERE nominal IS NOT NULL;
