-- The bytes of attachments stand once and are named by every session that has them: a fork copies rows, not bytes.
-- What was the attachments' table keeps its bytes where they are; its session is the one that stored them first, which
-- may be gone while a fork goes on.
ALTER TABLE attachment RENAME TO content;
CREATE TABLE attachment (
    row        INTEGER PRIMARY KEY,
    session    INTEGER NOT NULL,
    hash       TEXT    NOT NULL,
    name       TEXT    NOT NULL, -- of its first use; each use has its own in its turn
    media_type TEXT    NOT NULL,
    content    INTEGER NOT NULL, -- row of its bytes, which go with the last that names them
    UNIQUE (session, hash)
) STRICT;
CREATE INDEX attachment_content ON attachment (content);
INSERT INTO attachment (session, hash, name, media_type, content)
    SELECT session, hash, name, media_type, row FROM content;

-- Forks that are being made, in several commits: the rows of one that was cut are taken back.
CREATE TABLE fork (
    session INTEGER PRIMARY KEY -- row that its session will have
) STRICT;

-- Grows about once a second while the store is written; see mark.rs.
INSERT INTO meta (name, value) VALUES ('mark', 0);
