-- What agents ask. `open`: the active turn's agent still has to get the answer, or waits for one; these are few.
ALTER TABLE session ADD COLUMN no_approver INTEGER;
ALTER TABLE session ADD COLUMN question_ttl INTEGER;
ALTER TABLE session ADD COLUMN tool_policy TEXT NOT NULL DEFAULT ''; -- JSON, or empty
ALTER TABLE session ADD COLUMN pending_questions INTEGER NOT NULL DEFAULT 0;
CREATE TABLE question (
    row          INTEGER PRIMARY KEY,
    session      INTEGER NOT NULL,
    tenant       TEXT    NOT NULL,
    question_id  BLOB    NOT NULL UNIQUE,
    turn_id      BLOB    NOT NULL,
    attempt      INTEGER NOT NULL,
    digest       TEXT    NOT NULL,
    ask          TEXT    NOT NULL, -- JSON
    state        INTEGER NOT NULL,
    open         INTEGER NOT NULL,
    policy_rule  TEXT    NOT NULL,
    answer       TEXT    NOT NULL, -- JSON, or empty
    answered_by  TEXT    NOT NULL,
    resolution   INTEGER,
    create_time  INTEGER NOT NULL,
    expire_time  INTEGER NOT NULL,
    resolve_time INTEGER,
    delivered    INTEGER NOT NULL
) STRICT;
CREATE INDEX question_session ON question (session);
CREATE INDEX question_tenant ON question (tenant);
CREATE INDEX question_open ON question (session) WHERE open = 1;
CREATE INDEX question_pending ON question (tenant) WHERE state = 1;
