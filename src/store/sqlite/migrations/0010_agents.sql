-- What agents told of themselves when they started, of each revision of their configuration.
CREATE TABLE agent (
    name         TEXT    NOT NULL,
    revision     TEXT    NOT NULL,
    capabilities TEXT    NOT NULL, -- JSON
    version      TEXT    NOT NULL,
    as_of        INTEGER NOT NULL,
    PRIMARY KEY (name, revision)
) STRICT, WITHOUT ROWID;
ALTER TABLE turn ADD COLUMN agent_revision TEXT NOT NULL DEFAULT '';
