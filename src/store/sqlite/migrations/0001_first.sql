-- Tables that grow are appended to by rowid and have narrow indexes: a row in a random place of a wide
-- B-tree costs a dirty page per commit. Indexes on what waits or runs are partial, so they stay small.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE session (
    row                  INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant               TEXT    NOT NULL,
    key                  TEXT    NOT NULL,
    uid                  BLOB    NOT NULL,
    owner                TEXT    NOT NULL,
    is_primary           INTEGER NOT NULL,
    cwd                  TEXT    NOT NULL,
    create_time          INTEGER NOT NULL,
    session_id           BLOB    NOT NULL,
    generation           INTEGER NOT NULL,
    display_name         TEXT    NOT NULL,
    agent                TEXT    NOT NULL,
    next_agent           TEXT    NOT NULL,
    model                TEXT    NOT NULL,
    thinking_level       TEXT    NOT NULL,
    labels               TEXT    NOT NULL, -- JSON object, or empty
    expire_after_idle    INTEGER,
    state                INTEGER NOT NULL,
    active_turn          BLOB,
    active_row           INTEGER,          -- row of active_turn
    queue_depth          INTEGER NOT NULL,
    queue_bytes          INTEGER NOT NULL,
    message_count        INTEGER NOT NULL,
    user_message_count   INTEGER NOT NULL,
    last_message_preview TEXT    NOT NULL,
    input_tokens         INTEGER NOT NULL,
    output_tokens        INTEGER NOT NULL,
    cache_read_tokens    INTEGER NOT NULL,
    cache_write_tokens   INTEGER NOT NULL,
    cost_micros          INTEGER NOT NULL,
    model_calls          INTEGER NOT NULL,
    head                 INTEGER NOT NULL,
    first_seq            INTEGER NOT NULL,
    epoch                INTEGER NOT NULL,
    update_time          INTEGER NOT NULL,
    last_active_time     INTEGER NOT NULL,
    pending_reset        INTEGER NOT NULL,
    owner_life           INTEGER NOT NULL, -- life of the process that claimed it last
    wake                 INTEGER,          -- 0: DELETING; else the oldest waiting turn while none is active
    idle_deadline        INTEGER,          -- last_active_time + expire_after_idle
    UNIQUE (tenant, key)
) STRICT;
CREATE INDEX session_tenant ON session (tenant);
CREATE INDEX session_active ON session (active_row) WHERE active_row IS NOT NULL;
CREATE INDEX session_wake ON session (wake) WHERE wake IS NOT NULL;
CREATE INDEX session_idle ON session (idle_deadline) WHERE idle_deadline IS NOT NULL;

CREATE TABLE turn (
    row                INTEGER PRIMARY KEY,
    session            INTEGER NOT NULL,
    turn_id            BLOB    NOT NULL UNIQUE,
    generation         INTEGER NOT NULL,
    state              INTEGER NOT NULL,
    position           INTEGER NOT NULL, -- order among the session's waiting turns
    goes_first         INTEGER NOT NULL, -- INTERRUPT or RETRY: requeued steers stand behind it
    queued_seq         INTEGER NOT NULL, -- its first event
    end_seq            INTEGER,          -- its turn_ended
    bytes              INTEGER NOT NULL, -- counted in queue_bytes while it waits
    request            INTEGER,          -- request that admitted it
    stop_reason        INTEGER,
    error_cause        TEXT,
    error_message      TEXT,
    attempt            INTEGER NOT NULL,
    agent              TEXT    NOT NULL,
    model              TEXT    NOT NULL,
    input_tokens       INTEGER NOT NULL,
    output_tokens      INTEGER NOT NULL,
    cache_read_tokens  INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    cost_micros        INTEGER NOT NULL,
    model_calls        INTEGER NOT NULL,
    create_time        INTEGER NOT NULL,
    start_time         INTEGER,
    end_time           INTEGER,
    source             TEXT    NOT NULL,
    metadata           TEXT    NOT NULL, -- JSON object, or empty
    attachments        TEXT    NOT NULL, -- JSON list of [id, name, media type, size], or empty
    on_interrupt       INTEGER,
    turn_timeout       INTEGER NOT NULL, -- microseconds
    expire_time        INTEGER,
    cancel_cause       TEXT,
    cancel_mode        INTEGER,
    cancel_kill_time   INTEGER,
    cancel_clears      INTEGER NOT NULL, -- the accepted stop takes unapplied steers too
    text               TEXT    NOT NULL,
    response_text      TEXT    NOT NULL
) STRICT;
CREATE INDEX turn_session ON turn (session);
CREATE INDEX turn_waiting ON turn (session, position) WHERE state = 1;
CREATE INDEX turn_unfinished ON turn (state) WHERE state <= 4;
CREATE INDEX turn_expiring ON turn (expire_time) WHERE state = 1 AND expire_time IS NOT NULL;

