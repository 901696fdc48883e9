-- Who may use what.

ALTER TABLE session ADD COLUMN shares TEXT NOT NULL DEFAULT ''; -- JSON object of subjects and their access, or empty
CREATE INDEX session_owner ON session (tenant, owner);
ALTER TABLE tombstone ADD COLUMN shares TEXT NOT NULL DEFAULT '';

-- The shares once more, to find the sessions that are shared with somebody.
CREATE TABLE share (
    tenant  TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    session INTEGER NOT NULL,
    PRIMARY KEY (tenant, subject, session)
) STRICT, WITHOUT ROWID;

-- What waits is looked for one principal after the other.
DROP INDEX session_wake;
CREATE INDEX session_wake ON session (tenant, owner, wake) WHERE wake IS NOT NULL;
-- A Delete that failed has no wake until the next Delete or the next start.
CREATE INDEX session_deleting ON session (wake) WHERE state = 6;

-- Who sent it: its subject, the API key that it came with (empty for other credentials), whether it may do so by
-- tenant.sessions alone, and the W3C trace context.
ALTER TABLE turn ADD COLUMN sender TEXT NOT NULL DEFAULT 'local';
ALTER TABLE turn ADD COLUMN sender_key TEXT NOT NULL DEFAULT '';
ALTER TABLE turn ADD COLUMN sender_operator INTEGER NOT NULL DEFAULT 0;
ALTER TABLE turn ADD COLUMN trace_context TEXT NOT NULL DEFAULT '';
ALTER TABLE steer ADD COLUMN sender TEXT NOT NULL DEFAULT 'local';
ALTER TABLE steer ADD COLUMN sender_key TEXT NOT NULL DEFAULT '';
ALTER TABLE steer ADD COLUMN sender_operator INTEGER NOT NULL DEFAULT 0;
ALTER TABLE steer ADD COLUMN trace_context TEXT NOT NULL DEFAULT '';

CREATE TABLE api_key (
    row            INTEGER PRIMARY KEY,
    key_id         TEXT    NOT NULL UNIQUE,
    hash           BLOB    NOT NULL, -- HMAC-SHA256 of the secret, keyed with the data directory's pepper
    tenant         TEXT    NOT NULL,
    subject        TEXT    NOT NULL,
    scopes         TEXT    NOT NULL, -- names, separated by blanks
    display_name   TEXT    NOT NULL,
    created_by     TEXT    NOT NULL, -- principal
    create_time    INTEGER NOT NULL,
    expire_time    INTEGER,
    last_used_time INTEGER,
    revoke_time    INTEGER,
    request_digest BLOB UNIQUE,      -- of tenant, principal and request_id, where there was one
    request_hash   BLOB
) STRICT;
CREATE INDEX api_key_tenant ON api_key (tenant);

-- What UpdateConfig has set; stands above file, environment and flags.
CREATE TABLE setting (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
