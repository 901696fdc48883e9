-- When the right of an owner ends for whom no key is looked up; NULL where it does not. What is a token's or a certificate's
-- from before has a month.
ALTER TABLE schedule ADD COLUMN owner_until INTEGER;
UPDATE schedule SET owner_until = create_time + 2592000000000
    WHERE key_id = '' AND NOT (tenant = 'default' AND owner = 'local');

-- Webhooks out. A row's number is never used again, so what a deleted one leaves is taken later.
CREATE TABLE webhook (
    row           INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook_id    BLOB    NOT NULL UNIQUE,
    tenant        TEXT    NOT NULL,
    owner         TEXT    NOT NULL, -- subject that it reads as
    key_id        TEXT    NOT NULL, -- as in schedule
    scopes        TEXT    NOT NULL,
    owner_until   INTEGER,
    rules         TEXT    NOT NULL, -- JSON
    secret        BLOB    NOT NULL, -- sealed
    second_secret BLOB,             -- sealed
    paused        INTEGER NOT NULL,
    pause_reason  TEXT    NOT NULL,
    failures      INTEGER NOT NULL, -- in a row
    failing_since INTEGER,
    next_try      INTEGER,          -- while it fails
    events_before INTEGER NOT NULL, -- row of the newest event when it was made
    create_time   INTEGER NOT NULL,
    version       INTEGER NOT NULL  -- grows with each change by its owner
) STRICT;
CREATE INDEX webhook_owner ON webhook (tenant, owner);

-- How far an address has taken a session's log; of a session without a row, nothing since the webhook was made.
CREATE TABLE webhook_cursor (
    webhook INTEGER NOT NULL,
    session INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    PRIMARY KEY (webhook, session)
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_cursor_session ON webhook_cursor (session);
-- Webhooks that are gone, of which there may be cursors and deliveries.
CREATE TABLE webhook_gone (
    webhook INTEGER PRIMARY KEY
) STRICT;

-- The newest deliveries of each webhook. One that is tried again gets another row.
CREATE TABLE webhook_delivery (
    row         INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook     INTEGER NOT NULL,
    session     INTEGER NOT NULL,
    log_id      BLOB    NOT NULL,
    session_key TEXT    NOT NULL,
    seq         INTEGER NOT NULL,
    kind        INTEGER NOT NULL,
    state       INTEGER NOT NULL,
    tries       INTEGER NOT NULL,
    status      INTEGER NOT NULL,
    problem     TEXT    NOT NULL,
    first_try   INTEGER NOT NULL,
    last_try    INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX webhook_delivery_of ON webhook_delivery (webhook, session, seq);
CREATE INDEX webhook_delivery_newest ON webhook_delivery (webhook, row);
