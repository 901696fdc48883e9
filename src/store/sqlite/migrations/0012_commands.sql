-- The command that a turn runs; empty for a prompt.
ALTER TABLE turn ADD COLUMN command TEXT NOT NULL DEFAULT '';
