-- Each `artifact_created` of a session, which outlives what retention takes of the log.
CREATE TABLE artifact (
    row        INTEGER PRIMARY KEY,
    session    INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    body       BLOB    NOT NULL -- as the event's
) STRICT;
CREATE INDEX artifact_session ON artifact (session, generation, seq);
