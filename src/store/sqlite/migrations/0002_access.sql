-- Who may use what.

ALTER TABLE session ADD COLUMN shares TEXT NOT NULL DEFAULT ''; -- JSON object of subjects and their access, or empty
CREATE INDEX session_owner ON session (tenant, owner);

-- Who sent it: its subject, the API key that it came with (empty for other credentials), and the W3C trace context.
ALTER TABLE turn ADD COLUMN sender TEXT NOT NULL DEFAULT 'local';
ALTER TABLE turn ADD COLUMN sender_key TEXT NOT NULL DEFAULT '';
ALTER TABLE turn ADD COLUMN trace_context TEXT NOT NULL DEFAULT '';
ALTER TABLE steer ADD COLUMN sender TEXT NOT NULL DEFAULT 'local';
ALTER TABLE steer ADD COLUMN sender_key TEXT NOT NULL DEFAULT '';
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
