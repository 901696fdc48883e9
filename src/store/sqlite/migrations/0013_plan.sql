-- The newest `plan_updated` of each session, which outlives what retention takes of the log.
CREATE TABLE plan (
    session    INTEGER PRIMARY KEY,
    generation INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    body       BLOB    NOT NULL -- as the event's
) STRICT;