CREATE TABLE event (
    row     INTEGER PRIMARY KEY,
    session INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    epoch   INTEGER NOT NULL,
    kind    INTEGER NOT NULL,
    turn_id BLOB,
    item_id BLOB,
    time    INTEGER NOT NULL,
    body    BLOB    NOT NULL,
    UNIQUE (session, seq)
) STRICT;

CREATE TABLE message (
    row        INTEGER PRIMARY KEY,
    session    INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    item_id    BLOB    NOT NULL,
    turn_id    BLOB    NOT NULL,
    role       INTEGER NOT NULL,
    time       INTEGER NOT NULL,
    partial    INTEGER NOT NULL,
    continued  INTEGER NOT NULL,
    parts      BLOB    NOT NULL
) STRICT;
CREATE INDEX message_session ON message (session, generation);

CREATE TABLE attachment (
    row        INTEGER PRIMARY KEY,
    session    INTEGER NOT NULL,
    hash       TEXT    NOT NULL,
    name       TEXT    NOT NULL, -- of its first use; each use has its own in its turn
    media_type TEXT    NOT NULL,
    data       BLOB    NOT NULL,
    UNIQUE (session, hash)
) STRICT;

-- Steers that were not applied yet. A row goes with steer_applied or steer_requeued.
CREATE TABLE steer (
    row          INTEGER PRIMARY KEY,
    session      INTEGER NOT NULL,
    steer_id     BLOB    NOT NULL,
    given        INTEGER NOT NULL,
    text         TEXT    NOT NULL,
    attachments  TEXT    NOT NULL,
    turn_timeout INTEGER NOT NULL,
    request      INTEGER,
    time         INTEGER NOT NULL
) STRICT;
CREATE INDEX steer_session ON steer (session);

-- Open items of active turns. content_index -1 is the item itself (a tool's arguments are its text).
CREATE TABLE open_block (
    row           INTEGER PRIMARY KEY,
    session       INTEGER NOT NULL,
    item_id       BLOB    NOT NULL,
    content_index INTEGER NOT NULL,
    block         INTEGER NOT NULL,
    tool_call_id  TEXT    NOT NULL,
    tool_name     TEXT    NOT NULL,
    text          TEXT    NOT NULL,
    full_size     INTEGER,
    done          INTEGER NOT NULL,
    UNIQUE (session, item_id, content_index)
) STRICT;

CREATE TABLE tombstone (
    session INTEGER PRIMARY KEY,
    tenant  TEXT    NOT NULL,
    key     TEXT    NOT NULL,
    uid     BLOB    NOT NULL,
    owner   TEXT    NOT NULL,
    head    INTEGER NOT NULL,
    time    INTEGER NOT NULL
) STRICT;
CREATE INDEX tombstone_key ON tombstone (tenant, key);
CREATE INDEX tombstone_time ON tombstone (time);

-- The rowid is a 64-bit digest of the key, so no second index is written; see requests.rs.
CREATE TABLE request (
    id          INTEGER PRIMARY KEY,
    key         BLOB    NOT NULL,
    hash        BLOB    NOT NULL,
    session     INTEGER NOT NULL,
    session_uid BLOB    NOT NULL,
    receipt     TEXT    NOT NULL,
    keep_until  INTEGER          -- NULL while its turn is unfinished
) STRICT;
CREATE INDEX request_kept ON request (keep_until) WHERE keep_until IS NOT NULL;
