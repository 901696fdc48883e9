-- What a turn is to answer with and what it did, and the tools that its caller runs.
ALTER TABLE turn ADD COLUMN output_json TEXT NOT NULL DEFAULT '';
ALTER TABLE turn ADD COLUMN output_schema TEXT NOT NULL DEFAULT '';
ALTER TABLE turn ADD COLUMN client_tools TEXT NOT NULL DEFAULT ''; -- JSON, or empty: those of its session
ALTER TABLE session ADD COLUMN client_tools TEXT NOT NULL DEFAULT ''; -- JSON, or empty
