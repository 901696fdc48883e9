-- Memory. Rows are the truth; indexes, vectors and counts are derived from them, in the same transaction.

-- What memory a session reaches: @session, @tenant and names, separated by blanks; empty means the default.
ALTER TABLE session ADD COLUMN memory_namespaces TEXT NOT NULL DEFAULT '';

-- A scope is a pair of kind and name inside a tenant.
CREATE TABLE memory_scope (
    row       INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant    TEXT    NOT NULL,
    kind      INTEGER NOT NULL, -- 1: the tenant's, 2: a namespace, 3: a session's
    name      TEXT    NOT NULL, -- of the namespace; else empty
    session   INTEGER NOT NULL, -- row of the session; else 0
    next_item INTEGER NOT NULL, -- number of the next item
    items     INTEGER NOT NULL, -- its rows in memory; kept by triggers
    UNIQUE (tenant, kind, name, session)
) STRICT;
CREATE INDEX memory_scope_session ON memory_scope (session) WHERE session <> 0;

CREATE TABLE memory_tenant (
    tenant TEXT PRIMARY KEY,
    items  INTEGER NOT NULL -- rows in memory of all its scopes; kept by triggers
) STRICT, WITHOUT ROWID;

-- The upper half of row is the scope's row: a search in one scope is a range of the index.
CREATE TABLE memory (
    row            INTEGER PRIMARY KEY,
    scope          INTEGER NOT NULL,
    id             BLOB    NOT NULL UNIQUE,
    identity       BLOB    NOT NULL, -- digest of the key, or of the content where there is no key
    bucket         INTEGER NOT NULL,
    kind           INTEGER NOT NULL,
    key            TEXT    NOT NULL,
    content        BLOB    NOT NULL, -- UTF-8; of a secret the sealed bytes
    source         INTEGER NOT NULL,
    turn_id        BLOB,
    tags           TEXT    NOT NULL, -- JSON list, or empty
    expire_time    INTEGER,
    version        INTEGER NOT NULL,
    create_time    INTEGER NOT NULL,
    update_time    INTEGER NOT NULL,
    last_used_time INTEGER,
    forget_time    INTEGER           -- set: hidden
) STRICT;
CREATE UNIQUE INDEX memory_identity ON memory (scope, identity) WHERE forget_time IS NULL;
CREATE INDEX memory_newest ON memory (scope, update_time, row) WHERE forget_time IS NULL;
CREATE INDEX memory_core ON memory (scope, update_time, row) WHERE forget_time IS NULL AND bucket = 1;
CREATE INDEX memory_key ON memory (scope, key) WHERE key <> '';
CREATE INDEX memory_expiring ON memory (expire_time) WHERE expire_time IS NOT NULL;
CREATE INDEX memory_forgotten ON memory (forget_time) WHERE forget_time IS NOT NULL;

-- What another version took the place of.
CREATE TABLE memory_version (
    row            INTEGER PRIMARY KEY,
    memory         INTEGER NOT NULL,
    version        INTEGER NOT NULL,
    bucket         INTEGER NOT NULL,
    kind           INTEGER NOT NULL,
    content        BLOB    NOT NULL,
    source         INTEGER NOT NULL,
    tags           TEXT    NOT NULL,
    update_time    INTEGER NOT NULL,
    supersede_time INTEGER NOT NULL,
    UNIQUE (memory, version)
) STRICT;

CREATE TABLE memory_vector (
    memory INTEGER PRIMARY KEY,
    model  TEXT NOT NULL,
    vector BLOB NOT NULL -- little-endian 32-bit floats, of length 1
) STRICT;
CREATE INDEX memory_vector_model ON memory_vector (model);

-- Two of each: a rebuild fills the one that is not read. The words are cut by `memory::words`.
CREATE VIRTUAL TABLE memory_index_1 USING fts5(key, tags, content, content = '', contentless_delete = 1, tokenize = 'ascii');
CREATE VIRTUAL TABLE memory_index_2 USING fts5(key, tags, content, content = '', contentless_delete = 1, tokenize = 'ascii');
CREATE VIRTUAL TABLE episode_index_1 USING fts5(content, content = '', contentless_delete = 1, tokenize = 'ascii');
CREATE VIRTUAL TABLE episode_index_2 USING fts5(content, content = '', contentless_delete = 1, tokenize = 'ascii');

CREATE TABLE memory_state (
    name  TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;
-- active: the indexes that are read. episodes_through: messages up to that row are in the index.
INSERT INTO memory_state (name, value) VALUES ('active', 1), ('episodes_through', 0);

CREATE TRIGGER memory_added AFTER INSERT ON memory BEGIN
    UPDATE memory_scope SET items = items + 1 WHERE row = new.scope;
    INSERT INTO memory_tenant (tenant, items) VALUES ((SELECT tenant FROM memory_scope WHERE row = new.scope), 1)
        ON CONFLICT DO UPDATE SET items = items + 1;
END;
CREATE TRIGGER memory_gone AFTER DELETE ON memory BEGIN
    UPDATE memory_scope SET items = items - 1 WHERE row = old.scope;
    UPDATE memory_tenant SET items = items - 1
        WHERE tenant = (SELECT tenant FROM memory_scope WHERE row = old.scope);
    DELETE FROM memory_version WHERE memory = old.row;
    DELETE FROM memory_vector WHERE memory = old.row;
    DELETE FROM memory_index_1 WHERE rowid = old.row;
    DELETE FROM memory_index_2 WHERE rowid = old.row;
END;
-- A row's number is given again where the newest message goes, so the position never stands beyond the newest.
CREATE TRIGGER memory_episode_gone AFTER DELETE ON message BEGIN
    DELETE FROM episode_index_1 WHERE rowid = old.row;
    DELETE FROM episode_index_2 WHERE rowid = old.row;
    UPDATE memory_state SET value = (SELECT coalesce(max(row), 0) FROM message)
        WHERE name = 'episodes_through' AND value > (SELECT coalesce(max(row), 0) FROM message);
END;
