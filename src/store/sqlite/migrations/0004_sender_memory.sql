-- Whether who sent it might name the tenant's memory: the primary session reaches that by default, on such turns alone.
-- What was sent before this was kept does not.
ALTER TABLE turn ADD COLUMN sender_memory INTEGER NOT NULL DEFAULT 0;
ALTER TABLE steer ADD COLUMN sender_memory INTEGER NOT NULL DEFAULT 0;
