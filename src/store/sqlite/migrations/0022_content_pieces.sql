-- The bytes of large attachments are written in pieces, each in a commit of its own, so that nobody waits for the whole.
-- Those from before stay where they are.
CREATE TABLE content_piece (
    row     INTEGER PRIMARY KEY, -- in the order of the bytes
    content INTEGER NOT NULL,    -- row of its content, whose own data is empty
    data    BLOB    NOT NULL
) STRICT;
CREATE INDEX content_piece_content ON content_piece (content);

-- Contents that no attachment names: those that are being written, and those whose last name went and whose bytes go.
CREATE TABLE loose_content (
    content INTEGER PRIMARY KEY, -- row of the content
    session INTEGER NOT NULL     -- row of the session whose Delete took the last name; 0 for what is being written
) STRICT;
CREATE INDEX loose_content_session ON loose_content (session);

-- How many bytes a content has.
CREATE VIEW content_bytes AS
    SELECT content.row AS content, octet_length(content.data) + coalesce(
        (SELECT sum(octet_length(piece.data)) FROM content_piece AS piece WHERE piece.content = content.row), 0) AS bytes
    FROM content;
