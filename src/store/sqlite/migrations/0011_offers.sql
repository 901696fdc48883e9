-- What is chosen for a session, what its agent uses, and what agents offer.
ALTER TABLE session ADD COLUMN options TEXT NOT NULL DEFAULT ''; -- JSON, or empty
ALTER TABLE session ADD COLUMN used_model TEXT NOT NULL DEFAULT '';
ALTER TABLE session ADD COLUMN used_thinking_level TEXT NOT NULL DEFAULT '';
ALTER TABLE session ADD COLUMN offers_digest INTEGER NOT NULL DEFAULT 0;
CREATE TABLE offer (
    row     INTEGER PRIMARY KEY,
    tenant  TEXT    NOT NULL,
    agent   TEXT    NOT NULL,
    session INTEGER NOT NULL, -- 0: of the agent, whatever its session
    revision TEXT   NOT NULL, -- how the agent was configured
    body    TEXT    NOT NULL, -- JSON
    time    INTEGER NOT NULL,
    UNIQUE (tenant, agent, session)
) STRICT;
CREATE INDEX offer_session ON offer (session);
