-- Turns that a worker may be running, from before it hears of them until their end is known.
CREATE TABLE worker_lease (
    turn_id    BLOB    PRIMARY KEY,
    attempt    INTEGER NOT NULL,
    worker     TEXT    NOT NULL, -- tenant/subject/name
    token_hash BLOB    NOT NULL  -- SHA-256
) STRICT;

-- Row of a session's next turn, where that was found to wait for a worker; negative once it is looked at again.
ALTER TABLE session ADD COLUMN worker_wait INTEGER;
CREATE INDEX session_worker_wait ON session (agent, worker_wait) WHERE worker_wait > 0;
