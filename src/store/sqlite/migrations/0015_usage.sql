-- What was used, summed; it outlives its sessions. And budgets.
ALTER TABLE session ADD COLUMN unpriced_calls INTEGER NOT NULL DEFAULT 0;
ALTER TABLE session ADD COLUMN reasoning_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE session ADD COLUMN context_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE session ADD COLUMN context_window INTEGER NOT NULL DEFAULT 0;
ALTER TABLE session ADD COLUMN budget_wait INTEGER; -- the day on which its next turn was found to wait for a budget
CREATE INDEX session_budget_wait ON session (tenant, budget_wait) WHERE budget_wait IS NOT NULL;
ALTER TABLE turn ADD COLUMN grant_micros INTEGER; -- how far it may go on where a budget is used up
ALTER TABLE turn ADD COLUMN grant_tokens INTEGER;
ALTER TABLE turn ADD COLUMN unpriced_calls INTEGER NOT NULL DEFAULT 0;
ALTER TABLE turn ADD COLUMN reasoning_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE turn ADD COLUMN labels TEXT NOT NULL DEFAULT ''; -- of its session when it was accepted; JSON, or empty
ALTER TABLE steer ADD COLUMN labels TEXT NOT NULL DEFAULT '';
CREATE TABLE usage_sum (
    row                INTEGER PRIMARY KEY,
    tenant             TEXT    NOT NULL,
    session_uid        BLOB    NOT NULL,
    session_key        TEXT    NOT NULL,
    owner              TEXT    NOT NULL, -- of the session
    subject            TEXT    NOT NULL, -- who sent the turn
    agent              TEXT    NOT NULL,
    model              TEXT    NOT NULL,
    labels             TEXT    NOT NULL, -- JSON, or empty
    day                INTEGER NOT NULL, -- since 1970, UTC
    input_tokens       INTEGER NOT NULL,
    output_tokens      INTEGER NOT NULL,
    cache_read_tokens  INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    cost_micros        INTEGER NOT NULL,
    model_calls        INTEGER NOT NULL,
    unpriced_calls     INTEGER NOT NULL,
    reasoning_tokens   INTEGER NOT NULL,
    UNIQUE (session_uid, day, subject, agent, model, labels)
) STRICT;
CREATE INDEX usage_sum_day ON usage_sum (tenant, day);
CREATE INDEX usage_sum_session ON usage_sum (tenant, session_key);
-- What sessions used before there were sums: of nobody else than the owner, and of the day of their last turn.
INSERT INTO usage_sum (tenant, session_uid, session_key, owner, subject, agent, model, labels, day, input_tokens,
    output_tokens, cache_read_tokens, cache_write_tokens, cost_micros, model_calls, unpriced_calls, reasoning_tokens)
SELECT tenant, uid, key, owner, owner, agent, used_model, labels, last_active_time / 86400000000, input_tokens,
    output_tokens, cache_read_tokens, cache_write_tokens, cost_micros, model_calls, 0, 0
FROM session WHERE input_tokens + output_tokens + cache_read_tokens + cache_write_tokens + cost_micros + model_calls > 0;
CREATE TABLE budget (
    row            INTEGER PRIMARY KEY,
    tenant         TEXT    NOT NULL,
    scope          INTEGER NOT NULL,
    key            TEXT    NOT NULL,
    period         INTEGER NOT NULL,
    soft_micros    INTEGER,
    hard_micros    INTEGER,
    soft_tokens    INTEGER,
    hard_tokens    INTEGER,
    on_exceeded    INTEGER NOT NULL,
    spent_micros   INTEGER NOT NULL, -- in the period that began at period_start
    spent_tokens   INTEGER NOT NULL,
    unpriced_calls INTEGER NOT NULL,
    period_start   INTEGER NOT NULL, -- days since 1970
    warned         INTEGER NOT NULL,
    set_time       INTEGER NOT NULL,
    UNIQUE (tenant, scope, key, period)
) STRICT;
